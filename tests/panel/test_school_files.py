"""From a folder of files to panels: joined, standardised, followed through mergers, every loss recorded."""

import numpy as np
import pandas as pd
import pytest

from groupeffect.errors import MissingColumnError, PanelError, SpecError
from groupeffect.panel.aliases import HEADER_ALIASES, VALUE_ALIASES
from groupeffect.panel.missingness import missingness_support
from groupeffect.panel.school_files import read_school_files
from groupeffect.simulate import simulate_schools, write_reform


def with_row(frame, *values):
    return pd.DataFrame([*frame.to_dict("records"), dict(zip(frame.columns, values, strict=True))])


def assert_same(a, b):
    np.testing.assert_array_equal(a.unit_ids, b.unit_ids)
    np.testing.assert_array_equal(a.outcome, b.outcome)
    np.testing.assert_array_equal(a.adoption, b.adoption)
    np.testing.assert_array_equal(a.exit, b.exit)
    np.testing.assert_array_equal(a.cell_size, b.cell_size)
    for name in a.attributes:
        np.testing.assert_array_equal(a.attributes[name], b.attributes[name], err_msg=name)


def test_panel_of_the_small_files(files, write):
    data = read_school_files(write(files))
    assert data.baseline == (2018, 2018)
    assert data.reference.tolist() == [f"A{i:02d}" for i in range(7, 17)]
    panel = data.panel()
    assert panel.outcome.shape == (16, 6)
    assert panel.columns.outcome_unit == "sd"
    assert panel.adoption[:6].tolist() == [2021, 2021, 2021, 2022, 2022, np.inf]
    assert panel.exit[:3].tolist() == [np.inf, np.inf, 2023]
    assert panel.attributes["role"][:6].tolist() == ["core", "member", "member", "core", "member", "none"]
    assert panel.attributes["group_id"][:6].tolist() == ["G1", "G1", "G1", "G2", "G2", ""]
    assert panel.attributes["designated_weak_year"][:2].tolist()[1] == 2020
    assert not panel.attributes["new_school"].any()
    np.testing.assert_array_equal(panel.cell_size[0], [300] * 6)
    assert data.schools.loc[data.schools["school_id"] == "A03", "in_group"].tolist() == [False] * 3 + [True] * 2 + [
        False
    ]


def test_other_outcomes_covariates_and_attributes(files, write):
    data = read_school_files(write(files))
    panel = data.panel("score_math", covariates=("disadv_share",), attributes=("county_id",), cell_size="n_tested")
    assert list(panel.attributes) == ["county_id"]
    np.testing.assert_allclose(panel.covariates[2, :, 0], 0.22)
    np.testing.assert_array_equal(panel.cell_size[:, 0], np.arange(40, 56))
    mean = (data.panel("score_math").outcome + data.panel("score_chinese").outcome) / 2
    np.testing.assert_allclose(data.panel().outcome, mean)
    assert data.panel("enrol", cell_size=None).columns.outcome_unit == "units"
    with pytest.raises(MissingColumnError, match="'nothing'"):
        data.panel("nothing")


@pytest.mark.parametrize(
    ("ending", "encoding"),
    [(".csv", "utf-8-sig"), (".csv", "gb18030"), (".csv.gz", "utf-8"), (".parquet", ""), (".xlsx", "")],
)
def test_every_format_gives_the_same_panel(files, write, tmp_path_factory, ending, encoding):
    expected = read_school_files(write(files)).panel()
    for path in write({}).glob("*.csv"):
        path.unlink()
    assert_same(read_school_files(write(files, ending=ending, encoding=encoding or "utf-8")).panel(), expected)


