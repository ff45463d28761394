"""Synthetic control and synthetic DiD: exact recovery, invariances, refusals, what the effects carry."""

import dataclasses
import pickle
import warnings

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import (
    DesignError,
    EstimationError,
    NoComparisonError,
    NoPrePeriodError,
    NoTreatedError,
    PoorPreFitWarning,
    SpecError,
    UnbalancedError,
)
from groupeffect.simulate.dgps import dgp
from groupeffect.synth._block import POOR_FIT

SC = ge.synth.SyntheticControl
SDID = ge.synth.SyntheticDiD
EVERY = [SC(), SC(intercept=True), SDID(), SDID(unit_weights="uniform", time_weights="uniform"), SDID(intercept=False)]


def estimates(estimator, panel, design):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorPreFitWarning)
        return ge.fit(estimator, panel, design).effects.estimate


def two_way(seed=0, n=12, n_times=10):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 1)) * 3 + rng.normal(size=n_times) * 2


# exact recovery ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator", [SDID(), SDID(unit_weights="uniform", time_weights="uniform"), SC(intercept=True)]
)
def test_recovers_effects_on_a_two_way_panel(make_panel, estimator):
    outcome = two_way()
    effect = np.array([1.0, 2.0, -0.5, 3.0])
    outcome[:2, 6:] += effect
    panel = make_panel(outcome)
    design = ge.block_design(panel, treated=("a00", "a01"), start=2007)
    found = estimates(estimator, panel, design)
    np.testing.assert_allclose(found[:6], 0.0, atol=1e-9)
    np.testing.assert_allclose(found[6:], effect, atol=1e-9)


@pytest.mark.parametrize("estimator", [SC(), SC(intercept=True), SDID(eta_omega=0.0)])
def test_recovers_effects_when_donors_span_the_treated_path(make_panel, estimator):
    rng = np.random.default_rng(3)
    outcome = rng.normal(size=(9, 20)).cumsum(axis=1)
    outcome[0] = np.array([0.5, 0.3, 0.2]) @ outcome[[2, 4, 7]]
    outcome[0, 15:] += 4.0
    panel = make_panel(outcome)
    fit = ge.fit(estimator, panel, ge.block_design(panel, treated=("a00",), start=2016))
    np.testing.assert_allclose(fit.effects.estimate[:15], 0.0, atol=estimator.info.exact_tol)
    np.testing.assert_allclose(fit.effects.estimate[15:], 4.0, atol=estimator.info.exact_tol)
    np.testing.assert_allclose(fit.effects.counterfactual.omega[[1, 3, 6]], [0.5, 0.3, 0.2], atol=1e-6)


@pytest.mark.parametrize("estimator", [SC(), SC(intercept=True), SDID(eta_omega=0.0)])
def test_recovers_the_truth_of_the_factor_design(estimator):
    """Units differ in their response to common factors, so plain differences are biased; a twin exists."""
    frame, truth = dgp("factor", n_units=80, n_times=20, seed=2, noise=0.0)
    columns = ge.Columns(unit="unit", time="time", outcome="y", cohort="cohort", never=(0,))
    panel = ge.read_panel(frame, columns)
    treated = tuple(panel.unit_ids[np.isfinite(panel.adoption)].tolist())
    design = ge.block_design(panel, treated=treated, start=float(truth["cohort"].iloc[0]))
    found = estimates(estimator, panel, design)[-len(truth) :]
    np.testing.assert_allclose(found, truth["att"], atol=1e-6)
    plain = estimates(SDID(unit_weights="uniform", time_weights="uniform"), panel, design)[-len(truth) :]
    assert np.abs(plain - truth["att"]).max() > 0.1


def test_constant_outcomes_give_equal_weights_and_no_effect(make_panel):
    panel = make_panel(np.full((5, 6), 7.0))
    design = ge.block_design(panel, treated=("a02",), start=2004)
    for estimator in EVERY:
        effects = ge.fit(estimator, panel, design).effects
        np.testing.assert_allclose(effects.estimate, 0.0, atol=1e-12)
        np.testing.assert_allclose(effects.counterfactual.omega, 0.25)


# one function, special cases --------------------------------------------------------------------------------------


def test_uniform_weights_are_plain_difference_in_differences(factor_block):
    panel, design = factor_block
    y, treated = panel.outcome, design.treated()
    change = y[:, 10:].mean(axis=1) - y[:, :10].mean(axis=1)
    expected = change[treated].mean() - change[~treated].mean()
    found = estimates(EVERY[3], panel, design)
    assert found[10:].mean() == pytest.approx(expected, abs=1e-12)


