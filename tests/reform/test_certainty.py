from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from groupeffect.errors import SpecError
from groupeffect.reform import Check, certainty, certainty_label, core_effect, grade, member_effect


def checks(*passed):
    return tuple(Check(f"check{i}", value, f"detail {i}") for i, value in enumerate(passed))


@pytest.mark.parametrize(
    ("score", "label"), [(5, "high"), (4, "high"), (3, "moderate"), (2, "low"), (1, "very_low"), (0, "very_low")]
)
def test_labels(score, label):
    assert certainty_label(score) == label


@pytest.mark.parametrize(
    ("design", "start"),
    [("randomised", 5), ("regression_discontinuity", 4), ("staggered", 3), ("matching", 2), ("before_after", 0)],
)
def test_start_and_deductions(design, start):
    assert grade(design, checks(True, True)).score == start
    one = grade(design, checks(True, False))
    assert one.score == max(0, start - 1)
    assert one.reasons == ("detail 1",)
    assert grade(design, checks(*[False] * 9)).score == 0


def test_extra_point_needs_every_check_and_agreement():
    assert grade("staggered", checks(True, True), two_comparisons_agree=True).score == 4
    assert grade("staggered", checks(True, None), two_comparisons_agree=True).score == 3
    assert grade("staggered", checks(True, False), two_comparisons_agree=True).score == 2
    assert grade("staggered", checks(True, True)).score == 3
    assert grade("matching", checks(True), two_comparisons_agree=True).score == 2
    assert grade("staggered", checks(True, None)).not_assessed == ("check1",)
    with pytest.raises(SpecError, match="unknown"):
        grade("expert_opinion", checks(True))


@pytest.fixture(scope="module")
def clean(build):
    """A roll-out in which everything can be checked and nothing is wrong."""
    return member_effect(build(noise=0.02, late_weak=60, n_groups=60).panel)


def failed(effect, **options):
    options = {"declared": True, "intake": 0.0, **options}
    return [check.name for check in certainty(effect, **options).checks if check.passed is False]


def test_a_clean_study_is_highly_certain(clean):
    found = certainty(clean, declared=True, intake=0.0)
    assert failed(clean) == []
    assert (found.score, found.label, found.start) == (4, "high", 4)
    assert certainty(clean, declared=True).score == 3  # intake not assessed
    assert certainty(clean, declared=True).not_assessed == ("intake",)


def test_each_deduction_alone(clean):
    balance = dataclasses.replace(clean.balance[0], g=0.3, category="not_satisfied")
    assert failed(dataclasses.replace(clean, balance=(balance,))) == ["comparison"]
    wide = dataclasses.replace(clean.pre_trend.equivalence, equivalent=False, smallest_margin=0.07)
    assert failed(dataclasses.replace(clean, pre_trend=dataclasses.replace(clean.pre_trend, equivalence=wide))) == [
        "pre_trend"
    ]
    lost = dataclasses.replace(clean.attrition, low=False)
    assert failed(dataclasses.replace(clean, attrition=lost)) == ["attrition"]
    assert failed(dataclasses.replace(clean, n_groups=9)) == ["power"]
    assert failed(clean, intake=0.6 * clean.estimate) == ["intake"]
    assert failed(clean, intake=0.4 * clean.estimate) == []
    assert failed(clean, sensitivity=False) == ["sensitivity"]
    assert failed(clean, declared=False) == ["declared"]
    for change in ({"n_groups": 9}, {"attrition": lost}):
        assert certainty(dataclasses.replace(clean, **change), declared=True, intake=0.0).score == 2


def test_other_schools_as_comparison_cost_a_point(clean):
    assert "comparison" in failed(clean.alternatives[0])
    assert "another kind" in certainty(clean.alternatives[0]).reasons[0]


def test_imprecise_studies_lose_the_power_point(build):
    effect = member_effect(build(noise=0.9, seed=1, area_shock=0.0).panel, roles=None, margin=0.5)
    assert effect.mde > 0.20
    assert "power" in failed(effect)


def test_sensitivity_moves_the_interval_by_half_the_placebo(clean):
    low, _ = clean.interval
    assert low > 0
    placebo = clean.pre_trend.placebo

    def with_placebo(size):
        moved = _with_estimate(placebo, size)
        return dataclasses.replace(clean, pre_trend=dataclasses.replace(clean.pre_trend, placebo=moved))

    assert "sensitivity" in failed(with_placebo(2.02 * low))
    assert "sensitivity" in failed(with_placebo(-2.02 * low))
    assert "sensitivity" not in failed(with_placebo(1.98 * low))


def _with_estimate(result, value):
    from groupeffect.result import _restore

    return _restore(result.index, np.array([value]), result.uncertainty, result.level, result.about, result.notes, None)


def test_no_placebo_means_no_trust_in_the_trend(clean):
    report = dataclasses.replace(clean.pre_trend, placebo=None, equivalence=None)
    found = certainty(dataclasses.replace(clean, pre_trend=report), declared=True, intake=0.0)
    assert [check.passed for check in found.checks if check.name in ("pre_trend", "sensitivity")] == [False, None]


def test_interval_with_zero_cannot_be_overturned(build):
    effect = core_effect(build(noise=0.1, core_path=(0.0,) * 4, seed=2).panel, pool="core_vs_never")
    low, high = effect.interval
    assert low < 0 < high
    assert "sensitivity" not in failed(effect)
