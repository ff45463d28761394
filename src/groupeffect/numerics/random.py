"""Random draws that do not depend on how the work is cut up."""

from __future__ import annotations

import numpy as np

from groupeffect._types import FloatArray

__all__ = ["rademacher_sums"]

_BLOCK = 256


def rademacher_sums(rows: FloatArray, draws: int, seed: int) -> FloatArray:
    """Sums of rows with random signs: ``draws`` times :math:`\\sum_c V_c x_c`, :math:`V_c = \\pm 1` with equal odds.

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
        heads = np.unpackbits(bits, axis=1, count=n)
        # a sign is 2 * heads - 1, so a sum with signs is twice the sum over heads minus the total
        np.matmul(heads.astype(np.float64), rows, out=out[first:last])
    return 2 * out - total
