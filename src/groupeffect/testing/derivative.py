"""The derivative check: influence functions against numerical derivatives in unit weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from groupeffect._types import AnyArray, FloatArray
from groupeffect.design.aggregation import (
    Aggregation,
    by_calendar_time,
    by_cohort,
    by_event_time,
    overall,
)
from groupeffect.effects.effects import Effects
from groupeffect.effects.influence import cluster_codes
from groupeffect.protocols import Estimator
from groupeffect.testing.outcomes import NotApplicable, need
from groupeffect.testing.panels import Scenario, uneven_clusters

__all__ = ["AGGREGATIONS", "DERIVATIVE_TOL", "check_derivative", "log_weight_derivative", "require_influence"]

DERIVATIVE_TOL = 1e-5
"""Largest relative error between influence and numerical derivative."""

_STEP = 1e-4

AGGREGATIONS: tuple[Aggregation, ...] = (
    overall("cells"),
    overall("cohort"),
    overall("event_time"),
    overall("calendar_time"),
    by_event_time(),
    by_event_time(0, 1),
    by_event_time(balance=1),
    by_cohort(),
    by_calendar_time(),
)
"""Every scheme that cells can be aggregated with."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """Estimates of an estimator's own rows and of every aggregation, one below the other."""

    names: tuple[str, ...]
    estimate: FloatArray
    influence: tuple[FloatArray, ...]

    @classmethod
    def of(cls, effects: Effects) -> _Stack:
        parts = [("rows", effects)]
        if effects.shares is not None:
            parts += [(str(scheme), effects.aggregate(scheme)) for scheme in AGGREGATIONS]
        names = tuple(f"{name} row {j}" for name, part in parts for j in range(len(part.index)))
        estimate = np.concatenate([part.estimate for _, part in parts])
        influence = tuple(part.influence.values for _, part in parts if part.influence is not None)
        return cls(names, estimate, influence)


def require_influence(effects: Effects) -> None:
    """Stop a check that needs an influence function."""
    if effects.influence is None:
        raise NotApplicable("the estimator gives no influence function (see info.provides)")


def log_weight_derivative(
    values_at: Callable[[FloatArray], FloatArray], weight: FloatArray, groups: AnyArray
) -> FloatArray:
    """Derivative of a function of unit weights in the log weight of each group of units.

    Parameters
    ----------
    values_at : callable
        Unit weights of shape (n,) -> values of shape (k,).
    weight : ndarray of shape (n,)
        Where the derivative is taken.
    groups : ndarray of int, shape (n,)
        Codes 0..G-1; weights of a group move together.

    Returns
    -------
    ndarray of shape (G, k)
        Central differences with a step of 0.0001: their error, of the order of the step squared, is far below
        `DERIVATIVE_TOL`.
    """
    rows = []
    for code in range(int(groups.max()) + 1):
        factor = np.where(groups == code, np.exp(_STEP), 1.0)
        rows.append((values_at(weight * factor) - values_at(weight / factor)) / (2 * _STEP))
    return np.array(rows)


def check_derivative(estimator: Estimator, scenario: Scenario, *, by_cluster: bool = False) -> str:
    """Compare the influence with the numerical derivative of each row and each aggregation in each unit's weight.

    With `by_cluster` the weights of a cluster move together and the sums of the influence by cluster are compared.
    """
    panel, design = scenario.panel, scenario.design
    own = estimator.estimate(panel, design)
    require_influence(own)
    if "unit_weight" not in estimator.info.handles:
        raise NotApplicable("unit weights are not handled; the jackknife check stands in")
    stack = _Stack.of(own)

    def values_at(weight: FloatArray) -> FloatArray:
        return _Stack.of(estimator.estimate(panel.with_unit_weight(weight), design)).estimate

    if by_cluster:
        labels = uneven_clusters(panel.n_units)
        groups, _ = cluster_codes(labels)
        analytic = _cluster_sums(own, labels)
    else:
        groups = np.arange(panel.n_units)
        analytic = np.column_stack(stack.influence)
    numeric = log_weight_derivative(values_at, panel.unit_weight, groups)
    return _compare(analytic / panel.n_units, numeric, stack.names)


def _cluster_sums(effects: Effects, labels: AnyArray) -> FloatArray:
    parts = [effects]
    if effects.shares is not None:
        parts += [effects.aggregate(scheme) for scheme in AGGREGATIONS]
    return np.column_stack([part.influence.cluster_sums(labels) for part in parts if part.influence is not None])


def _compare(analytic: FloatArray, numeric: FloatArray, names: tuple[str, ...]) -> str:
    need(
        analytic.shape == numeric.shape,
        f"the influence has shape {analytic.shape}, the numerical derivative {numeric.shape}",
    )
    known = np.isfinite(numeric).all(axis=0)
    largest = np.maximum(np.abs(analytic), np.abs(np.where(known, numeric, 0.0))).max(axis=0)
    floor = 1e-9 * largest.max()
    error = np.abs(np.where(known, analytic - numeric, 0.0)).max(axis=0) / np.maximum(largest, floor)
    worst = int(error.argmax())
    need(
        error[worst] < DERIVATIVE_TOL,
        f"influence differs from the derivative by {error[worst]:.1e} of its largest value in {names[worst]} "
        f"({int((error >= DERIVATIVE_TOL).sum())} of {len(names)} columns differ by {DERIVATIVE_TOL:g} or more)",
    )
    return f"largest relative error {error[worst]:.1e} over {int(known.sum())} columns"
