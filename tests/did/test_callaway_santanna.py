"""Callaway-Sant'Anna against slow loops, and what it says about cells it cannot compute."""

from dataclasses import replace

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.design.baseline import BaselineWindow
from groupeffect.errors import EstimationError, NoComparisonError, OverlapError, SpecError, WeakOverlapWarning
from groupeffect.testing import check_estimator, conditional_trend_panel, staggered_panel

CS = ge.did.CallawaySantAnna


def slow_cells(panel, design):
    """Cells by their definition, one 2x2 comparison of weighted means at a time, on units seen at both times."""
    found = {}
    times = panel.times.tolist()
    for g in sorted({g for g in design.cohort if g <= times[-1]}):
        before = [t for t in times if t + design.anticipation < g]
        for t in times:
            if isinstance(design.baseline, BaselineWindow):
                bases = [b for b in before if design.baseline.first <= b <= design.baseline.last]
            elif design.baseline == "universal" or t >= g or t > before[-1]:
                bases = before[-1:]
            else:
                bases = [s for s in times if s < t][-1:]
            if not bases:
                continue
            threshold = max(t, bases[-1]) + design.anticipation
            effects = []
            for b in bases:
                change = panel.outcome[:, times.index(t)] - panel.outcome[:, times.index(b)]
                seen = np.isfinite(change)
                treated = (design.cohort == g) & seen
                if design.comparison == "never_treated":
                    others = np.isinf(design.cohort) & design.comparison_pool & seen
                else:
                    others = (design.cohort > threshold) & (design.cohort != g) & design.comparison_pool & seen
                if treated.any() and others.any():
                    w = panel.unit_weight
                    effects.append(
                        np.average(change[treated], weights=w[treated]) - np.average(change[others], weights=w[others])
                    )
            if effects:
                found[g, t] = float(np.mean(effects))
    return found


def cells_of(fit):
    index = fit.effects.index
    return dict(zip(zip(index.cohort.tolist(), index.time.tolist(), strict=True), fit.effects.estimate, strict=True))


@pytest.mark.parametrize("comparison", ["not_yet_treated", "never_treated"])
@pytest.mark.parametrize("base", ["varying", "universal", ge.baseline_window(2001, 2002)], ids=str)
@pytest.mark.parametrize("anticipation", [0, 1])
@pytest.mark.parametrize("hole_share", [0.0, 0.1])
@pytest.mark.filterwarnings("ignore::groupeffect.errors.DroppedUnitsWarning")
def test_cells_are_those_of_the_definition(comparison, base, anticipation, hole_share):
    panel = staggered_panel(64, weighted=True, hole_share=hole_share)
    design = ge.staggered_design(panel, comparison=comparison, base_period=base, anticipation=anticipation)
    ours = cells_of(ge.fit(CS(unbalanced="pairs"), panel, design))
    slow = slow_cells(panel, design)
    assert ours.keys() == slow.keys()
    for key, value in slow.items():
        assert ours[key] == pytest.approx(value, abs=1e-12), key


def test_methods_agree_without_covariates():
    panel = staggered_panel(64)
    design = ge.staggered_design(panel)
    effects = [ge.fit(CS(method=method), panel, design).effects for method in ("dr", "ipw", "reg")]
    for other in effects[1:]:
        np.testing.assert_allclose(other.estimate, effects[0].estimate, atol=1e-12)
        np.testing.assert_allclose(other.influence.values, effects[0].influence.values, atol=1e-12)


def test_time_constant_covariates_need_one_propensity_per_comparison(monkeypatch):
    """Cells that share units and covariates are computed together: the reason why it is quick."""
    from groupeffect.did import callaway_santanna

    calls = []
    right = callaway_santanna.panel_block
    monkeypatch.setattr(
        callaway_santanna, "panel_block", lambda *args, **options: (calls.append(1), right(*args, **options))[1]
    )
    panel = staggered_panel(64, covariate=True)
    constant = replace(panel, covariates=np.broadcast_to(panel.covariates[:, :1], panel.covariates.shape))
    ge.fit(CS(), constant, ge.staggered_design(constant, comparison="never_treated"))
    assert len(calls) == 3


