"""Exact recovery of a known effect from noiseless data, for rows and for aggregations of rows."""

from __future__ import annotations

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.design.aggregation import Aggregation, ByCalendarTime, ByCohort, ByEventTime, Overall
from groupeffect.effects.effects import EffectIndex, Effects
from groupeffect.panel.panel import Panel
from groupeffect.protocols import Estimator
from groupeffect.testing.derivative import AGGREGATIONS
from groupeffect.testing.outcomes import NotApplicable, need
from groupeffect.testing.panels import (
    EffectPath,
    conditional_trend_panel,
    constant_effect,
    growing_effect,
    main_scenario,
    plain_design,
)

__all__ = ["RECOVERIES", "check_recovery", "expected_aggregate", "expected_rows"]

RECOVERIES = ("constant effect", "effects that differ by cohort", "trends that depend on a covariate")
"""Noiseless panels; the last two only for estimators that claim them in ``info.unbiased_under``."""


def check_recovery(estimator: Estimator, name: str) -> str:
    """Estimate on a noiseless panel and compare with the truth, to ``info.exact_tol``."""
    info, effect = estimator.info, constant_effect
    if name == "effects that differ by cohort":
        if "heterogeneous_cohorts" not in info.unbiased_under:
            raise NotApplicable("'heterogeneous_cohorts' is not among info.unbiased_under")
        effect = growing_effect
    if name == "trends that depend on a covariate":
        if "covariate_trends" not in info.unbiased_under:
            raise NotApplicable("'covariate_trends' is not among info.unbiased_under")
        panel = conditional_trend_panel()
        design = plain_design(info)(panel)
    else:
        scenario = main_scenario(info, noise=0.0, effect=effect)
        panel, design = scenario.panel, scenario.design
    effects = estimator.estimate(panel, design)
    worst = _largest_error(effects.estimate, expected_rows(effects.index, effect), "rows", info.exact_tol)
    if effects.shares is not None:
        for scheme in AGGREGATIONS:
            rows = effects.aggregate(scheme)
            truth = expected_aggregate(scheme, rows.index, panel, effects, effect)
            worst = max(worst, _largest_error(rows.estimate, truth, str(scheme), info.exact_tol))
    return f"largest error {worst:.1e} (tolerance {info.exact_tol:g})"


def _largest_error(estimate: FloatArray, truth: FloatArray, what: str, tolerance: float) -> float:
    need(np.isfinite(estimate).all(), f"{int((~np.isfinite(estimate)).sum())} {what} are not finite on clean data")
    known = np.isfinite(truth)
    need(known.any(), f"none of the {what} is an effect whose truth is known")
    error = np.abs(np.where(known, estimate - truth, 0.0))
    need(
        error.max() <= tolerance,
        f"{what}: estimate {estimate[error.argmax()]:.6g} where the truth is {truth[error.argmax()]:.6g} "
        f"(tolerance {tolerance:g})",
    )
    return float(error.max())


def expected_rows(index: EffectIndex, effect: EffectPath) -> FloatArray:
    """Truth of an estimator's own rows: zero before treatment; nan where rows mix different effects.

    A term that starts with ``"projection:"`` is a slope of the effect, so it is zero if all effects are equal.
    """
    elapsed = np.where(np.isnan(index.event_time), index.time - index.cohort, index.event_time)
    after = np.where(np.isnan(elapsed), True, elapsed >= 0)
    if effect is constant_effect:
        slope = np.char.startswith(index.term.astype(str), "projection:")
        return np.where(after & ~slope, 0.5, 0.0)
    truth = effect(index.cohort, elapsed)
    return np.where(after, truth, 0.0)


def expected_aggregate(
    scheme: Aggregation, index: EffectIndex, panel: Panel, effects: Effects, effect: EffectPath
) -> FloatArray:
    """Truth of aggregated rows, from loops over treated units and times: slow, and independent of the linear maps."""
    keys = zip(effects.index.cohort.tolist(), effects.index.time.tolist(), strict=True)
    cells = [(g, t, t - g, float(effect(np.array([g]), np.array([t - g]))[0]) if t >= g else 0.0) for g, t in keys]
    weight_of = {
        g: float(panel.unit_weight[panel.adoption == g].sum()) for g in np.unique(effects.index.cohort).tolist()
    }
    units = [(g, t, e, tau, weight_of[g]) for g, t, e, tau in cells]
    if isinstance(scheme, ByEventTime):
        long_enough = _long_enough(units, scheme.balance)
        return np.array([_mean([u for u in long_enough if u[2] == e]) for e in index.event_time])
    after = [u for u in units if u[2] >= 0]
    if isinstance(scheme, ByCohort):
        return np.array([_mean([u for u in after if u[0] == g]) for g in index.cohort])
    if isinstance(scheme, ByCalendarTime):
        return np.array([_mean([u for u in after if u[1] == t]) for t in index.time])
    return np.array([_expected_overall(scheme, after)])


_Row = tuple[float, float, float, float, float]


def _long_enough(units: list[_Row], balance: float | None) -> list[_Row]:
    if balance is None:
        return units
    last = {g: max(u[2] for u in units if u[0] == g) for g in {u[0] for u in units}}
    return [u for u in units if last[u[0]] >= balance]


def _expected_overall(scheme: Overall, after: list[_Row]) -> float:
    if scheme.over == "cells":
        return _mean(after)
    if scheme.over == "cohort":
        cohorts = sorted({u[0] for u in after})
        means = [_mean([u for u in after if u[0] == g]) for g in cohorts]
        sizes = [next(u[4] for u in after if u[0] == g) for g in cohorts]
        return float(np.average(means, weights=sizes))
    place = 2 if scheme.over == "event_time" else 1
    return float(np.mean([_mean([u for u in after if u[place] == key]) for key in sorted({u[place] for u in after})]))


def _mean(rows: list[_Row]) -> float:
    return float(np.average([row[3] for row in rows], weights=[row[4] for row in rows]))
