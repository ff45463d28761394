"""What an estimator must refuse, and that it says what it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from groupeffect.design.baseline import baseline_window
from groupeffect.design.design import Design, block_design, staggered_design
from groupeffect.errors import (
    AlreadyTreatedError,
    GroupEffectError,
    NoComparisonError,
    NoPrePeriodError,
    NoTreatedError,
    UnbalancedError,
)
from groupeffect.fitting import fit
from groupeffect.panel.panel import Panel
from groupeffect.protocols import Estimator
from groupeffect.testing.outcomes import NotApplicable, need
from groupeffect.testing.panels import main_scenario

__all__ = ["REFUSALS", "UNHANDLED", "check_refusal", "check_unhandled"]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """How to break a design or panel, and the errors that must follow."""

    break_it: Callable[[Panel, Design], tuple[Panel, Design]]
    errors: tuple[type[GroupEffectError], ...]


def _no_treated(panel: Panel, design: Design) -> tuple[Panel, Design]:
    return panel, design.reassign(np.full(panel.n_units, np.inf))


def _no_comparison(panel: Panel, design: Design) -> tuple[Panel, Design]:
    first = design.cohort[design.treated()].min()
    return panel, design.reassign(np.full(panel.n_units, first))


def _empty_pool(panel: Panel, design: Design) -> tuple[Panel, Design]:
    return panel, design.reassign(design.cohort, np.zeros(panel.n_units, dtype=bool))


def _no_pre_period(panel: Panel, design: Design) -> tuple[Panel, Design]:
    return panel, design.reassign(np.where(design.treated(), panel.times[0], np.inf))


def _hole(panel: Panel, design: Design) -> tuple[Panel, Design]:
    outcome = panel.outcome.copy()
    outcome[np.flatnonzero(design.treated())[0], 0] = np.nan
    return panel.with_outcome(outcome), design


REFUSALS: dict[str, _Refusal] = {
    "no treated unit": _Refusal(_no_treated, (NoTreatedError,)),
    "no comparison unit": _Refusal(_no_comparison, (NoComparisonError,)),
    "empty comparison pool": _Refusal(_empty_pool, (NoComparisonError,)),
    "no period before treatment": _Refusal(_no_pre_period, (NoPrePeriodError, AlreadyTreatedError)),
    "hole in the outcome": _Refusal(_hole, (UnbalancedError,)),
}
"""Name -> how to break the data, and the documented errors."""


def check_refusal(estimator: Estimator, name: str) -> str:
    """Fit on broken data through :func:`groupeffect.fit`; the documented error with a hint must come."""
    if name == "hole in the outcome" and "unbalanced" in estimator.info.handles:
        raise NotApplicable("panels with holes are handled")
    refusal = REFUSALS[name]
    plain = main_scenario(estimator.info)
    panel, design = refusal.break_it(plain.panel, plain.design)
    expected = " or ".join(kind.__name__ for kind in refusal.errors)
    try:
        fit(estimator, panel, design)
    except refusal.errors as error:
        need(error.hint, f"{type(error).__name__} has no hint")
        return type(error).__name__
    except Exception as error:
        need(False, f"{type(error).__name__} instead of {expected}: {error}")
    need(False, f"an estimate came instead of {expected}")
    return ""


def _with_covariate(panel: Panel, design: Design) -> tuple[Panel, Design]:
    x = np.random.default_rng(5).normal(size=(*panel.outcome.shape, 1)) + np.isfinite(panel.adoption)[:, None, None]
    return replace(panel, covariates=x, columns=replace(panel.columns, covariates=("x",))), design


def _with_weight(panel: Panel, design: Design) -> tuple[Panel, Design]:
    return panel.with_unit_weight(np.linspace(0.5, 2, panel.n_units)), design


def _with_anticipation(panel: Panel, design: Design) -> tuple[Panel, Design]:
    return panel, replace(design, anticipation=1)


def _with_window(panel: Panel, design: Design) -> tuple[Panel, Design]:
    return panel, replace(design, baseline=baseline_window(panel.times[0], panel.times[1]))


def _with_exit(panel: Panel, design: Design) -> tuple[Panel, Design]:
    leaves = panel.adoption == np.nanmin(panel.adoption)
    panel = replace(panel, exit=np.where(leaves, panel.times[-1], np.inf))
    if len(np.unique(design.cohort[design.treated()])) == 1:
        treated = panel.unit_ids[design.treated()].tolist()
        return panel, block_design(panel, treated=treated, start=float(design.cohort.min()))
    return panel, staggered_design(panel, comparison=design.comparison)


UNHANDLED: dict[str, Callable[[Panel, Design], tuple[Panel, Design]]] = {
    "covariates": _with_covariate,
    "unit_weight": _with_weight,
    "anticipation": _with_anticipation,
    "baseline_window": _with_window,
    "exit": _with_exit,
}
"""Feature -> how to ask for it (``"exit"``: units that leave treatment)."""


def check_unhandled(estimator: Estimator, feature: str) -> str:
    """A feature that is handled changes the estimate; one that is not is refused or stands in the notes."""
    plain = main_scenario(estimator.info)
    panel, design = plain.panel, plain.design
    if feature == "covariates" and panel.columns.covariates:
        raise NotApplicable("every scenario of this family has a covariate")
    before = fit(estimator, panel, design).effects
    panel, changed_design = UNHANDLED[feature](panel, design)
    try:
        after = fit(estimator, panel, changed_design).effects
    except GroupEffectError as error:
        need(feature not in estimator.info.handles, f"declared as handled, but {type(error).__name__}: {error.message}")
        need(error.hint, f"refused by {type(error).__name__}, without a hint")
        return f"refused by {type(error).__name__}"
    rows = dict(zip(before.index.keys(), before.estimate.tolist(), strict=True))
    pairs = [(rows[key], value) for key, value in zip(after.index.keys(), after.estimate, strict=True) if key in rows]
    old, new = np.array(pairs).T
    changed = not np.allclose(old, new, rtol=1e-9, atol=1e-12, equal_nan=True)
    if feature in estimator.info.handles:
        need(changed, "declared as handled, but no estimate changes")
        return "changes the estimate"
    said = {*after.notes, *changed_design.notes} - {*before.notes, *design.notes}
    need(said, "not handled, and neither refused nor in the notes")
    return "stands in the notes"
