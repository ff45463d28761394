"""Changes of the data that must not change an estimate, or change it in a known way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from groupeffect._types import AnyArray
from groupeffect.effects.effects import Effects
from groupeffect.panel.panel import Panel
from groupeffect.protocols import Estimator
from groupeffect.testing.outcomes import NotApplicable, need
from groupeffect.testing.panels import Scenario

__all__ = ["INVARIANCES", "check_duplication", "check_invariance", "repeat_units"]

_TOL = 1e-8


@dataclass(frozen=True, slots=True)
class _Change:
    """A changed panel and what the estimates on it must be.

    Parameters
    ----------
    panel : Panel
        The changed panel.
    rows : ndarray of int, shape (n,)
        Row of the original panel that each row came from.
    factor : float
        Expected ratio of the estimates.
    shift : float
        Expected shift of the cohorts and times of the rows.
    """

    panel: Panel
    rows: AnyArray
    factor: float = 1.0
    shift: float = 0.0


def _same_rows(panel: Panel, *, factor: float = 1.0, shift: float = 0.0) -> _Change:
    return _Change(panel, np.arange(panel.n_units), factor, shift)


def _unit_order(panel: Panel) -> _Change:
    rows = np.random.default_rng(6).permutation(panel.n_units)
    return _Change(panel.take_units(rows), rows)


def _unit_labels(panel: Panel) -> _Change:
    rank = np.random.default_rng(9).permutation(panel.n_units)
    return _same_rows(replace(panel, unit_ids=np.array([f"school {number:05d}" for number in rank])))


def _calendar(panel: Panel) -> _Change:
    moved = replace(panel, times=panel.times + 100, adoption=panel.adoption + 100, exit=panel.exit + 100)
    return _same_rows(moved, shift=100.0)


def _scale(panel: Panel) -> _Change:
    return _same_rows(panel.with_outcome(7 - 3 * panel.outcome), factor=-3.0)


def _unit_constants(panel: Panel) -> _Change:
    constants = 5 * np.random.default_rng(7).normal(size=(panel.n_units, 1))
    return _same_rows(panel.with_outcome(panel.outcome + constants))


def _time_shocks(panel: Panel) -> _Change:
    shocks = 5 * np.random.default_rng(8).normal(size=(1, panel.n_times))
    return _same_rows(panel.with_outcome(panel.outcome + shocks))


INVARIANCES: dict[str, Callable[[Panel], _Change]] = {
    "unit_order": _unit_order,
    "unit_labels": _unit_labels,
    "calendar": _calendar,
    "scale": _scale,
    "unit_constants": _unit_constants,
    "time_shocks": _time_shocks,
}
"""Name -> change of the panel. ``duplication`` (weight two = unit twice) has a check of its own."""


def check_invariance(estimator: Estimator, scenario: Scenario, name: str) -> str:
    """Estimate on the panel and on a changed panel, and compare rows and influence."""
    _refuse_declared(estimator, name, scenario)
    change = INVARIANCES[name](scenario.panel)
    own = estimator.estimate(scenario.panel, scenario.design)
    again = estimator.estimate(change.panel, scenario.make_design(change.panel))
    error = _row_error(estimator, own, again, change.factor, change.shift)
    if own.influence is None or again.influence is None:
        return f"estimates differ by {error:.1e}"
    need(
        np.array_equal(again.influence.unit_ids, change.panel.unit_ids),
        "the influence does not carry the unit labels of the panel, in its order",
    )
    expected = change.factor * own.influence.values[change.rows]
    size = max(float(np.abs(expected).max()), 1e-12)
    moved = float(np.abs(again.influence.values - expected).max()) / size
    need(moved < _tolerance(estimator), f"the influence of a unit changes by {moved:.1e} of the largest value")
    return f"estimates differ by {error:.1e}, influence by {moved:.1e}"


def check_duplication(estimator: Estimator, scenario: Scenario) -> str:
    """Give units the weight two, and let them stand twice: the estimates must agree."""
    _refuse_declared(estimator, "duplication", scenario)
    if "unit_weight" not in estimator.info.handles:
        raise NotApplicable("unit weights are not handled (see info.handles)")
    panel = scenario.panel
    treated, never = np.flatnonzero(np.isfinite(panel.adoption)), np.flatnonzero(~np.isfinite(panel.adoption))
    chosen = [treated[0], treated[-1]]
    if "staggered" in estimator.info.handles:  # among donors of a block, weights are what is estimated
        chosen.append(never[0])
    weight = panel.unit_weight.copy()
    weight[chosen] *= 2
    heavy = panel.with_unit_weight(weight)
    twice = repeat_units(panel, np.concatenate([np.arange(panel.n_units), chosen]))
    own = estimator.estimate(heavy, scenario.make_design(heavy))
    again = estimator.estimate(twice, scenario.make_design(twice))
    return f"estimates differ by {_row_error(estimator, own, again, 1.0, 0.0):.1e}"


def repeat_units(panel: Panel, rows: AnyArray) -> Panel:
    """Panel of the given rows, repeated ones included, with new unit labels 0, 1, 2, ..."""
    return replace(
        panel,
        outcome=panel.outcome[rows],
        unit_ids=np.arange(len(rows)),
        adoption=panel.adoption[rows],
        exit=panel.exit[rows],
        unit_weight=panel.unit_weight[rows],
        cell_size=None if panel.cell_size is None else panel.cell_size[rows],
        covariates=panel.covariates[rows],
        attributes={name: values[rows] for name, values in panel.attributes.items()},
    )


def _refuse_declared(estimator: Estimator, name: str, scenario: Scenario) -> None:
    declared = estimator.info.varies_with
    if name == "unit_constants" and name not in declared and not scenario.panel.is_balanced:
        name = "unit_constants_with_holes"
    if name in declared:
        raise NotApplicable(f"the method is not invariant to {name} by construction (info.varies_with)")


def _tolerance(estimator: Estimator) -> float:
    return max(_TOL, estimator.info.exact_tol)


def _row_error(estimator: Estimator, own: Effects, again: Effects, factor: float, shift: float) -> float:
    """Largest difference of estimates, relative to the largest estimate; fails if rows or estimates differ."""
    own_keys = own.index.keys()
    expected = [(term, g + shift, t + shift, e) for term, g, t, e in own_keys]
    need(expected == again.index.keys(), "the rows are not those of the original data")
    need(
        np.array_equal(np.isnan(own.estimate), np.isnan(again.estimate)),
        "other rows are missing than in the original data",
    )
    known = np.isfinite(own.estimate)
    size = max(float(np.abs(factor * own.estimate[known]).max()), 1e-12)
    error = float(np.abs(again.estimate[known] - factor * own.estimate[known]).max()) / size
    need(error < _tolerance(estimator), f"estimates change by {error:.1e} of the largest one")
    return error
