"""Random streams and small array tools that the parts of the generator share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from groupeffect._types import AnyArray, FloatArray, IntArray

__all__ = [
    "COMPONENTS",
    "Streams",
    "ar1",
    "gamma_shares",
    "match_by_label",
    "quotas",
    "rank_share",
    "rank_within",
    "streams",
]

COMPONENTS: Final = (
    "counties",
    "schools",
    "sizes",
    "ability",
    "shocks",
    "intake",
    "pupils",
    "designation",
    "cores",
    "members",
    "models",
    "mechanisms",
    "staff",
    "export",
    "dose",
    "anticipation",
    "exits",
    "cost",
    "marks",
    "resources",
    "survey",
    "withheld",
    "tested",
    "merge",
    "rename",
    "missing",
    "wrong_group",
    "duplicate",
    "pilot",
)
"""One independent random stream each. Append only: the order decides which stream a component gets."""

Streams = dict[str, np.random.Generator]


def streams(seed: int) -> Streams:
    """One generator per component, so that switching one component leaves the draws of all others unchanged.

    Parameters
    ----------
    seed : int
        Seed of the ``SeedSequence`` whose children the streams are.
    """
    children = np.random.SeedSequence(seed).spawn(len(COMPONENTS))
    return {name: np.random.default_rng(child) for name, child in zip(COMPONENTS, children, strict=True)}


def quotas(total: int, weights: Sequence[float] | FloatArray) -> IntArray:
    """Whole numbers that add up to `total` in proportion to `weights` (largest remainder)."""
    share = np.asarray(weights, dtype=float)
    exact = total * share / share.sum()
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return np.asarray(counts)


def ar1(rng: np.random.Generator, n: int, n_times: int, sd: float, rho: float) -> FloatArray:
    """Stationary AR(1) paths of shape (n, n_times) with standard deviation `sd` at every time."""
    shocks = rng.standard_normal((n, n_times))
    path = np.empty((n, n_times))
    path[:, 0] = shocks[:, 0]
    innovation = np.sqrt(1 - rho**2)
    for t in range(1, n_times):
        path[:, t] = rho * path[:, t - 1] + innovation * shocks[:, t]
    return sd * path


def rank_within(label: AnyArray, key: FloatArray) -> IntArray:
    """Rank 0, 1, ... of each element among the elements of the same label, smallest key first."""
    order = np.lexsort((key, label))
    ordered = label[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else np.empty(0, dtype=np.int64)
    position = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = position
    return rank


def rank_share(label: AnyArray, key: FloatArray) -> FloatArray:
    """Rank within label as a share in (0, 1): (rank + 0.5) / number with that label."""
    _, inverse, count = np.unique(label, return_inverse=True, return_counts=True)
    return np.asarray((rank_within(label, key) + 0.5) / count[inverse])


def match_by_label(
    slot_label: IntArray, slot_key: FloatArray, taker_label: IntArray, taker_key: FloatArray
) -> IntArray:
    """Give places to takers of the same label, both in the order of their keys.

    Returns
    -------
    ndarray of shape (n_takers,)
        Position of the place each taker got; -1 if its label ran out of places.
    """
    n_labels = int(max(slot_label.max(initial=-1), taker_label.max(initial=-1))) + 1
    order = np.lexsort((slot_key, slot_label))
    count = np.bincount(slot_label, minlength=n_labels)
    first = np.cumsum(count) - count
    rank = rank_within(taker_label, taker_key)
    served = rank < count[taker_label]
    match = np.full(len(taker_label), -1, dtype=np.int64)
    match[served] = order[first[taker_label[served]] + rank[served]]
    return match


def gamma_shares(
    rng: np.random.Generator, shape: float, label: IntArray, size: FloatArray, n_labels: int
) -> FloatArray:
    """Shares that add up to one within each label: Gamma(`shape`) draws times `size`, normalised."""
    draw = rng.gamma(shape, size=len(label)) * size
    total = np.bincount(label, weights=draw, minlength=n_labels)
    return np.asarray(draw / total[label])
