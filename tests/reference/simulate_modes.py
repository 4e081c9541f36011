"""Modes followed by brute force: directions are vectors in R^P, what is remembered is a list of them."""

import numpy as np


def follow(X, W, memory, rtol):
    """Ranks and squared overlaps, alone and with the better neighbour, (T - W + 1, W), of updates X (T, P)."""
    n = len(X) - W + 1
    rank, overlap, pair = np.zeros((n, W), int), np.zeros((n, W)), np.zeros((n, W))
    past = [[] for _ in range(W)]  # of each mode: (direction, its singular value), oldest first
    swings = np.zeros(W)
    for t in range(n):
        _, sigma, v = np.linalg.svd(X[t : t + W], full_matrices=False)
        recent = X[max(0, t - memory) : t + W]
        least = rtol * np.sqrt(W) * np.linalg.norm(recent, axis=1).max()
        q = int(np.sum(sigma > least))
        inner = np.zeros((W, q))
        for i in range(W):
            mean = sum((direction for direction, s in past[i] if s > least), np.zeros(X.shape[1]))
            if mean.any():
                inner[i] = v[:q] @ mean / np.linalg.norm(mean)
        free, places = set(range(W)), set(range(q))
        rank[t] = -1
        while places:
            best = max((abs(inner[i, j]), i, j) for i in free for j in places)
            if best[0] == 0:
                break
            rank[t, best[1]] = best[2]
            free.remove(best[1])
            places.remove(best[2])
        rank[t, sorted(free)] = sorted(set(range(W)) - set(rank[t]))
        for i in range(W):
            j = rank[t, i]
            if j >= q:
                past[i] = []
                continue
            squares = inner[i] ** 2
            overlap[t, i] = squares[j] if t else 1
            pair[t, i] = overlap[t, i] + max([squares[l] for l in (j - 1, j + 1) if 0 <= l < q], default=0)
            moved = t > 0 and j != rank[t - 1, i]
            swings[i] += (moved - swings[i]) / (2 * memory)
            if swings[i] > 0.5:
                overlap[t, i] = pair[t, i] = swings[i] = 0
            if pair[t, i] <= 0.5:
                past[i] = []
            sign = -1 if inner[i, j] < 0 else 1
            past[i] = [*past[i], (sign * v[j], sigma[j])][-memory:]
    return rank, overlap, pair
