"""The kernels' own random numbers: laws, and the published generator word for word."""

import numba
import numpy as np
import pytest
from scipy.stats import chi2, kstest, norm

from spectral_edge.simulate._kernels import random as kernel

N = 200_000


@numba.njit
def normals(state, n):
    return np.array([kernel.normal(state) for _ in range(n)])


@numba.njit
def chi_squares(state, df, n):
    constants = kernel.chi_square_constants(df)
    return np.array([kernel.chi_square(state, df, constants) for _ in range(n)])


@numba.njit
def uniforms(state, n):
    return np.array([kernel.uniform(state) for _ in range(n)])


@numba.njit
def words(state, n):
    return np.array([kernel.next_word(state) for _ in range(n)])


def state(seed=1):
    return np.random.default_rng(seed).integers(0, 2**64, 4, dtype=np.uint64)


def test_words_are_those_of_xoshiro256_plus_plus():
    """The definition in Python integers."""
    mask = (1 << 64) - 1

    def rotl(x, k):
        return ((x << k) | (x >> (64 - k))) & mask

    s = [int(word) for word in state()]
    wanted = []
    for _ in range(100):
        wanted.append((rotl((s[0] + s[3]) & mask, 23) + s[0]) & mask)
        t = (s[1] << 17) & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
    assert [int(word) for word in words(state(), 100)] == wanted


def test_normal():
    x = normals(state(), N)
    assert kstest(x, "norm").pvalue > 1e-4
    assert kstest(1.02 * x, "norm").pvalue < 1e-4
    # the tail is made by another branch: its share and its law
    tail = np.abs(x[np.abs(x) > 3.4427])
    share = 2 * norm.sf(3.4427)
    assert abs(tail.size / N - share) < 4 * np.sqrt(share / N)
    many = np.abs(normals(state(2), 4_000_000))
    beyond = many[many > 3.4427]
    assert kstest(norm.sf(beyond) / norm.sf(3.4427), "uniform").pvalue > 1e-4
    lag = np.corrcoef(x[:-1], x[1:])[0, 1]
    assert abs(lag) < 4 / np.sqrt(N)


def test_filling_gives_what_one_by_one_gives():
    one, many, out = state(), state(), np.empty(50_000)
    kernel.fill_normal(many, out, 50_000)
    np.testing.assert_array_equal(out, normals(one, 50_000))
    np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("df", [0.7, 1.0, 2.0, 7.5, 1e3, 1e12])
def test_chi_square(df):
    x = chi_squares(state(), df, N)
    law = chi2(df) if df < 1e6 else norm(df, np.sqrt(2 * df))
    assert kstest(x, law.cdf).pvalue > 1e-4
    wrong = chi2(df * 1.05) if df < 1e6 else norm(df, 1.05 * np.sqrt(2 * df))
    assert kstest(x, wrong.cdf).pvalue < 1e-4


def test_no_degrees_of_freedom_is_zero():
    assert np.all(chi_squares(state(), 0.0, 3) == 0)


def test_uniform_never_is_zero():
    x = uniforms(state(), N)
    assert x.min() > 0
    assert x.max() <= 1
    assert kstest(x, "uniform").pvalue > 1e-4