def test_chinese_files(files, write):
    expected = read_school_files(write(files)).panel()
    headers = {name: alias for alias, name in reversed(HEADER_ALIASES.items())}
    chinese = {}
    for name, frame in files.items():
        frame = frame.copy()
        for column, table in VALUE_ALIASES.items():
            if column in frame.columns:
                frame[column] = frame[column].map({value: alias for alias, value in table.items()})
        if "new_school" in frame.columns:
            frame["new_school"] = frame["new_school"].map({True: "是", False: "否"})
        chinese[name] = frame.rename(columns=headers)
    folder = write(chinese, encoding="gb18030")
    for old, new in {"schools": "学校", "scores": "成绩", "membership": "集团成员", "crosswalk": "学校变动"}.items():
        (folder / f"{old}.csv").rename(folder / f"{new}.csv")
    data = read_school_files(folder)
    assert_same(data.panel(), expected)
    assert "score_math" in data.schools.columns
    reasons = [drop.reason for drop in data.history]
    assert "学校.csv read as GB18030" in reasons
    assert any(" = core, " in reason for reason in reasons)


def test_baseline_window(files, write):
    folder = write(files)
    assert read_school_files(folder, baseline=(2018, 2019)).baseline == (2018, 2019)
    files["schools"]["designation_window"] = "2020-2021"
    assert read_school_files(write(files)).baseline == (2018, 2019)
    files["schools"] = files["schools"].drop(columns=["designation_window", "designated_weak_year"])
    data = read_school_files(write(files))
    assert data.baseline == (2018, 2020)
    assert data.panel().attributes.keys().isdisjoint({"designated_weak_year"})


def test_newly_built_schools_are_marked(files, write):
    schools = files["schools"]
    files["schools"] = schools[~((schools["school_id"] == "A05") & (schools["year"] < 2022))]
    files["scores"] = files["scores"][~((files["scores"]["school_id"] == "A05") & (files["scores"]["year"] < 2022))]
    data = read_school_files(write(files))
    panel = data.panel()
    assert panel.unit_ids[panel.attributes["new_school"]].tolist() == ["A05"]
    note = next(drop for drop in data.history if "newly built" in drop.reason)
    assert note.examples == ("A05",)
    assert not data.schools.loc[data.schools["school_id"] == "A05", "has_baseline"].any()


def test_school_years_without_row_and_without_score_are_counted(files, write):
    files["schools"] = files["schools"].drop(index=[0])
    files["scores"].loc[20:21, ["mean", "sd"]] = np.nan
    data = read_school_files(write(files))
    reasons = {drop.reason: drop for drop in data.history}
    assert reasons["school-years with scores that are not in schools"].rows == 1
    assert reasons["no mark"].rows == 2
    panel = data.panel()
    assert np.isnan(panel.outcome).sum() == 2
    assert panel.history[: len(data.history)] == data.history


def test_changing_location_takes_the_first(files, write):
    files["schools"].loc[5, "location"] = "rural"
    data = read_school_files(write(files))
    assert data.panel().attributes["location"][0] == "urban"
    assert any(drop.reason == "'location' changes within a school: its first value is used" for drop in data.history)


def test_merger_of_a_member_with_an_outsider_is_left_out(files, write):
    schools, scores = files["schools"], files["scores"]
    for name in ("schools", "scores"):
        table = files[name]
        files[name] = table[~((table["school_id"] == "A10") & (table["year"] >= 2023))]
    files["crosswalk"] = pd.DataFrame({"old_id": ["A10"], "new_id": ["A02"], "year": [2023], "event": ["merge"]})
    data = read_school_files(write(files))
    mine = data.schools[data.schools["school_id"] == "A02"]
    assert mine["mixed_membership"].all()
    assert mine["enrol"].tolist() == [310 + 390] * 5 + [310]
    panel = data.panel()
    assert "A02" not in panel.unit_ids
    assert next(drop for drop in panel.history if drop.step == "panel").examples == ("A02",)
    # a merger before the group was founded leaves one school that joined as a whole
    files["crosswalk"]["year"] = 2020
    files["schools"] = schools[~((schools["school_id"] == "A10") & (schools["year"] >= 2020))]
    files["scores"] = scores[~((scores["school_id"] == "A10") & (scores["year"] >= 2020))]
    whole = read_school_files(write(files))
    assert not whole.schools["mixed_membership"].any()
    assert "A02" in whole.panel().unit_ids
    z = whole.scores[(whole.scores["school_id"] == "A02") & (whole.scores["year"] == 2018)]
    assert z["n_tested"].tolist() == [41 + 49] * 2


