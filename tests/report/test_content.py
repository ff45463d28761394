import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from groupeffect.errors import ReportError
from groupeffect.report.content import Estimate, PaperContent, StudyResults, Table


def test_a_study_survives_its_json_file(study, tmp_path):
    path = tmp_path / "study.json"
    text = study.to_json(path)
    again = StudyResults.from_json(path)
    assert again == study
    assert again.to_json() == text == path.read_text(encoding="utf-8")


def test_a_paper_survives_its_json_file(paper, tmp_path):
    path = tmp_path / "paper.json"
    paper.to_json(path)
    assert PaperContent.from_json(path) == paper


def test_every_fault_of_a_file_is_listed_with_its_place(study, tmp_path):
    body = json.loads(study.to_json())
    body["member"]["overall"]["value"] = "much"
    del body["info"]["title"]["en"]
    path = tmp_path / "study.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(ReportError) as caught:
        StudyResults.from_json(path)
    assert "2 faults" in str(caught.value)
    assert "info.title.en: Field required" in str(caught.value)
    assert "member.overall.value" in str(caught.value)


def test_faults_between_fields_are_found(study, make):
    with pytest.raises(ReportError, match=r"same key: net\.overall"):
        dataclasses.replace(study, outcomes=(dataclasses.replace(study.net),))
    with pytest.raises(ReportError, match="without an effect on core schools"):
        dataclasses.replace(study, core=None)
    with pytest.raises(ReportError, match="no certainty"):
        dataclasses.replace(study, net_certainty=None)


def test_tables_keep_numbers_words_and_gaps():
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["x", None], "d": [np.inf, 2.0], "e": [True, False]})
    again = Table.of(frame).frame()
    assert again["a"].tolist() == [1, 2]
    assert np.isnan(again["b"][1])
    assert again["d"][0] == np.inf
    assert again["e"].tolist() == [True, False]
    assert again["c"].isna().tolist() == [False, True]
    assert Table.of(again) == Table.of(frame)
    assert len(Table(("a",)).frame()) == 0
    with pytest.raises(ReportError, match="do not have 2 cells"):
        Table(("a", "b"), ((1,),))


def test_true_values_are_found_by_key(study):
    assert study.true_value("member.overall") == 0.071
    assert study.true_value("est.twfe") is None


def test_an_estimate_is_taken_from_a_result(result):
    taken = Estimate.of(result, "member.overall", row=1, source="results/x.json")
    row = result.tidy().iloc[1]
    assert (taken.value, taken.low, taken.high) == (row["estimate"], row["conf_low"], row["conf_high"])
    assert taken.source == "results/x.json#1"
    assert taken.n_treated == row["n_treated"]
