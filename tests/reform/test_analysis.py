from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from groupeffect.errors import DesignError, SpecError
from groupeffect.reform import Roles, analyse_reform


@pytest.fixture(scope="module")
def analysis(noisy):
    return analyse_reform(noisy.panel, declared=True)


def test_answers_everything(analysis, noisy):
    assert analysis.refusals == ()
    table = analysis.headline().set_index("question")
    assert table.index.tolist() == ["member", "core", "net"]
    assert table.loc["member", "estimate"] == analysis.member.estimate
    assert table.loc["net", "estimate"] == analysis.net.estimate
    assert table.loc["net", "score"] == min(table.loc[["member", "core"], "score"])
    assert table.loc["core", "n_groups"] == analysis.core.n_groups
    assert table["months"].dtype.kind == "i"


def test_options_reach_the_parts(noisy):
    found = analyse_reform(noisy.panel, margin=0.08, weight="school", level=0.9)
    assert found.core.non_inferiority.margin == 0.08
    assert found.member.overall.level == 0.9
    assert found.net.weight == "school"
    assert found.net.overall.level == 0.9
    assert "declared" in [check.name for check in found.certainty["member"].checks if check.passed is False]


def test_without_weak_schools_all_members_are_compared(noisy):
    attributes = {key: value for key, value in noisy.panel.attributes.items() if key != "designated_weak_year"}
    found = analyse_reform(dataclasses.replace(noisy.panel, attributes=attributes))
    assert found.member.pool == "all_never"
    assert [refusal.question for refusal in found.refusals] == ["member (weak)"]
    assert found.refusals[0].error == "NoTreatedError"
    assert found.net is not None


def test_no_core_schools_is_a_refusal_not_a_crash(noisy):
    role = np.where(noisy.core, "member", noisy.panel.attributes["role"].astype(str)).astype(object)
    found = analyse_reform(noisy.panel.with_attributes(role=role))
    assert found.core is None
    assert found.net is None
    assert [refusal.question for refusal in found.refusals] == ["core"]
    assert found.headline()["question"].tolist() == ["member"]


def test_without_sizes_schools_are_counted(noisy):
    found = analyse_reform(dataclasses.replace(noisy.panel, cell_size=None))
    assert found.net.weight == "school"
    assert "schools are counted instead" in found.refusals[0].reason


def test_nothing_to_study_raises(build):
    with pytest.raises(DesignError):
        analyse_reform(build(n_groups=3).panel)
    with pytest.raises(SpecError, match="roles found"):
        analyse_reform(build().panel, roles=Roles(member="M", core="K"))