def test_second_membership_is_noted(files, write):
    files["membership"] = with_row(files["membership"], "A03", "G2", "member", "loose", 2023, None)
    data = read_school_files(write(files))
    assert data.panel().adoption[2] == 2021
    assert any("the first one counts" in drop.reason for drop in data.history)


def test_reference_must_be_large_enough(files, write):
    folder = write(files)
    with pytest.raises(PanelError, match="The reference population \\(2 schools\\) is too small"):
        read_school_files(folder, reference=["A10", "A11"])
    assert len(read_school_files(folder, reference="all").reference) == 16
    with pytest.raises(SpecError, match="reference is the text 'some'"):
        read_school_files(folder, reference="some")


# --- the generator's truth -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reform(tmp_path_factory):
    reform = simulate_schools("clean", n_schools=400, seed=7)
    folder = tmp_path_factory.mktemp("reform")
    write_reform(reform, folder)
    return reform, read_school_files(folder)


def test_generated_files_have_warnings_only(reform):
    _, data = reform
    assert data.report.ok
    assert {violation.rule for violation in data.report.violations} <= {"exact_copy", "group_disagrees"}


def test_truth_is_recovered_through_faults_mergers_and_rescaled_exams(reform):
    truth, data = reform
    expected = truth.truth.school_year().assign(expected=lambda table: table["y0"] + table["tau"] + table["noise"])
    both = data.schools.merge(expected[["school_id", "year", "expected", "role", "cohort"]], on=["school_id", "year"])
    assert len(both) == len(data.schools) == len(expected)
    seen = both[both["score"].notna()]
    assert 0.93 < len(seen) / len(both) < 0.98
    # marks are rounded to two digits and clipped at the full mark; 4 % missing scores move the reference means
    assert (seen["score"] - seen["expected"]).abs().median() < 0.01
    assert abs((seen["score"] - seen["expected"]).mean()) < 0.005
    assert np.corrcoef(seen["score"], seen["expected"])[0, 1] > 0.999
    assert (both["role_x"] == both["role_y"]).all()
    np.testing.assert_array_equal(both["join_year"], both["cohort"].astype(float))


def test_truth_is_recovered_to_rounding_without_faults(tmp_path):
    reform = simulate_schools("composition", n_schools=200, seed=2, faults=False)
    write_reform(reform, tmp_path)
    data = read_school_files(tmp_path)
    assert data.report.violations == ()
    expected = reform.truth.school_year().assign(expected=lambda table: table["y0"] + table["tau"] + table["noise"])
    both = data.schools.merge(expected[["school_id", "year", "expected"]], on=["school_id", "year"])
    assert len(both) == len(expected)
    assert (both["score"] - both["expected"]).abs().max() < 1e-3


def test_generated_chinese_files_give_the_same_panel(reform, tmp_path):
    truth, data = reform
    write_reform(truth, tmp_path, encoding="gb18030", headers="zh")
    assert_same(read_school_files(tmp_path).panel(), data.panel())


def test_reference_is_that_of_the_generator_under_every_id(reform):
    truth, data = reform
    final = dict(zip(truth.crosswalk["old_id"], truth.crosswalk["new_id"], strict=True))
    assert {final.get(name, name) for name in data.reference} == set(truth.reference_ids)
    assert data.baseline == (2016, 2019)


def test_missingness_support(reform):
    _, data = reform
    panel = data.panel()
    support = missingness_support(panel)
    assert support.columns.tolist() == [
        *("cohort", "label", "time", "event_time", "n_units", "n_observed", "n_complete", "share_observed"),
        *("n_pupils", "status"),
    ]
    assert support["n_observed"].sum() == np.isfinite(panel.outcome).sum()
    assert support.groupby("time")["n_units"].sum().eq(panel.n_units).all()
    np.testing.assert_allclose(support["share_observed"], support["n_observed"] / support["n_units"])
    assert support["label"].iloc[-1] == "never"
    assert set(support.loc[support["label"] == "never", "status"]) == {"never"}
    treated = support[support["event_time"] >= 0]
    assert set(treated["status"]) == {"treated"}
    observed = np.isfinite(panel.outcome)
    np.testing.assert_allclose(support["n_pupils"].sum(), panel.cell_size[observed].sum())
