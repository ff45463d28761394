from __future__ import annotations

import numpy as np
import pytest

from groupeffect import baseline_window
from groupeffect.reform import member_effect
from groupeffect.reform.placebo import halves_outcome


def test_halves():
    times = np.arange(2016.0, 2024.0)
    outcome = np.arange(16.0).reshape(2, 8)
    outcome[1, 0] = np.nan
    seen = halves_outcome(outcome, times, baseline_window(2016, 2019))
    assert seen[0].tolist() == [0.5] * 4 + [2.5] * 4
    assert seen[1].tolist() == [9.0] * 4 + [10.5] * 4
    odd = halves_outcome(outcome, times, baseline_window(2016, 2018))
    assert odd[0].tolist() == [0.0] * 3 + [2.0] * 5


def test_a_trend_before_the_reform_is_found(build):
    toy = build(noise=0.02, seed=1)
    drift = 0.05 * (toy.panel.times - 2016)[None, :] * toy.member[:, None]
    effect = member_effect(toy.panel.with_outcome(toy.panel.outcome + drift), pool="all_never")
    report = effect.pre_trend
    assert float(report.placebo.estimate[0]) == pytest.approx(0.10, abs=0.01)  # two years between the halves
    assert report.largest == abs(float(report.placebo.estimate[0]))
    assert report.joint.p_value < 1e-6
    assert report.joint.rank == 3
    assert not report.excluded


def test_parallel_schools_pass(build):
    effect = member_effect(build(noise=0.02, seed=1).panel, pool="all_never")
    assert effect.pre_trend.excluded
    assert effect.pre_trend.joint.p_value > 0.01
    assert effect.pre_trend.equivalence.smallest_margin < 0.05


def test_what_happens_in_the_selection_years_is_no_trend(build):
    toy = build(noise=0.02, seed=1)
    picked = (toy.panel.times == 2020) | (toy.panel.times == 2021)
    dipped = member_effect(
        toy.panel.with_outcome(toy.panel.outcome - 0.3 * toy.weak[:, None] * picked), pool="all_never"
    )
    calm = member_effect(toy.panel, pool="all_never")
    assert dipped.pre_trend.joint.p_value == pytest.approx(calm.pre_trend.joint.p_value)
    assert dipped.estimate == pytest.approx(calm.estimate)


def test_joint_test_has_its_size(build):
    rejected = [
        member_effect(build(noise=0.15, missing=0.05, seed=seed).panel, pool="all_never").pre_trend.joint.p_value < 0.05
        for seed in range(40)
    ]
    assert np.mean(rejected) <= 0.15