def test_intercept_means_effects_against_the_mean_gap_before(factor_block):
    panel, design = factor_block
    effects = ge.fit(SC(intercept=True), panel, design).effects
    assert effects.estimate[:10].mean() == pytest.approx(0.0, abs=1e-12)
    assert effects.counterfactual.pre_rmspe < 0.3  # of noise 0.3 / sqrt(3) and more


def test_an_intercept_lowers_the_loss(factor_block):
    panel, design = factor_block
    without, with_one = (ge.fit(SC(intercept=flag), panel, design).effects for flag in (False, True))
    assert with_one.counterfactual.pre_rmspe <= without.counterfactual.pre_rmspe


# invariances ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", EVERY)
@pytest.mark.parametrize(("shift", "scale"), [(100.0, 1.0), (0.0, 1e4), (-3.0, -0.01)])
def test_affine_outcomes(factor_block, estimator, shift, scale):
    panel, design = factor_block
    moved = panel.with_outcome(shift + scale * panel.outcome)
    expected = scale * estimates(estimator, panel, design)
    np.testing.assert_allclose(estimates(estimator, moved, design), expected, atol=abs(scale) * 1e-7)


@pytest.mark.parametrize("estimator", [SC(intercept=True), SDID(), EVERY[3]])
def test_unit_constants(factor_block, estimator):
    panel, design = factor_block
    constants = np.random.default_rng(5).normal(size=(panel.n_units, 1)) * 10
    moved = panel.with_outcome(panel.outcome + constants)
    np.testing.assert_allclose(estimates(estimator, moved, design), estimates(estimator, panel, design), atol=1e-7)


@pytest.mark.parametrize("estimator", [SC(), SC(intercept=True), SDID(eta_omega=0.0), EVERY[3]])
def test_common_time_shocks(factor_block, estimator):
    panel, design = factor_block
    moved = panel.with_outcome(panel.outcome + np.random.default_rng(6).normal(size=panel.n_times))
    np.testing.assert_allclose(estimates(estimator, moved, design), estimates(estimator, panel, design), atol=1e-6)


def test_time_shocks_reach_synthetic_did_through_the_penalty_only(factor_block):
    panel, design = factor_block
    moved = panel.with_outcome(panel.outcome + 5 * np.random.default_rng(6).normal(size=panel.n_times))
    assert np.abs(estimates(SDID(), moved, design) - estimates(SDID(), panel, design)).max() > 1e-3


@pytest.mark.parametrize("estimator", EVERY)
def test_order_of_units(factor_block, estimator):
    panel, design = factor_block
    order = np.random.default_rng(7).permutation(panel.n_units)
    found = estimates(estimator, panel.take_units(order), design.take_units(order))
    np.testing.assert_allclose(found, estimates(estimator, panel, design), atol=1e-8)


def test_order_of_units_with_more_donors_than_times(make_panel):
    """The weights are not unique without the tie-break; with it, every path ends at the same ones."""
    rng = np.random.default_rng(9)
    outcome = rng.normal(size=(60, 8))
    outcome[0] = outcome[1:].mean(axis=0)
    panel = make_panel(outcome)
    design = ge.block_design(panel, treated=("a00",), start=2006)
    base = ge.fit(SC(), panel, design).effects
    assert base.counterfactual.pre_rmspe < 1e-6
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(60)
        found = estimates(SC(), panel.take_units(order), design.take_units(order))
        np.testing.assert_allclose(found, base.estimate, atol=1e-6)


def test_weight_two_is_a_treated_unit_twice(factor_block, make_panel):
    panel, design = factor_block
    weight = np.ones(panel.n_units)
    weight[0] = 2.0
    doubled = make_panel(np.vstack([panel.outcome, panel.outcome[:1]]))
    larger = ge.block_design(doubled, treated=("a00", "a01", "a02", "a25"), start=2011)
    found = estimates(SC(), panel.with_unit_weight(weight), design)
    np.testing.assert_allclose(found, estimates(SC(), doubled, larger), atol=1e-9)
    assert np.abs(found - estimates(SC(), panel, design)).max() > 1e-3


def test_a_donor_twice_changes_nothing(factor_block, make_panel):
    panel, design = factor_block
    doubled = make_panel(np.vstack([panel.outcome, panel.outcome[3:]]))
    larger = ge.block_design(doubled, treated=("a00", "a01", "a02"), start=2011)
    np.testing.assert_allclose(estimates(SC(), panel, design), estimates(SC(), doubled, larger), atol=1e-6)