@pytest.mark.parametrize("method", ["dr", "ipw", "reg"])
def test_covariates_are_taken_at_the_base_period(method):
    panel = conditional_trend_panel()
    design = ge.staggered_design(panel)
    own = ge.fit(CS(method=method), panel, design).aggregate(ge.overall()).effects.estimate[0]
    assert own == pytest.approx(0.5, abs=1e-9)
    earlier = replace(panel, covariates=panel.covariates[:, [0, 0, 1, 2, 3, 4]])
    wrong = ge.fit(CS(method=method), earlier, design).aggregate(ge.overall()).effects.estimate[0]
    assert abs(wrong - 0.5) > 0.05


def test_pairs_do_not_depend_on_unit_constants():
    panel = staggered_panel(64, hole_share=0.08)
    moved = panel.with_outcome(panel.outcome + 10 * np.random.default_rng(1).normal(size=(64, 1)))
    design = ge.staggered_design(panel)
    own, again = (ge.fit(CS(unbalanced="pairs"), data, design).effects for data in (panel, moved))
    np.testing.assert_allclose(again.estimate, own.estimate, atol=1e-11)
    sections = [ge.fit(CS(), data, design).effects.estimate for data in (panel, moved)]
    assert np.abs(sections[0] - sections[1]).max() > 0.1


@pytest.mark.parametrize("option", ["pairs", "cross_sections"])
def test_without_holes_both_ways_agree(option):
    panel = staggered_panel(64, covariate=True)
    design = ge.staggered_design(panel)
    np.testing.assert_array_equal(
        ge.fit(CS(unbalanced=option), panel, design).effects.estimate, ge.fit(CS(), panel, design).effects.estimate
    )


def test_holes_are_counted_in_the_notes():
    panel = staggered_panel(64, hole_share=0.1)
    holes = int((~np.isfinite(panel.outcome)).sum())
    for option, words in (("cross_sections", "repeated cross-sections"), ("pairs", "pairs of times")):
        notes = ge.fit(CS(unbalanced=option), panel, ge.staggered_design(panel)).effects.notes
        assert any(note.startswith(f"{holes} of 384 unit-times") and words in note for note in notes)


def test_small_cohorts_are_noted():
    panel = staggered_panel(32)
    notes = ge.fit(CS(), panel, ge.staggered_design(panel)).effects.notes
    assert "cohorts with fewer than 5 units: 2006" in notes


def test_a_cohort_of_one_school_is_estimated_and_noted():
    panel = staggered_panel(33)
    lonely = np.where(np.arange(33) == 32, 2004.0, panel.adoption)
    panel = replace(panel, adoption=lonely)
    fit = ge.fit(CS(), panel, ge.staggered_design(panel))
    assert np.isfinite(fit.effects.estimate).all()
    assert any("2004" in note for note in fit.effects.notes)


def separated(cohorts):
    """Covariate that tells units of some cohorts from all others."""
    panel = staggered_panel(64, covariate=True)
    x = panel.covariates.copy()
    x[np.isin(panel.adoption, cohorts)] += 100
    return replace(panel, covariates=x)


def test_cells_without_overlap_are_nan_with_the_reason():
    panel = separated([2006])
    with pytest.warns(WeakOverlapWarning, match="5 cells .* not computed"):
        fit = ge.fit(CS(), panel, ge.staggered_design(panel))
    lost = np.isnan(fit.effects.estimate)
    assert set(fit.effects.index.cohort[lost]) == {2006}
    assert (fit.effects.influence.values[:, lost] == 0).all()
    assert any("separate treated from comparison" in note for note in fit.effects.notes)
    overall = fit.aggregate(ge.overall()).effects
    assert np.isfinite(overall.estimate).all()
    rest = panel.take_units(panel.adoption != 2006)
    assert 2006 not in fit.aggregate(ge.by_cohort()).effects.index.cohort
    assert len(rest.unit_ids) < panel.n_units
    table = fit.infer(ge.ClusterRobust()).tidy()
    assert table.loc[table.cohort == 2006, "std_error"].isna().all()


