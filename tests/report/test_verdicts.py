"""Reading tests: every verdict on both sides of each of its boundaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupeffect.errors import ReportError
from groupeffect.report.content import Certainty, Estimate, NonInferiority
from groupeffect.report.verdicts import (
    core_phrase,
    core_verdict,
    effect_phrase,
    effect_verdict,
    forbidden_words,
    months_phrase,
)

S, TINY = 0.05, 1e-9


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-S + TINY, S - TINY, "small"),
        (-S, S - TINY, "inconclusive_harm"),  # touches -s
        (-S + TINY, S, "inconclusive"),  # touches s
        (TINY, S - TINY, "small"),  # small wins over gain
        (TINY, S, "gain"),
        (0.0, S, "inconclusive"),  # begins at zero
        (-TINY, S, "inconclusive"),
        (-S, -TINY, "loss"),
        (-S, 0.0, "inconclusive_harm"),
        (-S, TINY, "inconclusive_harm"),
        (-S + TINY, -TINY, "small"),
        (-0.2, 0.2, "inconclusive"),
        (0.06, 0.2, "gain"),
        (-0.2, -0.06, "loss"),
    ],
)
def test_effect_verdicts_at_their_boundaries(low, high, expected):
    assert effect_verdict(low, high, S) == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 0.5))
def test_exactly_one_verdict_holds_and_it_is_true(low, width, sesoi):
    high = low + width
    verdict = effect_verdict(low, high, sesoi)
    truth = {
        "small": -sesoi < low and high < sesoi,
        "gain": low > 0 and high >= sesoi,
        "loss": high < 0 and low <= -sesoi,
        "inconclusive": low <= 0 <= high and high >= sesoi,
        "inconclusive_harm": low <= 0 <= high and high < sesoi and low <= -sesoi,
    }
    assert [name for name, holds in truth.items() if holds] == [verdict]


def test_a_smallest_effect_must_be_positive():
    with pytest.raises(ReportError, match="not positive"):
        effect_verdict(0.0, 0.1, 0.0)


def certain(score):
    return Certainty("staggered", score)


@pytest.mark.parametrize(
    ("score", "gain", "met"),
    [
        (5, "gain", "met"),
        (3, "gain", "met"),
        (2, "gain_low", "met_low"),
        (1, "very_low", "very_low"),
        (0, "very_low", "very_low"),
    ],
)
def test_claims_go_as_far_as_certainty(score, gain, met):
    assert effect_phrase("gain", certain(score)) == gain
    assert core_phrase("met", certain(score)) == met
    assert effect_phrase("inconclusive", certain(score)) == "inconclusive"
    assert core_phrase("not_met", certain(score)) == "not_met"


@pytest.mark.parametrize(
    ("lower", "upper", "low", "high", "given_verdict", "expected"),
    [
        (-S + TINY, 0.02, -0.06, 0.03, "not_harmed_beyond_margin", "met"),
        (-S, 0.02, -0.06, 0.03, "harm_not_excluded", "not_met"),
        (-S, -TINY, -0.07, -TINY, "harmed", "harmed"),
        (-S, 0.0, -0.07, 0.01, "harm_not_excluded", "not_met"),
        (-S, -TINY, -0.07, 0.001, "harmed", "not_met"),  # the interval shown contains zero: nothing may contradict it
        (-0.04, -0.01, -0.045, -0.005, "not_harmed_beyond_margin", "met"),
    ],
)
def test_core_verdicts_at_their_boundaries(lower, upper, low, high, given_verdict, expected):
    core = Estimate("core.overall", (low + high) / 2, low, high)
    assert core_verdict(NonInferiority(given_verdict, S, lower, upper), core) == expected


def test_a_verdict_that_does_not_follow_from_its_bounds_is_refused():
    core = Estimate("core.overall", -0.02, -0.06, 0.02)
    with pytest.raises(ReportError, match="make it 'harm_not_excluded'"):
        core_verdict(NonInferiority("not_harmed_beyond_margin", 0.05, -0.051, 0.02), core)


@pytest.mark.parametrize(
    ("effect", "decimals", "expected"),
    [
        (0.044, 2, ("zero", 0)),
        (0.046, 2, ("one", 1)),
        (0.0949, 2, ("one", 1)),
        (0.0951, 2, ("many", 2)),
        (-0.12, 2, ("many", 2)),
        (1.4, 2, ("twelve", 12)),
    ],
)
def test_months_follow_the_number_that_is_shown(effect, decimals, expected):
    assert months_phrase(effect, decimals) == expected


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("This is not evidence of no effect.", "en", []),
        ("There was no effect.", "en", ["no effect"]),
        ("The study proved a significant gain.", "en", ["proved", "significant"]),
        ("Members probably gained.", "en", []),
        ("不能据此认定政策无效", "zh", []),
        ("政策无效", "zh", ["无效"]),
        ("显著提高，证明有效", "zh", ["显著", "证明"]),
        ("非劣效成立", "zh", []),
    ],
)
def test_forbidden_words_are_found_and_the_fixed_warnings_are_not(text, language, found):
    assert forbidden_words(text, language) == found


@pytest.mark.parametrize(
    ("start", "failed", "label"),
    [
        (5, 0, "high"),
        (4, 0, "high"),
        (4, 1, "moderate"),
        (3, 0, "moderate"),
        (3, 1, "low"),
        (3, 2, "very_low"),
        (0, 3, "very_low"),
    ],
)
def test_certainty_labels(start, failed, label):
    known = Certainty("staggered", start, tuple("abcdef"[:failed]))
    assert known.label == label
    assert 0 <= known.score <= 5