def test_units_outside_the_design_do_not_matter(factor_block):
    panel, _ = factor_block
    donors = tuple(f"a{row:02d}" for row in range(5, 20))
    design = ge.block_design(panel, treated=("a00",), start=2011, donors=donors)
    noisy = panel.outcome.copy()
    noisy[[1, 2, 3, 4, 22]] = np.nan
    np.testing.assert_array_equal(
        estimates(SDID(), panel.with_outcome(noisy), design), estimates(SDID(), panel, design)
    )


# what the effects carry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", EVERY)
def test_implied_weights_and_counterfactual(factor_block, estimator):
    panel, design = factor_block
    fit = ge.fit(estimator, panel, design)
    effects, path = fit.effects, fit.effects.counterfactual
    np.testing.assert_allclose(effects.index.event_time, np.arange(-10, 4))
    assert (effects.index.cohort == 2011).all()
    weights = effects.weights.dense()
    np.testing.assert_allclose((weights * panel.outcome).sum(axis=(1, 2)), effects.estimate, atol=1e-10)
    at_time = weights[12, :, 12]
    assert at_time[design.treated()].sum() == pytest.approx(1.0)
    assert at_time[~design.treated()].sum() == pytest.approx(-1.0)
    np.testing.assert_allclose(path.observed - path.synthetic, effects.estimate, atol=1e-12)
    np.testing.assert_allclose(path.observed, panel.outcome[:3].mean(axis=0))
    assert path.omega.sum() == pytest.approx(1.0)
    assert path.pre_rmspe == pytest.approx(np.sqrt((effects.estimate[:10] ** 2).mean()))
    assert path.fit_times.tolist() == list(range(2001, 2011))
    one = fit.aggregate(ge.overall()).effects
    assert one.estimate[0] == pytest.approx(effects.estimate[10:].mean(), abs=1e-12)
    assert (one.weights.dense() * panel.outcome).sum() == pytest.approx(one.estimate[0], abs=1e-10)
    assert effects.capabilities == estimator.info.provides
    assert effects.influence is None


@pytest.mark.parametrize("estimator", EVERY)
def test_pure_and_picklable(factor_block, estimator):
    panel, design = factor_block
    before = panel.outcome.tobytes()
    first, second = (ge.fit(estimator, panel, design).effects for _ in range(2))
    assert first.estimate.tobytes() == second.estimate.tobytes()
    assert panel.outcome.tobytes() == before
    assert pickle.loads(pickle.dumps(estimator)) == estimator == dataclasses.replace(estimator)
    again = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(again.weights.dense(), first.weights.dense())


def test_notes_say_how_good_the_fit_is(factor_block):
    panel, design = factor_block
    notes = " | ".join(ge.fit(SDID(), panel, design).effects.notes)
    assert "RMSPE" in notes
    assert "donors have weight" in notes
    assert "unit weights optimal: relative duality gap" in notes
    assert "time weights optimal" in notes


def test_anticipation_and_reported_times(factor_block):
    panel, design = factor_block
    early = dataclasses.replace(design, anticipation=2)
    effects = ge.fit(SC(), panel, early).effects
    assert effects.counterfactual.fit_times.tolist() == list(range(2001, 2009))
    some = dataclasses.replace(design, effect_times=panel.times >= 2012)
    effects = ge.fit(SDID(), panel, some).effects
    assert effects.index.time.tolist() == [2012, 2013, 2014]
    fewer = design.refit_on(panel.times <= 2006)
    assert ge.fit(SC(), panel, fewer).effects.counterfactual.fit_times.tolist() == list(range(2001, 2007))


def test_covariates_are_said_to_be_unused(factor_block):
    panel, design = factor_block
    with_covariate = dataclasses.replace(
        panel,
        columns=dataclasses.replace(panel.columns, covariates=("x",)),
        covariates=np.zeros((panel.n_units, panel.n_times, 1)),
    )
    assert "covariates not used: x" in ge.fit(SC(), with_covariate, design).effects.notes


# warnings and refusals --------------------------------------------------------------------------------------------