def test_no_cell_with_overlap_is_refused():
    panel = separated([2003, 2005, 2006])
    with pytest.raises(EstimationError, match="None of the 7 post-treatment cells can be computed") as caught:
        ge.fit(CS(), panel, ge.staggered_design(panel, comparison="never_treated"))
    assert "reg" in caught.value.hint


def test_regression_needs_no_overlap():
    panel = separated([2003, 2005, 2006])
    fit = ge.fit(CS(method="reg"), panel, ge.staggered_design(panel, comparison="never_treated"))
    assert np.isfinite(fit.effects.estimate).all()


def test_collinear_covariates_are_named_as_such():
    panel = staggered_panel(64, covariate=True)
    twice = np.concatenate([panel.covariates, 2 * panel.covariates], axis=2)
    columns = replace(panel.columns, covariates=("x", "x2"))
    panel = replace(panel, covariates=twice, columns=columns)
    with pytest.raises(EstimationError, match="collinear"):
        ge.fit(CS(), panel, ge.staggered_design(panel))


def test_last_cohort_without_never_treated_serves_as_comparison_only():
    panel = staggered_panel(64)
    panel = replace(panel, adoption=np.where(np.isinf(panel.adoption), 2006.0, panel.adoption))
    fit = ge.fit(CS(), panel, ge.staggered_design(panel))
    assert set(fit.effects.index.cohort) == {2003, 2005}
    assert fit.effects.index.time.max() == 2005
    assert {(cell.cohort, cell.time) for cell in fit.effects.unidentified} == {
        (2003, 2006), (2005, 2006), (2006, 2006),
    }  # fmt: skip
    assert any("3 treated cohort-times have no comparison" in note for note in fit.effects.notes)


def test_only_units_of_the_pool_compare():
    panel = staggered_panel(64)
    pool = np.arange(64) < 48
    design = ge.staggered_design(panel, comparison_pool=pool)
    fit = ge.fit(CS(), panel, design)
    outside = ~pool & np.isinf(panel.adoption)
    assert (fit.effects.influence.values[outside] == 0).all()
    shocked = panel.outcome.copy()
    shocked[outside] += 1000
    again = ge.fit(CS(), panel.with_outcome(shocked), design)
    np.testing.assert_array_equal(again.effects.estimate, fit.effects.estimate)


def test_no_comparison_at_any_time():
    panel = staggered_panel(64)
    design = ge.staggered_design(panel).reassign(np.where(np.isfinite(panel.adoption), 2004, np.inf))
    nobody = replace(design, comparison_pool=np.zeros(64, dtype=bool))
    with pytest.raises(NoComparisonError, match="No cell after treatment"):
        ge.fit(CS(), panel, nobody)


@pytest.mark.parametrize("options", [{"method": "ols"}, {"unbalanced": "drop"}, {"convention": "stata"}])
def test_unknown_options(options):
    with pytest.raises(SpecError, match=next(iter(options.values()))) as caught:
        CS(**options)
    assert caught.value.hint


def test_contract_of_the_drdid_convention():
    """R's convention is not the derivative where it applies: with covariates in cross-sections."""
    report = check_estimator(CS(convention="drdid"), only=("derivative", "recovery"))
    assert {outcome.name for outcome in report.failures} == {"derivative [random directions, holes]"}


def test_near_perfect_prediction_is_an_overlap_problem():
    rng = np.random.default_rng(0)
    panel = staggered_panel(64, covariate=True)
    panel = replace(panel, adoption=np.where(np.isfinite(panel.adoption), 2004.0, np.inf))
    x = panel.covariates.copy()
    x[:] = (20 * np.isfinite(panel.adoption) + rng.normal(size=64) * 0.01)[:, None, None]
    panel = replace(panel, covariates=x)
    with pytest.raises(EstimationError, match=r"separate|propensity"):
        ge.fit(CS(), panel, ge.staggered_design(panel))
    assert issubclass(OverlapError, EstimationError)
