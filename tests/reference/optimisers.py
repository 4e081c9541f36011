"""Optimisers on a quadratic loss, written out step by step, with a preconditioner that stands still."""

import numpy as np


def run(H, D, theta, *, eta, omega, momentum, optimizer, decay, T):
    """Updates (T, P) of loss ½θᵀHθ."""
    theta, buffer, updates = np.array(theta, dtype=float), np.zeros(len(theta)), []
    for _ in range(T):
        gradient = H @ theta
        if decay == "coupled":
            gradient = gradient + omega * theta
        if optimizer == "sgd":
            buffer = momentum * buffer + gradient
            step = buffer
        else:
            buffer = momentum * buffer + (1 - momentum) * gradient
            step = buffer / D
        new = theta - eta * step
        if decay == "decoupled":
            new = new - eta * omega * theta
        updates.append(new - theta)
        theta = new
    return np.array(updates)