def test_poor_fit_and_hull(make_panel):
    outcome = two_way(1)
    outcome[0] += 20.0
    panel = make_panel(outcome)
    design = ge.block_design(panel, treated=("a00",), start=2008)
    with pytest.warns(PoorPreFitWarning, match=r"RMSPE .* % of the standard deviation between donors \(poor") as caught:
        effects = ge.fit(SC(), panel, design).effects
    assert caught[0].filename == __file__  # the warning points at the caller of ge.fit
    assert any("outside the range of the donors at 7 of 7 times" in note for note in effects.notes)
    assert any("intercept=True" in note for note in effects.notes)
    share = effects.counterfactual.pre_rmspe / np.sqrt(outcome[1:, :7].var(axis=0, ddof=1).mean())
    assert share > POOR_FIT
    better = ge.fit(SC(intercept=True), panel, design).effects  # no warning
    assert not any("outside" in note for note in better.notes)


@pytest.mark.parametrize("estimator", [SC(), SDID()])
def test_holes_are_named(factor_block, estimator):
    panel, design = factor_block
    outcome = panel.outcome.copy()
    outcome[7, 2] = outcome[9, 12] = np.nan
    holed = panel.with_outcome(outcome)
    with pytest.raises(UnbalancedError, match=r"2 of 350 .* in 2 units \(first: a07 at 2003, a09 at 2013\)"):
        ge.fit(estimator, holed, design)


@pytest.mark.parametrize("estimator", [SC(), SDID()])
def test_designs_that_cannot_work(factor_block, estimator):
    panel, design = factor_block
    nobody = design.reassign(np.full(panel.n_units, np.inf))
    with pytest.raises(NoTreatedError):
        ge.fit(estimator, panel, nobody)
    with pytest.raises(NoComparisonError):
        ge.fit(estimator, panel, design.reassign(design.cohort, np.zeros(panel.n_units, dtype=bool)))
    with pytest.raises(NoPrePeriodError, match="there are 1"):
        ge.fit(estimator, panel, ge.block_design(panel, treated=("a00",), start=2002))
    staggered = design.cohort.copy()
    staggered[1] = 2012
    with pytest.raises(DesignError, match=r"2 \(2011, 2012\)"):
        ge.fit(estimator, panel, design.reassign(staggered))
    with pytest.raises(DesignError, match="no base period"):
        ge.fit(estimator, panel, dataclasses.replace(design, baseline=ge.baseline_window(2001, 2003)))
    with pytest.raises(DesignError, match="no treated time"):
        ge.fit(estimator, panel, dataclasses.replace(design, effect_times=panel.times < 2005))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SC(eta=-1.0),
        lambda: SC(eta=float("nan")),
        lambda: SC(solver="simplex"),
        lambda: SDID(unit_weights="equal"),
        lambda: SDID(time_weights="none"),
        lambda: SDID(eta_omega=-0.1),
        lambda: SDID(eta_lambda=-0.1),
        lambda: SDID(solver="best"),
    ],
)
def test_options_out_of_range(make):
    with pytest.raises(SpecError):
        make()


# held weights -----------------------------------------------------------------------------------------------------


def test_held_weights_repeat_the_fit_and_shrink_with_the_donors(factor_block):
    panel, design = factor_block
    fit = ge.fit(SDID(), panel, design)
    held = fit.estimator.holding(fit.effects)
    again = ge.fit(held, panel, design)
    np.testing.assert_allclose(again.effects.estimate, fit.effects.estimate, atol=1e-12)
    heaviest = int(np.argmax(fit.effects.counterfactual.omega)) + 3
    keep = np.arange(panel.n_units) != heaviest
    fewer = ge.fit(held, panel.take_units(keep), design.take_units(keep)).effects.counterfactual
    expected = np.delete(fit.effects.counterfactual.omega, heaviest - 3)
    np.testing.assert_allclose(fewer.omega, expected / expected.sum())
    assert pickle.loads(pickle.dumps(held)) == held


def test_held_weights_refuse_what_they_do_not_know(factor_block):
    panel, design = factor_block
    fit = ge.fit(SDID(), panel, design)
    held = fit.estimator.holding(fit.effects)
    none = dataclasses.replace(held, omega=tuple((unit, 0.0) for unit, _ in held.omega))
    with pytest.raises(EstimationError, match="has a weight"):
        ge.fit(none, panel, design)
    with pytest.raises(EstimationError, match="not a fitted time"):
        ge.fit(held, panel, ge.block_design(panel, treated=("a00",), start=2005))
    with pytest.raises(EstimationError, match="no donor weights"):
        SC().holding(dataclasses.replace(fit.effects, counterfactual=None))
