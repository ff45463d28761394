"""From the analysis of a simulated reform to the report's input, without a number changed on the way."""

import dataclasses

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import ReportError
from groupeffect.reform import analyse_reform, before_after, last_year_base
from groupeffect.report.brief_content import brief_content
from groupeffect.report.collect import collect_study
from groupeffect.report.content import StudyResults
from groupeffect.simulate import simulate_panel

ATTRIBUTES = ("role", "model", "group_id", "county_id", "location", "stage", "designated_weak_year", "new_school")
pytestmark = pytest.mark.filterwarnings("ignore::groupeffect.errors.GroupEffectWarning")


@pytest.fixture(scope="module")
def analysis():
    import warnings

    frame, _ = simulate_panel("clean", n_schools=400, seed=3)
    columns = ge.Columns(
        unit="school_id",
        time="year",
        outcome="score",
        cohort="join_year",
        never=(0,),
        cell_size="enrol",
        attributes=ATTRIBUTES,
        outcome_unit="sd",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ge.errors.GroupEffectWarning)
        return analyse_reform(ge.read_panel(frame, columns))


def test_numbers_are_taken_over_unchanged(analysis, make, tmp_path):
    naive = [tool(effect) for effect in (analysis.member, analysis.core) for tool in (before_after, last_year_base)]
    truth = {"member.overall": 0.07, "core.overall": -0.03}
    study = collect_study(analysis, make.info(), naive=naive, source="reform", pupils={"member": 9000}, truth=truth)
    member, core = analysis.member, analysis.core
    assert study.member.overall.value == member.estimate
    assert (study.member.overall.low, study.member.overall.high) == member.interval
    assert study.member.overall.source == "reform/member_overall.json#0"
    assert study.member.n_schools == member.n_schools
    assert study.core.overall.value == core.estimate
    assert study.net.value == analysis.net.estimate
    assert study.non_inferiority.lower == core.non_inferiority.lower
    assert study.member.certainty.score == analysis.certainty["member"].score
    assert study.core.certainty.label == analysis.certainty["core"].label
    assert study.horizon.last_event_time == member.support.last_event_time
    assert {other.key for other in study.member.alternatives} == {f"member.{one.pool}" for one in member.alternatives}
    designs = study.design_comparison.frame()
    assert set(zip(designs["role"], designs["analysis"], strict=True)) == {
        (role, name) for role in ("member", "core") for name in ("before_after", "last_year_base", "pre_designation")
    }
    assert set(designs["true_value"]) == {0.07, -0.03}
    again = StudyResults.from_json(_written(study, tmp_path))
    assert again == study
    assert np.isfinite([number.value for number in brief_content(again).numbers]).all()


def _written(study, folder):
    study.to_json(folder / "study.json")
    return folder / "study.json"


def test_refused_questions_are_told(analysis, make):
    without = dataclasses.replace(analysis, core=None, net=None)
    study = collect_study(without, make.info())
    assert study.core is None
    assert brief_content(study).boxes[0].key == "member"
    nothing = dataclasses.replace(analysis, member=None)
    with pytest.raises(ReportError, match="effect on members was not estimated"):
        collect_study(nothing, make.info())
