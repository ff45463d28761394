from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from groupeffect import Jackknife, by_event_time, overall
from groupeffect.errors import (
    BeyondSupportError,
    DesignError,
    FewClustersWarning,
    NoComparisonError,
    NoPrePeriodError,
    NoTreatedError,
    SpecError,
)
from groupeffect.reform import Roles, core_effect, member_effect


@pytest.fixture(scope="module")
def member(toy):
    return member_effect(toy.panel)


@pytest.fixture(scope="module")
def core(toy):
    return core_effect(toy.panel)


def test_exact_without_noise_in_spite_of_area_shocks(toy, member, core):
    for effect in (member, *member.alternatives, core, *core.alternatives):
        assert effect.estimate == pytest.approx(toy.mean_tau(effect), abs=1e-7)
    path = member.alternatives[0].event_study.tidy().set_index("event_time")["estimate"]
    assert path.loc[[0, 1, 2, 3]].tolist() == pytest.approx([0.03, 0.07, 0.10, 0.12], abs=1e-7)
    path = core.event_study.tidy().set_index("event_time")["estimate"]
    assert path.loc[[0, 1, 2]].tolist() == pytest.approx([-0.02, -0.04, -0.04], abs=1e-7)


def test_area_shocks_leave_estimates_unchanged(noisy):
    rng = np.random.default_rng(9)
    area = np.unique(noisy.panel.attributes["county_id"].astype(str), return_inverse=True)[1]
    shaken = noisy.panel.with_outcome(noisy.panel.outcome + rng.standard_normal((area.max() + 1, 10))[area])
    for estimate in (member_effect, core_effect):
        before, after = estimate(noisy.panel), estimate(shaken)
        assert after.estimate == pytest.approx(before.estimate, abs=1e-10)
        assert after.std_error == pytest.approx(before.std_error, abs=1e-10)


def test_cores_never_compare_for_members_nor_members_for_cores(noisy):
    rng = np.random.default_rng(4)
    noise = rng.standard_normal(noisy.panel.outcome.shape)
    member, core = member_effect(noisy.panel), core_effect(noisy.panel)
    no_core = member_effect(noisy.panel.with_outcome(noisy.panel.outcome + noise * noisy.core[:, None]))
    assert no_core.estimate == member.estimate
    assert no_core.alternatives[0].estimate == member.alternatives[0].estimate
    moved = noisy.panel.with_outcome(noisy.panel.outcome + noise * noisy.member[:, None] * (np.arange(10) > 5))
    assert core_effect(moved).estimate == core.estimate
    pools = [member.fit.design, member.alternatives[0].fit.design, core.fit.design]
    assert not pools[0].comparison_pool[noisy.core].any()
    assert not pools[1].comparison_pool[noisy.core | noisy.member].any()
    assert not pools[2].comparison_pool[noisy.member].any()


def test_weak_members_are_compared_with_weak_schools_only(member, toy):
    design = member.fit.design
    assert not design.comparison_pool[~toy.weak].any()
    assert not np.isfinite(design.cohort[~toy.weak]).any()
    assert any("never designated weak left out" in note for note in member.notes)
    assert member.spec.anticipation == 1


def test_support_ends_with_the_last_weak_school_outside(member):
    # with a year of anticipation, weak schools that join in 2025 compare until 2023
    assert member.support.last_event_time == 1
    assert member.support.exhausted_from == 2024
    assert "From 2024 on no comparable weak school remains outside" in member.support.horizon
    assert member.support.horizon in member.notes
    assert member.event_study.tidy()["event_time"].max() == 1


def test_no_estimate_beyond_support(toy):
    with pytest.raises(BeyondSupportError, match="Event times 2, 3"):
        member_effect(toy.panel, hi=3)
    assert member_effect(toy.panel, hi=1).event_study.tidy()["event_time"].max() == 1


def test_weak_schools_that_stay_outside_extend_the_support(build):
    effect = member_effect(build(late_weak=20).panel)
    assert effect.support.last_event_time == 3
    assert effect.support.horizon == ""


def test_clusters_are_groups_inside_and_schools_outside(noisy):
    effect = member_effect(noisy.panel, pool="all_never")
    assert effect.overall.uncertainty.n_clusters == 40 + 120
    with pytest.warns(FewClustersWarning, match="only 6 clusters"):
        by_area = member_effect(noisy.panel, pool="all_never", by="county_id")
    assert by_area.overall.uncertainty.n_clusters == 6
    assert by_area.overall.uncertainty.df == 5


def test_band_contains_interval_and_jackknife_agrees(noisy):
    effect = member_effect(noisy.panel, pool="all_never")
    tidy = effect.event_study.tidy()
    assert (tidy["band_low"] <= tidy["conf_low"] + 1e-12).all()
    assert (tidy["band_high"] >= tidy["conf_high"] - 1e-12).all()
    again = effect.fit.aggregate(overall()).infer(Jackknife(effect.spec.cluster))
    assert again.uncertainty.std_error[0] == pytest.approx(effect.std_error, rel=0.15)


def test_rerun_on_the_same_panel_gives_the_same(member):
    fit = member.fit.aggregate(by_event_time(0))
    assert np.array_equal(fit.rerun().effects.estimate, fit.effects.estimate)


def test_agreement_of_equal_truth(noisy):
    effect = member_effect(noisy.panel)
    agreement = effect.agreement
    assert agreement.n_cells == 3
    assert abs(agreement.difference) < 3 * agreement.std_error
    assert agreement.interval[0] < agreement.difference < agreement.interval[1]


