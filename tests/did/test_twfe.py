"""Two-way fixed effects: contract, solvers, recovery, warnings about weights, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import groupeffect as ge
from groupeffect import registry
from groupeffect.errors import (
    AlreadyTreatedError,
    DesignError,
    EstimationError,
    NoComparisonError,
    NoTreatedError,
    SingularDesignError,
    SpecError,
)
from groupeffect.testing import check_estimator
from groupeffect.testing.panels import constant_effect, growing_effect, staggered_panel

KINDS = {
    "static": ge.did.TWFE(),
    "event_study": ge.did.TWFE(kind="event_study"),
    "by_time": ge.did.TWFE(covariates="by_time"),
    "none": ge.did.TWFE(kind="event_study", covariates="none"),
}


def within(estimator: ge.did.TWFE) -> ge.did.TWFE:
    return replace(estimator, solver="within")


def design(panel: ge.Panel) -> ge.Design:
    return ge.staggered_design(panel)


@pytest.mark.parametrize("name", ["static", "event_study", "by_time"])  # "none" ignores covariates, as asked
def test_contract(name: str) -> None:
    check_estimator(within(KINDS[name])).raise_if_failed()


@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.parametrize("shape", ["plain", "weighted", "holes", "both"])
def test_linearmodels_and_the_exact_solution_agree(name: str, shape: str) -> None:
    panel = staggered_panel(
        covariate=True, weighted=shape in ("weighted", "both"), hole_share=0.15 if shape in ("holes", "both") else 0.0
    )
    one = KINDS[name].estimate(panel, design(panel))
    other = within(KINDS[name]).estimate(panel, design(panel))
    np.testing.assert_allclose(one.estimate, other.estimate, rtol=1e-10, atol=1e-11)
    np.testing.assert_array_equal(one.influence.values, other.influence.values)
    assert one.notes == other.notes


@pytest.mark.parametrize("name", ["static", "event_study"])
def test_linearmodels_coefficients_have_the_stated_derivative(name: str) -> None:
    panel = staggered_panel(24, covariate=True, weighted=True, hole_share=0.05)
    own = KINDS[name].estimate(panel, design(panel))
    for unit in (0, 1, 5):
        ends = []
        for sign in (1, -1):
            weight = panel.unit_weight.copy()
            weight[unit] *= 1 + sign * 1e-4
            moved = panel.with_unit_weight(weight)
            ends.append(KINDS[name].estimate(moved, design(moved)).estimate)
        numeric = panel.n_units * (ends[0] - ends[1]) / 2e-4
        scale = np.abs(own.influence.values).max()
        assert np.abs(own.influence.values[unit] - numeric).max() < 1e-5 * scale


def test_constant_effect_is_found_exactly_with_holes_weights_and_covariates() -> None:
    panel = staggered_panel(noise=0.0, effect=constant_effect, covariate=True, weighted=True, hole_share=0.1)
    assert ge.did.TWFE(covariates="by_time").estimate(panel, design(panel)).estimate[0] == pytest.approx(0.5, abs=1e-10)
    events = ge.did.TWFE(kind="event_study", covariates="by_time").estimate(panel, design(panel))
    expected = np.where(events.index.event_time >= 0, 0.5, 0.0)
    np.testing.assert_allclose(events.estimate, expected, atol=1e-10)


def test_growing_effects_are_missed_and_the_notes_warn() -> None:
    """The reason why this estimator is only an example: early cohorts as comparison for late ones."""
    panel = staggered_panel(noise=0.0, effect=growing_effect)
    own = ge.did.TWFE().estimate(panel, design(panel))
    cells = ge.fit(ge.did.CallawaySantAnna(), panel, design(panel)).aggregate(ge.overall()).effects.estimate[0]
    elapsed = panel.times[None, :] - panel.adoption[:, None]
    after = elapsed >= 0
    cohort = np.broadcast_to(panel.adoption[:, None], elapsed.shape)
    truth = growing_effect(cohort[after], elapsed[after]).mean()
    assert cells == pytest.approx(truth, abs=1e-10)
    assert abs(own.estimate[0] - truth) > 0.05
    weights = own.weights.dense()[0]
    assert own.estimate[0] == pytest.approx((weights[after] * growing_effect(cohort[after], elapsed[after])).sum())
    assert "negative weight" in own.notes[0]
    leads = ge.did.TWFE(kind="event_study").estimate(panel, design(panel))
    before = leads.estimate[leads.index.event_time < -1]
    assert np.abs(before).max() > 0.01  # no unit reacts early, but the leads are not zero
    assert "other event times" in leads.notes[0]


def test_no_contamination_note_with_one_cohort() -> None:
    panel = staggered_panel(noise=1.0)
    one = panel.take_units((panel.adoption == 2005) | np.isinf(panel.adoption))
    notes = ge.did.TWFE(kind="event_study").estimate(one, design(one)).notes
    assert notes == ()


def test_event_study_rows() -> None:
    panel = staggered_panel()
    effects = ge.did.TWFE(kind="event_study").estimate(panel, design(panel))
    np.testing.assert_array_equal(effects.index.event_time, np.arange(-5, 4))
    assert effects.index.is_reference.tolist() == [e == -1 for e in range(-5, 4)]
    assert effects.estimate[4] == 0
    assert not effects.influence.values[:, 4].any()
    assert effects.index.n_treated[5] == (panel.adoption <= 2006).sum()
    assert effects.index.n_treated[0] == (panel.adoption == 2006).sum()
    assert (effects.index.n_comparison == np.isinf(panel.adoption).sum()).all()
    table = ge.fit(ge.did.TWFE(kind="event_study"), panel, design(panel)).infer(ge.ClusterRobust()).tidy()
    assert np.isnan(table.loc[table["event_time"] == -1, "std_error"]).all()
    assert np.isfinite(table.loc[table["event_time"] != -1, "std_error"]).all()


def test_two_references_when_everyone_is_treated() -> None:
    panel = staggered_panel()
    treated = panel.take_units(np.isfinite(panel.adoption))
    with pytest.raises(SingularDesignError, match="event time"):
        ge.did.TWFE(kind="event_study").estimate(treated, design(treated))
    effects = ge.did.TWFE(kind="event_study", reference=(-4, -1)).estimate(treated, design(treated))
    assert effects.index.event_time[effects.index.is_reference].tolist() == [-4, -1]
    assert (effects.estimate[effects.index.is_reference] == 0).all()
    assert np.abs(effects.weights.dense()[~effects.index.is_reference].sum(axis=(1, 2))).max() < 1e-10
    assert any("no unit is never treated" in note for note in effects.notes)


def test_constant_covariates_are_absorbed_and_named() -> None:
    panel = staggered_panel(covariate=True)
    constant = np.repeat(panel.covariates[:, :1], panel.n_times, axis=1)
    fixed = replace(panel, covariates=constant)
    effects = ge.did.TWFE().estimate(fixed, design(fixed))
    assert any("absorbed" in note and note.endswith(" x") for note in effects.notes)
    plain = ge.did.TWFE(covariates="none").estimate(panel, design(panel))
    assert effects.estimate[0] == pytest.approx(plain.estimate[0], rel=1e-12)
    assert effects.regression.n_regressors == 1
    by_time = ge.did.TWFE(covariates="by_time").estimate(fixed, design(fixed))
    assert by_time.regression.n_regressors == panel.n_times  # one less than times, and treatment
    assert by_time.estimate[0] != pytest.approx(plain.estimate[0], rel=1e-6)


def test_units_outside_the_design_take_no_part() -> None:
    panel = staggered_panel()
    pool = np.ones(panel.n_units, dtype=bool)
    pool[[0, 3, 7]] = False  # never treated
    pool[1] = False  # treated 2003
    part = ge.staggered_design(panel, comparison_pool=pool)
    effects = ge.did.TWFE().estimate(panel, part)
    kept = np.delete(np.arange(panel.n_units), [0, 3, 7])
    smaller = panel.take_units(kept)
    alone = ge.did.TWFE().estimate(smaller, design(smaller))
    assert effects.estimate[0] == pytest.approx(alone.estimate[0], rel=1e-12)
    assert not effects.influence.values[[0, 3, 7]].any()
    np.testing.assert_allclose(
        effects.influence.values[kept] / panel.n_units, alone.influence.values / len(kept), rtol=1e-9, atol=1e-12
    )
    assert any("1 treated units outside the comparison pool" in note for note in effects.notes)
    assert any("3 of 48 units are neither" in note for note in effects.notes)


def test_units_that_join_after_the_panel_are_untreated() -> None:
    panel = staggered_panel()
    later = replace(panel, adoption=np.where(np.isinf(panel.adoption), 2010.0, panel.adoption))
    one, other = (ge.did.TWFE(kind="event_study").estimate(p, design(p)) for p in (panel, later))
    np.testing.assert_array_equal(one.estimate, other.estimate)


def test_level_of_a_million_costs_no_digits() -> None:
    panel = staggered_panel()
    far = panel.with_outcome(panel.outcome + 1e6)
    one, other = (ge.did.TWFE().estimate(p, design(p)).estimate[0] for p in (panel, far))
    assert other == pytest.approx(one, abs=1e-7)


def test_an_outcome_of_pure_effects_gives_zero() -> None:
    panel = staggered_panel(noise=0.0, effect=lambda cohort, elapsed: np.zeros(np.broadcast(cohort, elapsed).shape))
    for estimator in KINDS.values():
        assert np.abs(estimator.estimate(panel, design(panel)).estimate).max() < 1e-12


def test_registered_and_inferred() -> None:
    assert registry.find("TWFE") is ge.did.TWFE
    panel = staggered_panel(120, clusters=40)
    own = ge.fit(ge.did.TWFE(), panel, design(panel))
    assert own.effects.capabilities == {"influence", "regression", "refit", "weights"}
    analytic = own.infer(ge.ClusterRobust(by="cluster"))
    jackknife = ge.fit(within(ge.did.TWFE()), panel, design(panel)).infer(ge.Jackknife(by="cluster"))
    assert analytic.tidy()["std_error"][0] == pytest.approx(jackknife.tidy()["std_error"][0], rel=0.1)
    assert analytic.tidy()["conf_low"][0] < 0.5 < analytic.tidy()["conf_high"][0]


@pytest.mark.parametrize(
    "options",
    [{"kind": "dynamic"}, {"covariates": "linear"}, {"solver": "fixest"}, {"reference": ()}, {"reference": np.nan}],
)
def test_unknown_options(options: dict) -> None:
    with pytest.raises(SpecError):
        ge.did.TWFE(**options)


def test_refuses_what_a_regression_cannot_do() -> None:
    panel = staggered_panel()
    window = ge.staggered_design(panel, base_period=ge.baseline_window(2001, 2002))
    with pytest.raises(DesignError, match="baseline window"):
        ge.did.TWFE().estimate(panel, window)
    early = ge.staggered_design(panel, anticipation=1)
    with pytest.raises(DesignError, match="anticipation"):
        ge.did.TWFE().estimate(panel, early)
    with pytest.raises(DesignError, match="anticipation"):
        ge.did.TWFE(kind="event_study").estimate(panel, early)
    assert ge.did.TWFE(kind="event_study", reference=-2).estimate(panel, early).estimate.shape == (9,)
    never = ge.staggered_design(panel, comparison="never_treated")
    with pytest.raises(DesignError, match="3 cohorts"):
        ge.did.TWFE().estimate(panel, never)
    with pytest.raises(DesignError, match="-9 is not observed"):
        ge.did.TWFE(kind="event_study", reference=-9).estimate(panel, design(panel))


def test_one_cohort_against_never_treated() -> None:
    panel = staggered_panel(noise=0.0)
    one = panel.take_units((panel.adoption == 2005) | np.isinf(panel.adoption))
    never = ge.staggered_design(one, comparison="never_treated")
    assert ge.did.TWFE().estimate(one, never).estimate[0] == pytest.approx(0.5, abs=1e-11)
    treated = one.unit_ids[np.isfinite(one.adoption)].tolist()
    block = ge.block_design(one, treated=treated, start=2005)
    assert ge.did.TWFE().estimate(one, block).estimate[0] == pytest.approx(0.5, abs=1e-11)


def test_refuses_exits_by_name() -> None:
    panel = staggered_panel()
    leaving = panel.exit.copy()
    leaving[[1, 4]] = 2006
    with pytest.raises(DesignError, match=r"2 treated units leave .*102 at 2006, 105 at 2006"):
        ge.did.TWFE().estimate(replace(panel, exit=leaving), design(panel))
    after = np.where(np.isfinite(panel.exit), panel.exit, 2007.0)  # after the last time: no exit in the panel
    assert ge.did.TWFE().estimate(replace(panel, exit=after), design(panel)).estimate.shape == (1,)


def test_refuses_empty_sides() -> None:
    panel = staggered_panel()
    plain = design(panel)
    with pytest.raises(NoTreatedError):
        ge.did.TWFE().estimate(panel, plain.reassign(np.full(panel.n_units, np.inf)))
    with pytest.raises(AlreadyTreatedError):
        ge.did.TWFE().estimate(panel, plain.reassign(np.where(plain.treated(), 2001.0, np.inf)))
    with pytest.raises(NoComparisonError):
        ge.did.TWFE().estimate(panel, plain.reassign(plain.cohort, np.zeros(panel.n_units, dtype=bool)))
    hidden = np.where(panel.times[None, :] >= panel.adoption[:, None], np.nan, panel.outcome)
    with pytest.raises(NoTreatedError, match="observed"):
        ge.did.TWFE().estimate(panel.with_outcome(hidden), plain)
    few = np.where(panel.times[None, :] == panel.adoption[:, None], panel.outcome, np.nan)
    few[:, 0] = np.where(np.arange(panel.n_units) < 10, panel.outcome[:, 0], np.nan)
    with pytest.raises(EstimationError, match=r"observations for|explain treated"):
        ge.did.TWFE().estimate(panel.with_outcome(few), plain)
