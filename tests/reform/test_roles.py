from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from groupeffect import baseline_window
from groupeffect.errors import NoPrePeriodError, SpecError
from groupeffect.reform import Roles, pre_designation_baseline, strong_schools
from groupeffect.reform.roles import read_roles, selection_times


def test_roles_are_read_and_disjoint(toy):
    known = read_roles(toy.panel, Roles())
    assert np.array_equal(known.member, toy.member)
    assert np.array_equal(known.core, toy.core)
    assert np.array_equal(known.never, toy.outside)
    assert np.array_equal(known.weak, toy.weak)
    assert known.designated == 2021


def test_a_group_founded_after_the_panel_is_outside(toy):
    later = np.where(toy.panel.adoption == 2025, 2027.0, toy.panel.adoption)
    known = read_roles(dataclasses.replace(toy.panel, adoption=later), Roles())
    assert known.never[toy.panel.adoption == 2025].all()
    assert np.isinf(known.cohort[toy.panel.adoption == 2025]).all()


def test_contradictions_are_listed_together(toy):
    panel = toy.panel
    role = panel.attributes["role"].copy()
    group = panel.attributes["group_id"].copy()
    adoption = panel.adoption.copy()
    inside, outside = np.flatnonzero(toy.member), np.flatnonzero(toy.outside)
    adoption[inside[0]] = np.inf  # a member without join year
    adoption[outside[0]] = 2023.0  # a join year without role
    group[inside[1]] = None  # a member without group
    broken = dataclasses.replace(panel, adoption=adoption).with_attributes(role=role, group_id=group)
    with pytest.raises(SpecError) as caught:
        read_roles(broken, Roles())
    for text in ("without join year", "in no group by role", "without school_group", str(panel.unit_ids[inside[1]])):
        assert text in caught.value.message


def test_wrong_names_are_refused_with_what_exists(toy):
    with pytest.raises(SpecError, match="rolle"):
        read_roles(toy.panel, Roles(role="rolle"))
    with pytest.raises(SpecError, match="roles found: core, member, none"):
        read_roles(toy.panel, Roles(member="M", core="K"))
    with pytest.raises(SpecError, match="selection_years"):
        Roles(selection_years=-1)


def test_baseline_ends_before_the_selection_years(toy):
    window, source = pre_designation_baseline(toy.panel, Roles())
    assert (window.first, window.last) == (2016, 2019)
    assert "2021" in source
    window, _ = pre_designation_baseline(toy.panel, Roles(selection_years=1))
    assert window.last == 2020
    chosen = selection_times(toy.panel, Roles())
    assert toy.panel.times[chosen].tolist() == [2020, 2021]


def test_declared_selection_window_wins(toy):
    text = np.full(toy.panel.n_units, "2019-2021", dtype=object)
    window, source = pre_designation_baseline(toy.panel.with_attributes(designation_window=text), Roles())
    assert window.last == 2018
    assert "designation_window" in source


def test_without_designation_year_the_first_group_counts(toy):
    attributes = {key: value for key, value in toy.panel.attributes.items() if key != "designated_weak_year"}
    panel = dataclasses.replace(toy.panel, attributes=attributes)
    window, source = pre_designation_baseline(panel, Roles())
    assert window.last == 2019
    assert "no designation year" in source


def test_one_year_before_the_selection_is_refused(toy):
    with pytest.raises(NoPrePeriodError, match="Only 1 times before"):
        pre_designation_baseline(toy.panel, Roles(selection_years=5))


def test_text_flags_and_years(toy):
    weak = np.where(toy.weak, "2021", "").astype(object)
    new = np.where(toy.member, "是", "否").astype(object)
    known = read_roles(toy.panel.with_attributes(designated_weak_year=weak, new_school=new), Roles())
    assert np.array_equal(known.weak, toy.weak)
    assert np.array_equal(known.new, toy.member)


def test_strong_schools_score_like_cores_when_cores_were_picked(toy):
    rng = np.random.default_rng(1)
    outcome = toy.panel.outcome.copy()
    lucky = np.flatnonzero(toy.outside)[:10]
    picked = (toy.panel.times == 2020) | (toy.panel.times == 2021)
    outcome[np.ix_(lucky, np.flatnonzero(picked))] = 2.0  # top only in the selection years
    before = np.flatnonzero(toy.outside & (outcome[:, 4] < 0.2))[10:20]
    outcome[np.ix_(before, np.flatnonzero(toy.panel.times < 2020))] = 2.0  # top only in the baseline window
    panel = dataclasses.replace(toy.panel, outcome=outcome + 1e-6 * rng.standard_normal(outcome.shape), cell_size=None)
    strong = strong_schools(panel, Roles())
    assert strong[lucky].all()
    assert not strong[before].any()
    assert not strong[~toy.outside].any()


def test_small_schools_are_not_strong(toy):
    outcome = toy.panel.outcome.copy()
    outcome[toy.outside] = 2.0
    panel = dataclasses.replace(toy.panel, outcome=outcome)
    smallest_core = toy.panel.cell_size[toy.core, 0].min()
    strong = strong_schools(panel, Roles())
    assert (toy.panel.cell_size[strong, 0] >= smallest_core - 1e-9).all()
    assert not strong.any()  # every school outside is smaller than the cores of the toy
    assert strong_schools(dataclasses.replace(panel, cell_size=None), Roles())[toy.outside].all()


def test_a_declared_list_of_strong_schools_is_used(toy):
    declared = np.zeros(toy.panel.n_units, dtype=bool)
    declared[np.flatnonzero(toy.outside)[:7]] = True
    declared[np.flatnonzero(toy.member)[0]] = True  # in a group: never a comparison
    strong = strong_schools(toy.panel.with_attributes(strong=declared), Roles())
    assert strong.sum() == 7


def test_strong_schools_need_the_selection_years(toy):
    with pytest.raises(SpecError, match="no year whose scores"):
        strong_schools(toy.panel, Roles(selection_years=0))


def test_baseline_window_is_what_the_user_declares(toy):
    from groupeffect.reform import member_effect

    effect = member_effect(toy.panel, baseline=baseline_window(2017, 2018))
    assert str(effect.baseline) == "2017-2018"
    assert "as declared" in effect.notes[0]