def test_agreement_fails_when_the_pools_differ(noisy, build):
    # weak schools outside fall from 2022 on, other schools outside do not
    toy = build(noise=0.05, late_weak=60, seed=5)
    late = np.zeros(toy.panel.n_units, dtype=bool)
    late[-60:] = True
    fall = np.where(late[:, None] & (toy.panel.times >= 2022), -0.3, 0.0)
    effect = member_effect(toy.panel.with_outcome(toy.panel.outcome + fall), roles=Roles(area=None))
    assert not effect.agreement.agrees
    assert effect.agreement.difference > 0.05
    assert effect.agreement.p_value < 0.01


def test_same_comparison_twice_is_said(core):
    # in the toy no school outside is large enough to be strong: both core pools are the cores not yet founded
    assert core.alternatives == ()
    assert core.agreement is None
    assert any("same schools on both sides" in note for note in core.notes)


def test_second_comparison_may_be_missing(build):
    effect = member_effect(build(n_groups=80, n_outside=0, n_areas=2).panel)
    assert effect.alternatives == ()
    assert any("second comparison (all_never) cannot be made" in note for note in effect.notes)


def test_no_estimate_from_a_handful_of_comparison_groups(build):
    # 27, 18, 9, 9 groups: weak schools of the last wave alone are too few clusters
    waves = (2022.0, 2022.0, 2022.0, 2023.0, 2023.0, 2024.0, 2025.0)
    effect = member_effect(build(n_groups=63, noise=0.1, waves=waves).panel)
    assert effect.support.last_event_time == 0
    assert effect.support.exhausted_from == 2023
    assert any("fewer than 10 comparison clusters" in note for note in effect.notes)
    reasons = {cell.reason for cell in effect.fit.effects.unidentified}
    assert "fewer than 10 clusters to compare with" in reasons
    with pytest.raises(NoComparisonError, match="the most is 7"):
        member_effect(build(n_groups=49, noise=0.1, waves=(2022.0,) * 6 + (2024.0,)).panel)


def test_new_schools_are_left_out(toy):
    new = toy.member & (np.arange(toy.panel.n_units) % 8 == 1)
    outcome = np.where(new[:, None] & (toy.panel.times < toy.panel.adoption[:, None]), np.nan, toy.panel.outcome)
    panel = dataclasses.replace(toy.panel, outcome=outcome).with_attributes(new_school=new)
    effect = member_effect(panel, pool="all_never")
    assert effect.n_schools == int((toy.member & ~new).sum())
    assert f"{int(new.sum())} member schools built for a group left out" in " ".join(effect.notes)


def test_schools_without_baseline_are_left_out_and_counted(toy):
    outcome = toy.panel.outcome.copy()
    gone = np.flatnonzero(toy.member)[:5]
    outcome[gone, :4] = np.nan
    effect = member_effect(dataclasses.replace(toy.panel, outcome=outcome), pool="all_never")
    assert effect.n_schools == int(toy.member.sum()) - 5
    assert any("5 member schools without an observed outcome" in note for note in effect.notes)


def test_refusals(toy, build):
    with pytest.raises(NoPrePeriodError, match="two are needed"):
        member_effect(toy.panel, roles=Roles(selection_years=5))
    with pytest.raises(DesignError, match="Only 4 school_groups"):
        member_effect(build(n_groups=4).panel, pool="all_never")
    never_weak = toy.panel.with_attributes(designated_weak_year=np.full(toy.panel.n_units, np.nan))
    with pytest.raises(NoTreatedError, match="designated weak"):
        member_effect(never_weak)
    with pytest.raises(NoComparisonError):
        member_effect(build(waves=(2023.0,)).panel)  # all weak schools join at once
    with pytest.raises(SpecError, match="unknown for member"):
        member_effect(toy.panel, pool="strong")
    rng = np.random.default_rng(0)
    with pytest.raises(DesignError, match="reliability of 0"):
        member_effect(toy.panel.with_outcome(rng.standard_normal(toy.panel.outcome.shape)))


def test_few_groups_warn(build):
    with pytest.warns(FewClustersWarning, match="only 8 school_groups"):
        effect = member_effect(build(n_groups=8, noise=0.1).panel, pool="all_never")
    assert any("only 8 school_groups" in note for note in effect.notes)


def test_tables(member, toy):
    tidy = member.tidy()
    assert tidy.columns[:3].tolist() == ["role", "pool", "kind"]
    assert set(tidy["pool"]) == {"weak", "all_never"}
    used = member.used()
    assert len(used) == sum(
        cell.n_treated for cell in member.support.cells if cell.phase == "after" and cell.identified
    )
    assert set(used["unit"]) == set(member.treated_ids)
    frame = member.support.frame()
    assert set(frame["phase"]) == {"baseline", "selection", "before", "after"}
    assert frame.loc[frame["phase"] == "selection", "time"].unique().tolist() == [2020, 2021]
    table = member.support.by_event_time()
    assert table["n_identified"].tolist() == [2, 1, 0, 0]


def test_reads_well_and_survives_pickle(member):
    text = repr(member)
    assert "member effect (weak)" in text
    assert "beside it (all_never)" in text
    again = pickle.loads(pickle.dumps(member))
    assert again.estimate == member.estimate


def test_anticipation_drops_schools_about_to_join(toy):
    # half of the members move a year before they join: comparisons about to join must not count
    moving = toy.member & (np.arange(toy.panel.n_units) % 2 == 0)
    early = (toy.panel.times == toy.panel.adoption[:, None] - 1) & moving[:, None]
    panel = toy.panel.with_outcome(toy.panel.outcome + 0.02 * early)
    assert member_effect(panel).estimate == pytest.approx(toy.mean_tau(member_effect(toy.panel)), abs=1e-7)
    contaminated = member_effect(panel, anticipation=0)
    assert contaminated.estimate < toy.mean_tau(contaminated) - 0.002
