"""Random draws that do not depend on how the work is cut up."""

from __future__ import annotations

import numpy as np

from groupeffect._types import FloatArray

__all__ = ["rademacher_sums"]

_BLOCK = 256
_CHUNK = 8192  # clusters at a time: the signs of one chunk and block (16 MB) stay near the processor; a multiple of 8


def rademacher_sums(rows: FloatArray, draws: int, seed: int) -> FloatArray:
    r"""Sums of rows with random signs: ``draws`` times :math:`\sum_c V_c x_c`, :math:`V_c = \pm 1` with equal odds.

    Parameters
    ----------
    rows : ndarray of shape (n, k)
        One row per cluster.
    draws : int
        Number of draws.
    seed : int
        Seed of a ``SeedSequence``; one child stream per block of 256 draws.

    Returns
    -------
    ndarray of shape (draws, k)
    """
    n, k = rows.shape
    total = rows.sum(axis=0)
    n_blocks = -(-draws // _BLOCK)
    out = np.empty((draws, k))
    n_bytes = -(-n // 8)
    for block, child in enumerate(np.random.SeedSequence(seed).spawn(n_blocks)):
        first, last = block * _BLOCK, min((block + 1) * _BLOCK, draws)
        rng = np.random.Generator(np.random.SFC64(child))
        bits = np.frombuffer(rng.bytes(_BLOCK * n_bytes), dtype=np.uint8).reshape(_BLOCK, n_bytes)[: last - first]
        out[first:last] = 0.0
        for start in range(0, n, _CHUNK):
            part = rows[start : start + _CHUNK]
            heads = np.unpackbits(bits[:, start // 8 : (start + _CHUNK) // 8], axis=1, count=len(part))
            out[first:last] += heads.astype(np.float64) @ part
        # a sign is 2 * heads - 1, so a sum with signs is twice the sum over heads minus the total
    return np.asarray(2 * out - total)
