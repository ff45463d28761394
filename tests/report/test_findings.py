"""Every sentence follows from its numbers, says the same in both languages, and uses allowed words only."""

import itertools
import re

import numpy as np
import pytest

from groupeffect.errors import ReportError, SmallCellError
from groupeffect.report.brief_content import brief_content
from groupeffect.report.content import Contrast, Estimate, Horizon, Luck, NonInferiority, Text
from groupeffect.report.findings import (
    contrast_finding,
    core_findings,
    effect_finding,
    horizon_finding,
    luck_finding,
    title_findings,
)
from groupeffect.report.numbers import NumberBook
from groupeffect.report.verdicts import forbidden_words

MODERATE, LOW, VERY_LOW = (3,), (3, "pre_trend"), (3, "pre_trend", "power")


def member_sentence(make, value, low, high, certainty=MODERATE, language="en"):
    study = make.study(member=make.member(value, low, high, certainty))
    finding = effect_finding(study, study.member.overall, study.member.certainty, NumberBook(), words="finding.member")
    return finding.text(language)


@pytest.mark.parametrize(
    ("numbers", "certainty", "english", "chinese"),
    [
        (
            (0.08, 0.04, 0.12),
            MODERATE,
            "Joining a group probably raised members’ scores by 0.08 SD (likely range 0.04 to 0.12), about one month "
            "of learning.",
            "加入集团很可能使成员校成绩提高约0.08个标准差（95%区间0.04至0.12），约相当于1个月的学习进步。",
        ),
        (
            (-0.08, -0.12, -0.04),
            MODERATE,
            "Joining a group probably lowered members’ scores by 0.08 SD (likely range 0.04 to 0.12), about one month "
            "of learning.",
            "加入集团很可能使成员校成绩下降约0.08个标准差（95%区间0.04至0.12），约相当于1个月的学习进步。",
        ),
        (
            (0.08, 0.04, 0.12),
            LOW,
            "Members’ scores may have risen; the study cannot rule out other causes.",
            "成员校成绩可能有所提高，但现有证据尚不能排除其他原因。",
        ),
        (
            (0.08, 0.04, 0.12),
            VERY_LOW,
            "Whether joining a group changed members’ scores is very uncertain.",
            "加入集团是否改变成员校成绩非常不确定。",
        ),
        (
            (0.01, -0.02, 0.04),
            MODERATE,
            "Any average effect on members is probably smaller than 0.05 SD either way.",
            "对成员校的平均影响很可能不足0.05个标准差（无论正负）。",
        ),
        (
            (0.03, -0.02, 0.08),
            VERY_LOW,
            "The data cannot tell a useful gain of members from no change. This is not evidence of no effect.",
            "现有数据尚无法区分成员校“有实际提升”与“没有变化”，不能据此认定政策无效。",
        ),
        (
            (-0.03, -0.08, 0.02),
            MODERATE,
            "The data cannot tell a harm to members from no change. This is not evidence of no effect.",
            "现有数据尚无法区分成员校“受到损害”与“没有变化”，不能据此认定政策无效。",
        ),
    ],
)
def test_member_sentences(make, numbers, certainty, english, chinese):
    assert member_sentence(make, *numbers, certainty) == english
    assert member_sentence(make, *numbers, certainty, language="zh") == chinese


def test_an_interval_that_excludes_zero_is_never_shown_as_touching_it(make):
    assert "likely range 0.004 to 0.120" in member_sentence(make, 0.062, 0.004, 0.12)


@pytest.mark.parametrize(
    ("lower", "upper", "value", "low", "high", "verdict", "words"),
    [
        (
            *(-0.04, 0.03, -0.01, -0.05, 0.04, "not_harmed_beyond_margin"),
            "Core schools were not harmed by more than the agreed margin of 0.05 SD.",
        ),
        (
            *(-0.06, 0.03, -0.02, -0.07, 0.04, "harm_not_excluded"),
            "Harm to core schools above the agreed margin of 0.05 SD cannot be ruled out.",
        ),
        (-0.11, -0.06, -0.09, -0.12, -0.06, "harmed", "Core schools probably lost 0.09 SD (0.06 to 0.12)."),
    ],
)
def test_core_sentences(make, lower, upper, value, low, high, verdict, words):
    study = make.study(core=make.core(value, low, high), non_inferiority=NonInferiority(verdict, 0.05, lower, upper))
    sentence, bound = core_findings(study, NumberBook())
    assert sentence.text("en") == words
    assert f"{abs(lower):.2f}" in bound.text("en")
    assert title_findings(study, NumberBook())[1].verdict == sentence.verdict


