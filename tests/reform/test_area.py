from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from groupeffect import by_event_time, overall, staggered_design
from groupeffect.did import CallawaySantAnna
from groupeffect.errors import SpecError
from groupeffect.reform import AreaAdjusted, member_effect


def weight_derivative(fit, scheme, units, h=1e-5):
    """Numerical derivative of aggregated estimates in the weights of some units, shape (units, rows)."""
    rows = []
    for unit in units:
        ends = []
        for step in (h, -h):
            weight = fit.panel.unit_weight.copy()
            weight[unit] += step
            again = fit.rerun(panel=fit.panel.with_unit_weight(weight))
            ends.append(again.aggregate(scheme).effects.estimate if scheme else again.effects.estimate)
        rows.append((ends[0] - ends[1]) / (2 * h))
    return np.array(rows)


@pytest.fixture(scope="module")
def fit(build):
    # the last areas have too few reference schools and follow the path of all
    return member_effect(build(noise=0.2, missing=0.08, n_areas=9, n_outside=60, seed=8).panel, pool="weak").fit


def some_units(fit, per_kind=4):
    kinds = [np.flatnonzero(fit.panel.attributes["role"] == role)[:per_kind] for role in ("member", "core", "none")]
    return np.concatenate([*kinds, [fit.panel.n_units - 1]])


def test_some_areas_follow_the_common_path(build):
    effect = member_effect(build(noise=0.2, n_areas=30, n_outside=60, seed=8).panel, pool="all_never")
    assert any("30 of 30 areas have fewer than 3" in note for note in effect.notes)


@pytest.mark.parametrize("scheme", [None, overall(), by_event_time()], ids=["cells", "overall", "event_time"])
def test_influence_is_the_derivative_in_the_weights(fit, scheme):
    units = some_units(fit)
    numeric = weight_derivative(fit, scheme, units)
    effects = fit.aggregate(scheme).effects if scheme else fit.effects
    analytic = effects.influence.values[units] / fit.panel.n_units
    scale = np.abs(effects.influence.values / fit.panel.n_units).max(axis=0)
    assert (np.abs(numeric - analytic) / scale < 1e-5).all()


def test_derivative_with_some_areas_pooled(build):
    toy = build(noise=0.2, missing=0.05, n_areas=6, n_outside=60, seed=2)
    area = toy.panel.attributes["county_id"].copy()
    outside = np.flatnonzero(toy.outside & (area == "C5"))
    area[outside[2:]] = "C4"  # area C5 keeps two reference schools
    found = member_effect(toy.panel.with_attributes(county_id=area), pool="all_never").fit
    assert any("1 of 6 areas" in note for note in found.effects.notes)
    units = np.r_[some_units(found), outside[:2]]
    numeric = weight_derivative(found, overall(), units)
    analytic = found.aggregate(overall()).effects.influence.values
    assert (
        np.abs(numeric - analytic[units] / found.panel.n_units).max()
        < 1e-5 * np.abs(analytic).max() / found.panel.n_units
    )


def test_influence_has_mean_zero(fit):
    assert np.abs(fit.effects.influence.values.mean(axis=0)).max() < 1e-12


@pytest.fixture(scope="module")
def exhausted(build):
    """Nobody stays outside: schools not yet in a group trace the paths of their areas."""
    return build(noise=0.2, missing=0.05, n_groups=80, n_outside=0, n_areas=2, seed=5)


def test_schools_not_yet_in_a_group_can_trace_the_paths(build):
    toy = build(n_groups=80, n_outside=0, n_areas=2, area_shock=2.0)
    effect = member_effect(toy.panel)
    assert effect.estimate == pytest.approx(toy.mean_tau(effect), abs=1e-6)
    assert any("schools not yet in one trace the paths" in note for note in effect.notes)


def test_derivative_when_schools_not_yet_in_a_group_trace_the_paths(exhausted):
    found = member_effect(exhausted.panel).fit
    units = some_units(found)
    numeric = weight_derivative(found, overall(), units)
    analytic = found.aggregate(overall()).effects.influence.values
    size = np.abs(analytic).max() / found.panel.n_units
    assert np.abs(numeric - analytic[units] / found.panel.n_units).max() < 1e-5 * size
    weights = found.effects.weights.dense()
    outcome = np.where(np.isfinite(found.panel.outcome), found.panel.outcome, 0.0)
    assert (weights * outcome).sum(axis=(1, 2)) == pytest.approx(np.nan_to_num(found.effects.estimate), abs=1e-12)


