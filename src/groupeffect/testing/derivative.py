"""The derivative check: influence functions against numerical derivatives in unit weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.design.aggregation import (
    Aggregation,
    by_calendar_time,
    by_cohort,
    by_event_time,
    overall,
)
from groupeffect.effects.effects import Effects
from groupeffect.effects.influence import Influence, Shares
from groupeffect.protocols import Estimator
from groupeffect.testing.outcomes import NotApplicable, need
from groupeffect.testing.panels import Scenario, uneven_clusters

__all__ = ["AGGREGATIONS", "DERIVATIVE_TOL", "check_derivative", "log_weight_derivative", "require_influence"]

DERIVATIVE_TOL = 1e-5
"""Largest relative error between influence and numerical derivative, unless ``info.influence_tol`` is larger."""

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
    influence: tuple[Influence, ...]

    @classmethod
    def of(cls, effects: Effects, shares: Shares | None = None) -> _Stack:
        """Rows and aggregations; with the shares given, if any, in place of those of the effects."""
        if shares is not None:
            effects = replace(effects, shares=shares)
        parts = [("rows", effects)]
        if effects.shares is not None:
            parts += [(str(scheme), effects.aggregate(scheme)) for scheme in AGGREGATIONS]
        names = tuple(f"{name} row {j}" for name, part in parts for j in range(len(part.index)))
        estimate = np.concatenate([part.estimate for _, part in parts])
        influence = tuple(part.influence for _, part in parts if part.influence is not None)
        return cls(names, estimate, influence)


def require_influence(effects: Effects) -> None:
    """Stop a check that needs an influence function."""
    if effects.influence is None:
        raise NotApplicable("the estimator gives no influence function (see info.provides)")


def log_weight_derivative(
    values_at: Callable[[FloatArray], FloatArray], weight: FloatArray, directions: FloatArray
) -> FloatArray:
    """Derivative of a function of unit weights when the log weights move along each direction.

    Parameters
    ----------
    values_at : callable
        Unit weights of shape (n,) -> values of shape (k,).
    weight : ndarray of shape (n,)
        Where the derivative is taken.
    directions : ndarray of shape (m, n)
        The identity matrix gives the derivative in each unit's log weight.

    Returns
    -------
    ndarray of shape (m, k)
        Central differences with a step of 0.0001: their error, of the order of the step squared, is far below
        `DERIVATIVE_TOL`.
    """
    rows = []
    for direction in directions:
        factor = np.exp(_STEP * direction)
        rows.append((values_at(weight * factor) - values_at(weight / factor)) / (2 * _STEP))
    return np.array(rows)


Along = Literal["units", "clusters", "random"]


def check_derivative(estimator: Estimator, scenario: Scenario, along: Along) -> str:
    """Compare the influence with the numerical derivative of each row and each aggregation in unit weights.

    ``"units"``: in the weight of each unit. ``"clusters"``: the weights of a cluster move together, and the *sums* of
    the influence by cluster are compared. ``"random"``: in eight random directions, in which any wrong influence shows
    too, at a fraction of the cost. Estimators that declare a larger ``info.influence_tol`` (cross-fitted first steps
    are held fixed in their influence) are compared to that tolerance. Cohort shares that the estimator declares fixed
    (`Shares.fixed`: its variance is conditional on who is treated when) are held fixed in the numerical derivative too.
    """
    panel, design = scenario.panel, scenario.design
    own = estimator.estimate(panel, design)
    require_influence(own)
    if "unit_weight" not in estimator.info.handles:
        raise NotApplicable("unit weights are not handled; the jackknife check stands in")
    stack, n = _Stack.of(own), panel.n_units
    held = own.shares if own.shares is not None and own.shares.fixed else None

    def values_at(weight: FloatArray) -> FloatArray:
        return _Stack.of(estimator.estimate(panel.with_unit_weight(weight), design), held).estimate

    if along == "clusters":
        labels = uneven_clusters(n)
        directions = (labels[None, :] == np.unique(labels)[:, None]).astype(float)
        analytic = np.column_stack([part.cluster_sums(labels) for part in stack.influence]) / n
    else:
        directions = np.eye(n) if along == "units" else np.random.default_rng(11).normal(size=(8, n))
        analytic = directions @ np.column_stack([part.values for part in stack.influence]) / n
    numeric = log_weight_derivative(values_at, panel.unit_weight, directions)
    return _compare(analytic, numeric, stack.names, estimator.info.influence_tol)


def _compare(analytic: FloatArray, numeric: FloatArray, names: tuple[str, ...], tolerance: float) -> str:
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
        error[worst] < tolerance,
        f"influence differs from the derivative by {error[worst]:.1e} of its largest value in {names[worst]} "
        f"({int((error >= tolerance).sum())} of {len(names)} columns differ by {tolerance:g} or more)",
    )
    return f"largest relative error {error[worst]:.1e} over {int(known.sum())} columns"