INTERVALS = [
    (-0.12, -0.04),
    (-0.04, -0.01),
    (-0.08, 0.02),
    (-0.02, 0.03),
    (-0.03, 0.09),
    (0.01, 0.04),
    (0.03, 0.13),
    (-0.2, 0.3),
]


@pytest.mark.parametrize(("interval", "certainty"), list(itertools.product(INTERVALS, (MODERATE, LOW, VERY_LOW, (4,)))))
def test_no_sentence_contradicts_its_interval_or_uses_a_forbidden_word(make, interval, certainty):
    low, high = interval
    member = make.member((low + high) / 2, low, high, certainty)
    core = make.core((low + high) / 2, low, high, certainty)
    lower, upper = low + 0.01, high - 0.01
    found = "not_harmed_beyond_margin" if lower > -0.05 else "harmed" if upper < 0 else "harm_not_excluded"
    net = Estimate("net.overall", (low + high) / 2, low, high)
    study = make.study(
        member=member,
        core=core,
        net=net,
        net_certainty=make.certainty(*certainty),
        non_inferiority=NonInferiority(found, 0.05, lower, upper),
    )
    content = brief_content(study)
    for finding in content.findings():
        english, chinese = finding.text("en"), finding.text("zh")
        assert forbidden_words(english, "en") == []
        assert forbidden_words(chinese, "zh") == []
        assert "{" not in english + chinese
    said = " ".join(finding.text("en") for finding in (*content.title, *content.summary, *content.net))
    if not low > 0:
        assert not re.search(
            "raised|gained|risen", said.replace("Whether members and core schools together gained or lost", "")
        )
    if not high < 0:
        assert not re.search(
            "lowered|fallen|lost", said.replace("Whether members and core schools together gained or lost", "")
        )
    if member.certainty.score <= 2:
        assert "probably" not in said


def test_both_languages_carry_the_same_numbers(study):
    for finding in brief_content(study).findings():
        digits = [sorted(re.findall(r"[\d.,−%]*\d", finding.text(language))) for language in ("en", "zh")]
        if "level" in finding.slots or finding.phrase.startswith(("months", "check", "reason", "design")):
            continue
        if finding.key.endswith(".finding"):
            continue  # months: "one" and "1"
        assert digits[0] == digits[1], finding.key


def test_number_ids_are_the_order_of_the_document_and_every_number_is_used(study):
    content = brief_content(study)
    assert [number.id for number in content.numbers] == [f"n{k + 1}" for k in range(len(content.numbers))]
    used = {number.id for finding in content.findings() for number in finding.numbers}
    for box in content.boxes:
        used |= {number.id for number in (box.value, box.low, box.high, box.level, *box.months.numbers)}
        used |= {box.count.id} if box.count else set()
    used |= {points.id for role in content.certainty for _, points in role.steps}
    assert {number.id for number in content.numbers} == used
    assert all(number.source for number in content.numbers)


@pytest.mark.parametrize(
    ("expected", "verdict"),
    [
        (0.0099, "little"),
        (0.01, "share"),
        (0.0449, "share"),
        (0.045, "half"),
        (0.055, "half"),
        (0.0551, "share"),
        (0.0949, "share"),
        (0.095, "all"),
        (0.2, "all"),
    ],
)
def test_luck_at_its_boundaries(make, expected, verdict):
    finding = luck_finding(make.study(luck=Luck(0.1, expected)), NumberBook())
    assert finding.verdict == verdict


@pytest.mark.parametrize("luck", [None, Luck(0.0, 0.01), Luck(-0.05, 0.02), Luck(0.1, -0.01)])
def test_luck_is_not_told_without_a_rise(make, luck):
    assert luck_finding(make.study(luck=luck), NumberBook()) is None


