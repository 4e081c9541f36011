"""Compiled inner products: arrays and scalars in, sums out. The public side is `inner_products`.

Sums are re-associated so that they fill the vector units (``reassoc``, ``contract``, ``nsz``); NaN and
infinity keep their meaning, because that is how a bad entry is noticed.
"""

import numba
import numpy as np

from spectral_edge.simulate import _kernels  # noqa: F401 - finds a place for numba's cache

FASTMATH = {"reassoc", "contract", "nsz"}


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _tile(a, b, c, d, e, f, g, h, sums):  # 4 × 4 products of rows: eight loads for sixteen multiplications
    zero = a.dtype.type(0)
    ae = af = ag = ah = be = bf = bg = bh = zero
    ce = cf = cg = ch = de = df = dg = dh = zero
    for i in range(a.size):
        ai, bi, ci, di = a[i], b[i], c[i], d[i]
        ei, fi, gi, hi = e[i], f[i], g[i], h[i]
        ae += ai * ei
        af += ai * fi
        ag += ai * gi
        ah += ai * hi
        be += bi * ei
        bf += bi * fi
        bg += bi * gi
        bh += bi * hi
        ce += ci * ei
        cf += ci * fi
        cg += ci * gi
        ch += ci * hi
        de += di * ei
        df += di * fi
        dg += di * gi
        dh += di * hi
    sums[0, 0], sums[0, 1], sums[0, 2], sums[0, 3] = ae, af, ag, ah
    sums[1, 0], sums[1, 1], sums[1, 2], sums[1, 3] = be, bf, bg, bh
    sums[2, 0], sums[2, 1], sums[2, 2], sums[2, 3] = ce, cf, cg, ch
    sums[3, 0], sums[3, 1], sums[3, 2], sums[3, 3] = de, df, dg, dh


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _corner(
    a, b, g, h, sums
):  # the part of a tile that the band's edge needs: its first two rows by its last two
    zero = a.dtype.type(0)
    ag = ah = bg = bh = zero
    for i in range(a.size):
        ai, bi, gi, hi = a[i], b[i], g[i], h[i]
        ag += ai * gi
        ah += ai * hi
        bg += bi * gi
        bh += bi * hi
    sums[0, 2], sums[0, 3] = ag, ah
    sums[1, 2], sums[1, 3] = bg, bh


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _load(vectors, first, n, differences, rows):
    for t in range(vectors.shape[0] - 1 if differences else vectors.shape[0]):
        row = rows[t, :n]
        if differences:
            before, after = vectors[t, first : first + n], vectors[t + 1, first : first + n]
            for i in range(n):
                row[i] = rows.dtype.type(after[i]) - rows.dtype.type(before[i])
        else:
            here = vectors[t, first : first + n]
            for i in range(n):
                row[i] = here[i]


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _add_tiles(rows, count, low, high, sums, band):
    last, lags = count - 1, band.shape[1] - 1
    for t in range(0, count, 4):
        for s in range(t, max(-4, t - 4 - lags), -4):  # tiles with a lag of at most `lags`
            if t - s - 1 > lags:
                _corner(
                    rows[t, low:high],
                    rows[min(t + 1, last), low:high],
                    rows[s + 2, low:high],
                    rows[s + 3, low:high],
                    sums,
                )
                for i in range(min(2, count - t)):
                    for j in (2, 3):
                        if t + i - s - j <= lags:
                            band[t + i, t + i - s - j] += sums[i, j]
                continue
            _tile(  # beyond the last row the last one again, for nothing
                rows[t, low:high],
                rows[min(t + 1, last), low:high],
                rows[min(t + 2, last), low:high],
                rows[min(t + 3, last), low:high],
                rows[s, low:high],
                rows[min(s + 1, last), low:high],
                rows[min(s + 2, last), low:high],
                rows[min(s + 3, last), low:high],
                sums,
            )
            for i in range(min(4, count - t)):
                for j in range(4):
                    lag = t + i - s - j
                    if 0 <= lag <= lags:
                        band[t + i, lag] += sums[i, j]


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def add_band(vectors, start, stop, differences, run, rows, band):
    """Add the products of columns `start` … `stop` to `band`, of the vectors or of their differences.

    vectors (n, P) float32 or float64, C order; rows (T, width) scratch whose dtype is that of the products;
    run: columns summed in that dtype before the sum goes to float64; band (T, L + 1) float64,
    band[t, l] = ⟨row t, row t − l⟩.
    """
    count, width = rows.shape
    sums = np.empty((4, 4), rows.dtype)
    for first in range(start, stop, width):
        n = min(width, stop - first)
        _load(vectors, first, n, differences, rows)
        for low in range(0, n, run):
            _add_tiles(rows, count, low, min(low + run, n), sums, band)


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def add_band_in_place(vectors, start, stop, run, band):
    """As `add_band` for the vectors themselves in their own dtype, which need no scratch."""
    sums = np.empty((4, 4), vectors.dtype)
    for low in range(start, stop, run):
        _add_tiles(vectors, vectors.shape[0], low, min(low + run, stop), sums, band)


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _two_dots(a, b, c, products, r):  # two rows at a time keep more of the memory's width busy
    ab = ac = 0.0
    for i in range(a.size):
        value = np.float64(a[i])
        ab += value * np.float64(b[i])
        ac += value * np.float64(c[i])
    products[r] += ab
    products[r + 1] += ac


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _to_bfloat16(values, bits, stored):  # round to nearest, ties to even; bits is values seen as uint32
    for i in range(stored.size):
        word = bits[i]
        if values[i] == values[i]:
            word += np.uint32(0x7FFF) + ((word >> np.uint32(16)) & np.uint32(1))
        stored[i] = np.uint16(word >> np.uint32(16))


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _from_bfloat16(stored, bits):
    for i in range(stored.size):
        bits[i] = np.uint32(stored[i]) << np.uint32(16)


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def advance(theta, previous, ring, slot, start, stop, width, products):
    """One record of a run, in one pass over columns `start` … `stop`: update, store, multiply.

    ring[slot] becomes theta − previous, previous becomes theta, and products[r] += ⟨new update, ring[r]⟩
    in float64 for every row r of the ring. All float32 or float64; ring (R, P), the vectors (P,).
    """
    for first in range(start, stop, width):
        last = min(first + width, stop)
        now, before, kept = theta[first:last], previous[first:last], ring[slot, first:last]
        for i in range(now.size):
            kept[i] = now[i] - before[i]
            before[i] = now[i]
        rows = ring.shape[0]
        for r in range(0, rows - 1, 2):
            _two_dots(kept, ring[r, first:last], ring[r + 1, first:last], products, r)
        if rows % 2:
            products[rows - 1] += _dot(kept, ring[rows - 1, first:last])


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def advance_half(theta, previous, ring, slot, start, stop, width, products):
    """As `advance` with a ring of bfloat16, held as uint16: the products are those of the rounded updates."""
    fresh, old = np.empty(width, np.float32), np.empty(width, np.float32)
    fresh_bits, old_bits = fresh.view(np.uint32), old.view(np.uint32)
    for first in range(start, stop, width):
        last = min(first + width, stop)
        n = last - first
        now, before, kept = theta[first:last], previous[first:last], ring[slot, first:last]
        for i in range(n):
            fresh[i] = now[i] - before[i]
            before[i] = now[i]
        _to_bfloat16(fresh[:n], fresh_bits[:n], kept)
        _from_bfloat16(kept, fresh_bits[:n])
        for r in range(ring.shape[0]):
            _from_bfloat16(ring[r, first:last], old_bits[:n])
            products[r] += _dot(fresh[:n], old[:n])


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def add_sketch(values, seed, offset, out):
    """Add the projection of `values` to `out` (d,) float64; `sketch` says which projection.

    splitmix64 of (seed, number of the coordinate): the lower and upper half of the word each give a sign
    and a place.
    """
    half = np.uint64(out.size // 2)
    scale = 1 / np.sqrt(2.0)
    start = seed * np.uint64(0x94D049BB133111EB)
    for i in range(values.size):
        z = start + (offset + np.uint64(i) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        value = scale * values[i]
        low, high = z & np.uint64(0xFFFFFFFF), z >> np.uint64(32)
        first = ((low >> np.uint64(1)) * half) >> np.uint64(31)
        second = half + (((high >> np.uint64(1)) * half) >> np.uint64(31))
        out[first] += value if low & np.uint64(1) else -value
        out[second] += value if high & np.uint64(1) else -value


@numba.njit(nogil=True, cache=True)
def that_move(bits):
    """Which columns of `bits` (n, columns) are not the same in all rows."""
    n, width = bits.shape
    moves = np.zeros(width, np.bool_)
    for r in range(1, n):
        for i in range(width):
            if bits[r, i] != bits[0, i]:
                moves[i] = True
    return moves


@numba.njit(nogil=True, cache=True)
def count_exponents(bits, moves, shift, mask, counts):
    """Add to counts[e] how many of the numbers `bits`, seen as unsigned integers, that move have the biased exponent e.

    Zeros are exact and not counted.
    """
    for i in range(bits.size):
        exponent = (bits[i] >> shift) & mask
        if moves[i] and exponent:
            counts[exponent] += 1