def test_areas_without_waiting_schools_are_left_out(exhausted):
    # one area has all its groups founded at once: nobody is left there to trace its path
    area = exhausted.panel.attributes["county_id"].copy()
    adoption = exhausted.panel.adoption.copy()
    early = area == "C0"
    adoption[early] = 2022.0
    effect = member_effect(dataclasses.replace(exhausted.panel, adoption=adoption))
    assert effect.n_areas == 1
    assert not np.isin(effect.treated_ids, exhausted.panel.unit_ids[early]).any()
    assert not set(effect.used()["unit"]) & set(exhausted.panel.unit_ids[early])


def test_implied_weights_reproduce_the_estimates(fit):
    weights = fit.effects.weights.dense()
    outcome = np.where(np.isfinite(fit.panel.outcome), fit.panel.outcome, 0.0)
    assert (weights * outcome).sum(axis=(1, 2)) == pytest.approx(fit.effects.estimate, abs=1e-12)
    assert np.abs(weights[:, ~np.isfinite(fit.panel.outcome)]).max() == 0
    whole = fit.aggregate(overall()).effects
    assert (whole.weights.dense() * outcome).sum() == pytest.approx(whole.estimate[0], abs=1e-12)


def test_weight_two_is_a_school_twice(build):
    toy = build(noise=0.2, missing=0.05, seed=1)
    panel = toy.panel
    extra = np.r_[np.flatnonzero(toy.outside)[:3], np.flatnonzero(toy.member)[:3]]
    rows = np.r_[np.arange(panel.n_units), extra]
    arrays = ("outcome", "adoption", "exit", "unit_weight", "cell_size", "covariates")
    doubled = dataclasses.replace(
        panel,
        unit_ids=np.r_[panel.unit_ids, np.array([f"copy{i}" for i in range(6)], dtype=object)],
        attributes={name: values[rows] for name, values in panel.attributes.items()},
        **{name: getattr(panel, name)[rows] for name in arrays},
    )
    weight = np.ones(panel.n_units)
    weight[extra] = 2.0
    twice = member_effect(doubled, pool="all_never")
    weighted = member_effect(panel.with_unit_weight(weight), pool="all_never")
    assert twice.estimate == pytest.approx(weighted.estimate, abs=1e-12)


def test_within_areas_is_the_mean_of_the_areas_comparisons(build):
    """For schools never in a group as comparison: each area's difference-in-differences, weighted by its treated."""
    toy = build(noise=0.2, seed=6)
    found = member_effect(toy.panel, pool="all_never").fit
    cell = int(np.flatnonzero((found.effects.index.cohort == 2023) & (found.effects.index.time == 2024))[0])
    change = toy.panel.outcome[:, 8] - toy.panel.outcome[:, :4].mean(axis=1)
    treated = toy.member & (toy.panel.adoption == 2023)
    area = toy.panel.attributes["county_id"]
    expected = np.mean(
        [change[unit] - change[toy.outside & (area == area[unit])].mean() for unit in np.flatnonzero(treated)]
    )
    assert found.effects.estimate[cell] == pytest.approx(expected, abs=1e-12)


def test_missing_base_years_do_not_let_area_shocks_in(build):
    toy = build(area_shock=5.0, missing=0.2, seed=4)
    effect = member_effect(toy.panel, pool="all_never")
    truth = effect.event_study.tidy().set_index("event_time")["estimate"]
    assert truth.loc[[0, 1, 2, 3]].tolist() == pytest.approx([0.03, 0.07, 0.10, 0.12], abs=1e-6)


def test_a_year_without_exam_is_no_obstacle(build):
    toy = build(area_shock=1.0)
    outcome = toy.panel.outcome.copy()
    outcome[:, [2, 4]] = np.nan  # 2018 and 2020
    effect = member_effect(toy.panel.with_outcome(outcome), pool="all_never")
    assert effect.estimate == pytest.approx(toy.mean_tau(effect), abs=1e-7)


def test_counts_in_the_notes_are_those_of_the_panel(build):
    toy = build(n_groups=60, noise=0.1, missing=0.1, seed=3)
    effect = member_effect(toy.panel)
    holes = int((~np.isfinite(toy.panel.outcome)).sum())
    notes = " ".join(effect.notes)
    assert f"{holes} of {toy.panel.outcome.size} unit-times are not observed" in notes
    assert "7 treated cohort-times have no comparison" in notes
    assert len(effect.fit.effects.unidentified) == 7
    assert notes.count("unit-times are not observed") == 1


def test_needs_a_window_and_its_attributes(toy):
    estimator = AreaAdjusted(CallawaySantAnna(), by="county_id", reference="county_id", cluster="group_id")
    with pytest.raises(SpecError, match="baseline window"):
        estimator.estimate(toy.panel, staggered_design(toy.panel))
    effect = member_effect(toy.panel)
    with pytest.raises(SpecError, match="reform_reference"):
        effect.fit.estimator.estimate(toy.panel, effect.fit.design)