def test_luck_of_half_uses_the_fixed_words(make):
    finding = luck_finding(make.study(luck=Luck(0.1, 0.05)), NumberBook())
    assert "About half of this rise is what chance alone would give" in finding.text("en")
    assert "约有一半可由起点偏低后的自然回升（均值回归）解释" in finding.text("zh")


@pytest.mark.parametrize(
    ("horizon", "words"),
    [
        (Horizon(2, 2024, 2025), "From 2025 on no comparable weak school remains outside"),
        (Horizon(2, 2024, 2025, pool="strong"), "From 2025 on no comparable school remains outside"),
        (Horizon(3, 2025, None), "Effects are known up to 3 years after joining"),
        (Horizon(1, 2025, None), "Effects are known up to one year after joining"),
    ],
)
def test_horizon_sentences(make, horizon, words):
    assert words in horizon_finding(make.study(horizon=horizon), NumberBook()).text("en")


@pytest.mark.parametrize(
    ("low", "high", "verdict", "first"),
    [
        (0.001, 0.2, "more", "Tight groups did better than loose groups, by 0.100 SD"),
        (-0.2, -0.001, "more", "loose groups did better than Tight groups, by 0.100 SD"),
        (0.0, 0.2, "undecided", "The data cannot tell Tight groups from loose groups"),
        (-0.2, 0.0, "undecided", "The data cannot tell Tight groups from loose groups"),
    ],
)
def test_comparisons_of_groups_are_never_causal(make, low, high, verdict, first):
    difference = Estimate("con.x", (low + high) / 2, low, high)
    contrast = Contrast(difference, Text("Tight groups", "紧密型集团"), Text("loose groups", "松散型集团"))
    finding = contrast_finding(make.study(), contrast, NumberBook())
    assert finding.verdict == verdict
    assert finding.text("en").startswith(first[: len(first) - (5 if "0.100" in first else 0)])
    if verdict == "more":
        assert finding.text("en").endswith("this comparison is not causal.")
        assert "不构成因果结论" in finding.text("zh")


def test_options_follow_the_verdicts(make):
    def options(**changes):
        return {finding.key: finding.verdict for finding in brief_content(make.study(**changes)).options}

    assert options()["option.widen"] == "gain"
    assert options(member=make.member(0.01, -0.02, 0.04))["option.widen"] == "small"
    assert options(member=make.member(-0.08, -0.12, -0.04))["option.widen"] == "loss"
    open_end = Horizon(3.0, 2025.0, None)
    undecided = make.member(0.05, -0.03, 0.13)
    assert options(member=undecided, horizon=open_end)["option.widen"] == "wait"
    assert options(member=undecided)["option.widen"] == "stuck"  # nobody left: further years would not narrow the range
    assert options(member=make.member(certainty=LOW), horizon=open_end)["option.widen"] == "wait"
    assert options()["option.core"] == "not_met"
    assert "option.core" not in options(core=None, non_inferiority=None)


def test_sentences_on_fewer_than_ten_pupils_are_refused(make):
    few = Estimate("con.x", 0.1, 0.05, 0.15, n_pupils=9)
    contrast = Contrast(few, Text("a"), Text("b"))
    with pytest.raises(SmallCellError, match="would describe 9 pupils"):
        brief_content(make.study(contrasts=(contrast,)))
    ten = Estimate("con.x", 0.1, 0.05, 0.15, n_pupils=10)
    assert brief_content(make.study(contrasts=(Contrast(ten, Text("a"), Text("b")),))).whom


def test_an_unknown_certainty_code_is_refused(make):
    with pytest.raises(ReportError, match="no words for certainty code 'moon_phase'"):
        brief_content(make.study(member=make.member(certainty=(3, "moon_phase"))))


def test_estimates_that_are_not_numbers_are_refused():
    with pytest.raises(ReportError, match="nan"):
        Estimate("x", np.nan, 0.0, 1.0)
    with pytest.raises(ReportError, match="is not between"):
        Estimate("x", 2.0, 0.0, 1.0)
