"""Imputation: contract under every option, dense least squares, variances, leads, pools, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.diagnostics.pretrends import pretrends
from groupeffect.errors import (
    DesignError,
    EstimationError,
    NoComparisonError,
    NoPrePeriodError,
    SingularDesignError,
    SpecError,
)
from groupeffect.testing import check_estimator
from groupeffect.testing.panels import constant_effect, growing_effect, staggered_panel

MOST = ("pure", "shape", "recovery", "derivative", "jackknife", "invariance", "weights", "refusal")
VARIANTS = [
    (ge.did.Imputation(), (*MOST, "documentation")),
    (ge.did.Imputation(variance="derivative", pretrends=0), MOST),
    (ge.did.Imputation(kind="event_study", variance="derivative"), MOST),
    (ge.did.Imputation(kind="static", pretrends=1), ("pure", "shape", "jackknife", "weights", "refusal")),
    (ge.did.Imputation(kind="pretrends"), ("pure", "recovery", "derivative", "jackknife", "invariance", "weights")),
    (ge.did.Imputation(unit_trends=True), MOST),
    (ge.did.Imputation(covariates="by_time"), MOST),
    (ge.did.Imputation(variance="bjs", pretrends=1), ("pure", "jackknife", "weights", "refusal")),
    (ge.did.Imputation(variance="leave_out"), ("pure", "jackknife", "weights")),
]


@pytest.mark.parametrize(("estimator", "only"), VARIANTS, ids=repr)
def test_contract(estimator: ge.did.Imputation, only: tuple[str, ...]) -> None:
    check_estimator(estimator, only=only).raise_if_failed()


def dense(panel: ge.Panel, untreated: np.ndarray, *, lines: bool, covariate: bool) -> np.ndarray:
    """Gaps between outcomes and fitted untreated outcomes, by least squares on dummies."""
    n, t = panel.outcome.shape
    unit, time = np.indices((n, t))
    parts = [np.eye(n)[unit.ravel()], np.eye(t)[time.ravel()]]
    if lines:
        parts.append(parts[0] * time.ravel()[:, None])
    if covariate:
        parts.append(panel.covariates.reshape(n * t, -1))
    x, y, use = np.hstack(parts), panel.outcome.ravel(), untreated.ravel()
    root = np.sqrt(np.repeat(panel.unit_weight, t))[use]
    solution = np.linalg.lstsq(x[use] * root[:, None], y[use] * root, rcond=1e-12)[0]
    return (y - x @ solution).reshape(n, t)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("shape", ["plain", "all"])
def test_cells_are_mean_gaps_of_dense_least_squares(lines: bool, shape: str) -> None:
    full = shape == "all"
    panel = staggered_panel(64, covariate=full, weighted=full, hole_share=0.05 if full else 0.0)
    seen = np.isfinite(panel.outcome)
    before = panel.times[None, :] < panel.adoption[:, None]
    gaps = dense(panel, seen & before, lines=lines, covariate=full)
    enough = (seen & before).sum(axis=1) >= (2 if lines else 1)
    own = ge.did.Imputation(unit_trends=lines, pretrends=0).estimate(panel, ge.staggered_design(panel))
    assert len(own.estimate) == (4 + 2 + 1)
    for g, t, value in zip(own.index.cohort, own.index.time, own.estimate, strict=True):
        k = int(t - panel.times[0])
        rows = (panel.adoption == g) & seen[:, k] & enough
        assert value == pytest.approx(np.average(gaps[rows, k], weights=panel.unit_weight[rows]), abs=1e-9)


def test_effects_are_found_exactly_with_holes_weights_covariates_and_lines() -> None:
    panel = staggered_panel(64, noise=0.0, effect=growing_effect, weighted=True, hole_share=0.08)
    drift = np.linspace(-1, 1, 64)[:, None] * np.arange(6)
    for estimator, moved in (
        (ge.did.Imputation(), panel),
        (ge.did.Imputation(unit_trends=True), panel.with_outcome(panel.outcome + drift)),
    ):
        own = estimator.estimate(moved, ge.staggered_design(moved))
        elapsed = own.index.time - own.index.cohort
        truth = np.where(elapsed < 0, 0.0, growing_effect(own.index.cohort, elapsed))
        np.testing.assert_allclose(own.estimate, truth, atol=1e-10)


def test_static_and_event_study_count_observations() -> None:
    panel = staggered_panel(64, weighted=True, hole_share=0.1)
    design = ge.staggered_design(panel)
    seen = np.isfinite(panel.outcome)
    before = panel.times[None, :] < panel.adoption[:, None]
    gaps = dense(panel, seen & before, lines=False, covariate=False)
    able = (seen & before).any(axis=1)[:, None]
    weight = np.where(seen & ~before & able, panel.unit_weight[:, None], 0.0)
    static = ge.did.Imputation(kind="static").estimate(panel, design)
    assert static.estimate[0] == pytest.approx(np.average(np.nan_to_num(gaps), weights=weight), abs=1e-10)
    events = ge.did.Imputation(kind="event_study", pretrends=0).estimate(panel, design)
    for e, value in zip(events.index.event_time, events.estimate, strict=True):
        here = np.where(panel.times[None, :] - panel.adoption[:, None] == e, weight, 0.0)
        assert value == pytest.approx(np.average(np.nan_to_num(gaps), weights=here), abs=1e-10)


def test_never_treated_comparison_takes_time_effects_from_the_never_treated() -> None:
    panel = staggered_panel(64)
    own = ge.did.Imputation(pretrends=0).estimate(panel, ge.staggered_design(panel, comparison="never_treated"))
    never = np.isinf(panel.adoption)
    change = panel.outcome[never].mean(axis=0)
    for g, t, value in zip(own.index.cohort, own.index.time, own.estimate, strict=True):
        treated, pre = panel.outcome[panel.adoption == g].mean(axis=0), panel.times < g
        k = int(t - panel.times[0])
        assert value == pytest.approx(treated[k] - treated[pre].mean() - change[k] + change[pre].mean(), abs=1e-12)


def test_treated_units_outside_the_pool_do_not_move_time_effects() -> None:
    panel = staggered_panel(64)
    outside = panel.adoption == 2005
    design = ge.staggered_design(panel, comparison_pool=~outside)
    own = ge.did.Imputation(pretrends=0).estimate(panel, design)
    shaken = panel.outcome + np.where(outside[:, None] & (panel.times < 2005)[None, :], 100.0 * (panel.times - 2003), 0)
    again = ge.did.Imputation(pretrends=0).estimate(panel.with_outcome(shaken), design)
    others = own.index.cohort != 2005
    np.testing.assert_allclose(again.estimate[others], own.estimate[others], atol=1e-10)
    assert not np.allclose(again.estimate[~others], own.estimate[~others])


def test_without_never_treated_units_effects_end_when_the_last_cohort_joins() -> None:
    panel = staggered_panel(64)
    panel = panel.take_units(np.isfinite(panel.adoption))
    own = ge.fit(ge.did.Imputation(), panel, ge.staggered_design(panel))
    assert own.effects.index.time.max() == 2005
    lost = {(cell.cohort, cell.time) for cell in own.effects.unidentified}
    assert lost == {(2003.0, 2006.0), (2005.0, 2006.0), (2006.0, 2006.0)}
    assert "no comparison unit is untreated by then" in " ".join(own.effects.notes)
    with pytest.raises(ge.errors.BeyondSupportError):
        own.aggregate(ge.by_event_time(0, 3))


def test_anticipation_is_imputed_and_shown() -> None:
    panel = staggered_panel(64, noise=0.0)
    early = panel.times[None, :] == panel.adoption[:, None] - 1
    panel = panel.with_outcome(panel.outcome + 0.3 * early)
    own = ge.fit(ge.did.Imputation(pretrends=0), panel, ge.staggered_design(panel, anticipation=1))
    events = own.aggregate(ge.by_event_time()).effects
    np.testing.assert_allclose(events.estimate[events.index.event_time >= 0], 0.5, atol=1e-10)
    assert events.estimate[events.index.event_time == -1] == pytest.approx(0.3, abs=1e-10)


def test_leads_are_common_to_cohorts_and_normalised_to_the_time_before() -> None:
    panel = staggered_panel(64)
    own = ge.did.Imputation().estimate(panel, ge.staggered_design(panel))
    before = own.index.event_time < 0
    assert set(own.index.event_time[before]) == {-5.0, -4.0, -3.0, -2.0}
    for e in (-4.0, -3.0, -2.0):
        rows = before & (own.index.event_time == e)
        assert rows.sum() > 1
        assert np.ptp(own.estimate[rows]) == 0
    few = ge.did.Imputation(pretrends=2).estimate(panel, ge.staggered_design(panel))
    assert set(few.index.event_time[few.index.event_time < 0]) == {-2.0, -1.0}
    after = ge.did.Imputation(pretrends=0).estimate(panel, ge.staggered_design(panel))
    np.testing.assert_array_equal(own.estimate[~before], after.estimate)
    own_fit = ge.fit(ge.did.Imputation(), panel, ge.staggered_design(panel)).aggregate(ge.by_event_time())
    assert pretrends(own_fit.infer(ge.ClusterRobust())).rank == 4


def test_leads_that_are_not_determined_are_named() -> None:
    panel = staggered_panel(64)
    panel = panel.take_units(np.isfinite(panel.adoption))
    own = ge.did.Imputation().estimate(panel, ge.staggered_design(panel))
    assert any("not determined" in note for note in own.notes)
    first = panel.adoption == 2003
    with pytest.raises(NoPrePeriodError):
        ge.did.Imputation(kind="pretrends").estimate(
            panel.take_units(first), ge.staggered_design(panel).take_units(first)
        )


def test_variances() -> None:
    panel = staggered_panel(64, effect=growing_effect)
    design = ge.staggered_design(panel)

    def errors(variance: str, scheme: object = None, weight: bool = False) -> np.ndarray:
        used = panel.with_unit_weight(np.linspace(0.5, 2, 64)) if weight else panel
        own = ge.fit(ge.did.Imputation(variance=variance, pretrends=0), used, design)
        own = own if scheme is None else own.aggregate(scheme)
        return own.infer(ge.ClusterRobust()).tidy()["std_error"].to_numpy()

    np.testing.assert_allclose(errors("bjs"), errors("conservative"), rtol=1e-12)
    np.testing.assert_array_equal(errors("derivative"), errors("conservative"))
    assert (errors("bjs", weight=True) < errors("conservative", weight=True)).any()
    assert not np.allclose(errors("bjs", weight=True), errors("conservative", weight=True), rtol=1e-6)
    assert (errors("leave_out") > errors("bjs")).all()
    total = ge.overall()
    assert errors("derivative", total)[0] != pytest.approx(errors("conservative", total)[0], rel=1e-4)
    two_stage = ge.fit(ge.did.TwoStage(), panel, design).aggregate(total).infer(ge.ClusterRobust()).tidy()
    assert errors("derivative", total)[0] == pytest.approx(two_stage["std_error"][0], rel=1e-12)


def test_leaving_out_needs_a_second_unit() -> None:
    panel = staggered_panel(64)
    last = np.flatnonzero(panel.adoption == 2006)
    panel = panel.take_units(np.setdiff1d(np.arange(64), last[1:]))
    with pytest.raises(EstimationError, match="one unit only"):
        ge.did.Imputation(variance="leave_out").estimate(panel, ge.staggered_design(panel))


def test_units_without_an_untreated_time_are_left_out_and_counted() -> None:
    panel = staggered_panel(64)
    outcome = panel.outcome.copy()
    first = np.flatnonzero(panel.adoption == 2003)[:2]
    outcome[np.ix_(first, [0, 1])] = np.nan
    panel = panel.with_outcome(outcome)
    own = ge.did.Imputation().estimate(panel, ge.staggered_design(panel))
    assert any("2 treated units are left out" in note for note in own.notes)
    row = (own.index.cohort == 2003) & (own.index.time == 2004)
    assert own.index.n_treated[row] == [(panel.adoption == 2003).sum() - 2]
    assert not own.influence.values[first][:, own.index.event_time >= 0].any()


def test_multiway_designs_on_one_panel_keep_rows_of_zeros() -> None:
    panel = staggered_panel(64)
    pool = np.isinf(panel.adoption)
    pool[np.flatnonzero(pool)[0]] = False
    design = ge.staggered_design(panel, comparison_pool=pool, comparison="never_treated")
    own = ge.did.Imputation().estimate(panel, design)
    idle = np.flatnonzero(np.isinf(panel.adoption))[0]
    assert not own.influence.values[idle].any()
    assert any("neither treated nor in the comparison pool" in note for note in own.notes)


@pytest.mark.parametrize(
    "options",
    [{"kind": "cell"}, {"variance": "hc1"}, {"covariates": "linear"}, {"pretrends": -1}, {"pretrends": "none"}],
    ids=repr,
)
def test_unknown_options_are_refused(options: dict) -> None:
    with pytest.raises(SpecError):
        ge.did.Imputation(**options)


def test_what_it_cannot_do_is_refused() -> None:
    panel = staggered_panel(48)
    with pytest.raises(SpecError):
        ge.did.Imputation(kind="pretrends", pretrends=0)
    with pytest.raises(DesignError, match="no baseline window"):
        ge.did.Imputation().estimate(panel, ge.staggered_design(panel, base_period=ge.baseline_window(2001, 2002)))
    leaver = np.where(panel.adoption == 2003, 2005.0, np.inf)
    with pytest.raises(DesignError, match="leave treatment"):
        ge.did.Imputation().estimate(replace(panel, exit=leaver), ge.staggered_design(panel))
    nobody = ge.staggered_design(panel).reassign(panel.adoption, np.zeros(48, dtype=bool))
    with pytest.raises(NoComparisonError):
        ge.did.Imputation().estimate(panel, nobody)


def test_covariates_that_say_nothing_are_named() -> None:
    panel = staggered_panel(48, covariate=True)
    constant = np.repeat(panel.covariates[:, :1], 6, axis=1)
    own = ge.did.Imputation().estimate(replace(panel, covariates=constant), ge.staggered_design(panel))
    assert any("absorbed by the unit effects: x" in note for note in own.notes)
    after = np.where(panel.times[None, :, None] >= panel.adoption[:, None, None], 1.0, 0.0)
    with pytest.raises(SingularDesignError, match="x"):
        ge.did.Imputation().estimate(replace(panel, covariates=after), ge.staggered_design(panel))


def test_constant_effect_with_covariates_by_time() -> None:
    panel = staggered_panel(noise=0.0, effect=constant_effect, covariate=True, weighted=True, hole_share=0.05)
    own = ge.did.Imputation(covariates="by_time").estimate(panel, ge.staggered_design(panel))
    np.testing.assert_allclose(own.estimate, np.where(own.index.event_time >= 0, 0.5, 0.0), atol=1e-9)
