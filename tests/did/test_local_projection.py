"""Local projections: contract under every option, explicit regressions, agreement with other estimators, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

import groupeffect as ge
from groupeffect.errors import DesignError, NoComparisonError, SingularDesignError, SpecError
from groupeffect.testing import check_estimator
from groupeffect.testing.panels import staggered_panel

MOST = ("pure", "shape", "recovery", "derivative", "jackknife", "invariance", "weights", "refusal")
Projection = ge.did.LocalProjection
VARIANTS = [
    (Projection(), (*MOST, "documentation")),
    (Projection(weighting="equal"), MOST),
    (Projection(kind="pooled"), MOST),
    (Projection(kind="pooled", weighting="equal"), MOST),
    (Projection(pre_mean=2), MOST),
    (Projection(pre_mean="all", weighting="equal"), MOST),
    (Projection(composition="fixed"), MOST),
    (Projection(window=(-2, 1)), MOST),
]


@pytest.mark.parametrize(("estimator", "only"), VARIANTS, ids=repr)
def test_contract(estimator: Projection, only: tuple[str, ...]) -> None:
    check_estimator(estimator, only=only).raise_if_failed()


@pytest.mark.parametrize("comparison", ["not_yet_treated", "never_treated"])
def test_equal_weights_without_covariates_are_callaway_santanna(comparison: str) -> None:
    panel = staggered_panel(64, weighted=True)
    design = ge.staggered_design(panel, comparison=comparison, base_period="universal")
    one = ge.fit(Projection(weighting="equal"), panel, design).effects
    other = ge.fit(ge.did.CallawaySantAnna(method="reg"), panel, design).aggregate(ge.by_event_time()).effects
    np.testing.assert_array_equal(one.index.event_time, other.index.event_time)
    np.testing.assert_allclose(one.estimate, other.estimate, atol=1e-12)
    np.testing.assert_allclose(one.influence.values, other.influence.values, atol=1e-10)
    np.testing.assert_array_equal(one.index.is_reference, other.index.is_reference)


def explicit(panel: ge.Panel, horizons: tuple[int, ...], *, pooled: bool = False, equal: bool = False) -> float:
    """Coefficient of joining from statsmodels, rows written one by one; the mean of `horizons` if pooled."""
    position = {t: j for j, t in enumerate(panel.times)}
    rows = []
    for i in range(panel.n_units):
        for g in np.unique(panel.adoption[np.isfinite(panel.adoption)]):
            ends = [g + h for h in horizons]
            if any(end not in position for end in ends):
                continue
            joins = panel.adoption[i] == g
            if not joins and panel.adoption[i] <= max(g, *ends):
                continue
            base = position[g] - 1
            change = np.mean([panel.outcome[i, position[end]] for end in ends]) - panel.outcome[i, base]
            x = panel.covariates[i, base]
            if np.isfinite(change):
                rows.append([change, joins, *x, g, panel.unit_weight[i]])
    table = np.array(rows, dtype=float)
    dates, weight = np.unique(table[:, -2]), table[:, -1].copy()
    if equal:
        for g in dates:
            own = table[:, -2] == g
            weight[own] /= 1 - np.average(table[own, 1], weights=table[own, -1])
    dummies = (table[:, -2][:, None] == dates).astype(float)
    regressors = np.column_stack([table[:, 1:-2], dummies])
    return float(sm.WLS(table[:, 0], regressors, weights=weight).fit().params[0])


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("covariate", [False, True])
@pytest.mark.parametrize("horizon", [-3, -2, 0, 1, 3])
def test_agrees_with_explicit_regressions(equal: bool, covariate: bool, horizon: int) -> None:
    panel = staggered_panel(64, weighted=True, covariate=covariate, hole_share=0.05)
    own = Projection(weighting="equal" if equal else "variance").estimate(panel, ge.staggered_design(panel))
    value = own.estimate[own.index.event_time == horizon][0]
    assert value == pytest.approx(explicit(panel, (horizon,), equal=equal), abs=1e-10)


@pytest.mark.parametrize("equal", [False, True])
def test_pooled_regression(equal: bool) -> None:
    panel = staggered_panel(64, covariate=True)
    estimator = Projection(kind="pooled", window=(0, 1), weighting="equal" if equal else "variance")
    own = estimator.estimate(panel, ge.staggered_design(panel))
    assert own.estimate[0] == pytest.approx(explicit(panel, (0, 1), equal=equal), abs=1e-10)


def test_fixed_composition_keeps_cohorts_and_comparison() -> None:
    panel = staggered_panel(64)
    own = Projection(composition="fixed", window=(-2, 1)).estimate(panel, ge.staggered_design(panel))
    assert set(own.index.event_time) == {-2, -1, 0, 1}
    after = own.index.event_time >= 0
    assert len(set(own.index.n_treated[after])) == 1
    joined = np.isin(panel.adoption, (2003, 2005))  # 2006 is not observed for two times
    assert own.index.n_treated[after][0] == joined.sum()
    dense = own.weights.dense()
    assert not dense[:, panel.adoption == 2006, panel.times == 2006].any()


def test_clusters_above_the_unit() -> None:
    panel = staggered_panel(240, clusters=60)
    own = ge.fit(Projection(kind="pooled"), panel, ge.staggered_design(panel))
    by_cluster = own.infer(ge.ClusterRobust(by="cluster")).tidy()["std_error"][0]
    assert by_cluster == pytest.approx(own.infer(ge.Jackknife(by="cluster")).tidy()["std_error"][0], rel=0.05)


def test_notes_and_refusals() -> None:
    panel = staggered_panel(48, covariate=True)
    design = ge.staggered_design(panel)
    bad = ({"weighting": "ols"}, {"pre_mean": 0}, {"pre_mean": "some"}, {"window": (2, -1)}, {"window": (1,)})
    for options in (*bad, {"kind": "cells"}, {"composition": "free"}, {"covariates": "change"}, {"convention": "r"}):
        with pytest.raises(SpecError):
            Projection(**options)
    assert Projection(window=[-2, 2]) == Projection(window=(-2, 2))
    with pytest.raises(DesignError, match="no baseline window"):
        Projection().estimate(panel, ge.staggered_design(panel, base_period=ge.baseline_window(2001, 2002)))
    with pytest.raises(NoComparisonError):
        Projection().estimate(panel, design.reassign(np.full(panel.n_units, 2003.0)))
    assert "variance of treatment" in " ".join(Projection().estimate(panel, design).notes)
    assert "covariates are not used: x" in Projection(covariates="none").estimate(panel, design).notes


def test_covariate_that_explains_joining_is_refused() -> None:
    import dataclasses

    panel = staggered_panel(48, covariate=True)
    one = panel.take_units(np.isin(panel.adoption, (2003, np.inf)))
    one = dataclasses.replace(one, covariates=np.repeat((one.adoption == 2003)[:, None, None], 6, axis=1).astype(float))
    with pytest.raises(SingularDesignError, match="explain"):
        Projection().estimate(one, ge.staggered_design(one))
