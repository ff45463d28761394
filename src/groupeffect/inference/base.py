"""What the strategies share: cluster labels, checks on their number, the list of strategies."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import AnyArray, FloatArray
from groupeffect.errors import FewClustersWarning, InferenceError, SpecError, TooFewClustersError
from groupeffect.panel.panel import Panel

if TYPE_CHECKING:
    from groupeffect.fitting import Fit
    from groupeffect.protocols import Inference

__all__ = ["FEW_CLUSTERS", "cluster_labels", "strategies", "warn_few_clusters"]

FEW_CLUSTERS = 30
"""Below this many clusters normal critical values reject too often."""


def cluster_labels(panel: Panel, by: str | None) -> AnyArray:
    """Cluster label of each unit, shape (n,): an attribute of the panel, or the units themselves.

    Raises
    ------
    SpecError
        If `by` is not an attribute of the panel.
    InferenceError
        If some units have no label.
    """
    if by is None or by == panel.columns.unit:
        return panel.unit_ids
    if by not in panel.attributes:
        known = ", ".join(panel.attributes) or "none"
        raise SpecError(
            f"Cluster column {by!r} is not an attribute of the panel (known: {known}).",
            hint=f"Read the panel with Columns(..., attributes=({by!r},)).",
        )
    labels = panel.attributes[by]
    empty = _empty(labels)
    if empty.any():
        units = ", ".join(str(unit) for unit in panel.unit_ids[empty][:3])
        raise InferenceError(
            f"{int(empty.sum())} units have no {by!r} (first: {units}).",
            hint="Give each unit a cluster; a unit on its own can be its own cluster.",
        )
    return labels


def _empty(labels: AnyArray) -> AnyArray:
    if labels.dtype.kind == "f":
        return np.isnan(labels)
    if labels.dtype.kind == "O":
        return np.array([value is None or value != value or value == "" for value in labels])
    if labels.dtype.kind in "US":
        return np.asarray(labels == "")
    return np.zeros(len(labels), dtype=bool)


def warn_few_clusters(n_clusters: int, better: str) -> tuple[str, ...]:
    """Warn below `FEW_CLUSTERS`, refuse below two; returns the note.

    Raises
    ------
    TooFewClustersError
        With fewer than two clusters.
    """
    if n_clusters < 2:
        raise TooFewClustersError(
            f"There is {n_clusters} cluster; no variance can be computed.",
            hint="Cluster at a lower level, or use placebo units.",
        )
    if n_clusters >= FEW_CLUSTERS:
        return ()
    text = f"only {n_clusters} clusters: these standard errors are probably too small; {better}"
    warnings.warn(text, FewClustersWarning, stacklevel=4)
    return (text,)


def participating(sums: FloatArray) -> int:
    """Number of clusters that take part in any estimate; those outside the design have an influence of exactly zero."""
    return int((sums != 0).any(axis=1).sum())


def strategies() -> dict[str, type[Inference]]:
    """Inference strategies by name."""
    from groupeffect.inference.cluster import ClusterRobust
    from groupeffect.inference.jackknife import Jackknife
    from groupeffect.inference.multiplier import MultiplierBootstrap
    from groupeffect.inference.placebo import PlaceboUnits

    return {kind.__name__: kind for kind in (ClusterRobust, MultiplierBootstrap, Jackknife, PlaceboUnits)}


def estimable(fit: Fit) -> AnyArray:
    """Rows that have an estimate and are not zero by construction."""
    return np.asarray(np.isfinite(fit.effects.estimate) & ~fit.effects.index.is_reference)
