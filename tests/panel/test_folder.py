"""Every rule in and between the bureau's files, with its message."""

import numpy as np
import pandas as pd
import pytest

from groupeffect.errors import DuplicateCellError, PanelError
from groupeffect.panel.folder import validate_folder
from groupeffect.panel.school_files import read_school_files


def with_row(frame, *values):
    return pd.DataFrame([*frame.to_dict("records"), dict(zip(frame.columns, values, strict=True))])


def report_of(write, files):
    return validate_folder(write(files))


def only(report, severity="error"):
    found = [violation for violation in report.violations if violation.severity == severity]
    assert len(found) == 1, str(report)
    return found[0]


def test_clean_files_have_nothing_to_report(files, write):
    report = report_of(write, files | {"codebook": pd.DataFrame({"column": ["school_id", "mean"]})})
    assert report.violations == ()
    assert report.ok
    assert str(report).startswith("0 errors, 0 warnings.")


def test_missing_files_and_folder(files, write, tmp_path):
    del files["membership"], files["crosswalk"]
    fault = only(report_of(write, files))
    assert fault.rule == "missing_file"
    assert "There is no file membership.csv; the folder has schools.csv, scores.csv." in fault.message
    assert "There is no folder 'nowhere'" in str(validate_folder(tmp_path / "nowhere"))


def test_two_files_for_one_table(files, write):
    folder = write(files)
    files["schools"].to_parquet(folder / "schools.parquet")
    assert only(validate_folder(folder)).message == "There are several files for schools: schools.csv, schools.parquet."


def test_missing_column(files, write):
    files["scores"] = files["scores"].rename(columns={"exam_authority": "authority_exam"})
    fault = only(report_of(write, files))
    assert fault.rule == "missing_column"
    assert "There is no column 'exam_authority'" in fault.message
    assert "authority_exam" in fault.hint


def test_text_in_a_score_column(files, write):
    files["scores"] = files["scores"].astype({"mean": object})
    files["scores"].loc[7, "mean"] = "缺考"
    files["scores"].loc[9, "mean"] = "８５"
    fault = only(report_of(write, files))
    assert fault.message == "Column 'mean' must be numeric, but 2 cells hold text: '缺考', '８５'."
    assert fault.rows[0] == {
        "line": 9,
        "school_id": "A01",
        "year": 2021,
        "subject": "math",
        "grade": "6",
        "mean": "缺考",
    }
    assert "full-width" in fault.hint
    with pytest.raises(PanelError, match="缺考"):
        read_school_files(write(files))


def test_empty_file(files, write):
    folder = write(files)
    (folder / "scores.csv").write_bytes(b"")
    assert "scores.csv: the file is empty (0 bytes)" in only(validate_folder(folder)).message
    write(files | {"scores": files["scores"].iloc[:0]})
    assert "The table has no rows." in only(validate_folder(folder)).message


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("schools", "disadv_share", 85, "Column 'disadv_share' must be between 0 and 1; 1 cell is not"),
        ("schools", "enrol", 0, "Column 'enrol' must be at least 1; 1 cell is not (from 0 to 0)."),
        ("schools", "enrol", 10.5, "Column 'enrol' must hold whole numbers; 1 cell do not."),
        ("schools", "county_id", None, "Column 'county_id' is empty in 1 cell."),
        ("schools", "stage", "高中", "Column 'stage' has 1 cell with '高中'."),
        ("schools", "backbone_own", np.inf, "Column 'backbone_own' is infinite in 1 cell."),
        ("schools", "new_school", "vielleicht", "Column 'new_school' must be yes or no; 1 cell is neither."),
        ("schools", "backbone_own", -1, "Column 'backbone_own' must be at least 0"),
        ("scores", "mean", -3, "Column 'mean' must be at least 0"),
        ("scores", "mean", 101, "'mean' is above 'full_mark' in 1 row."),
        ("scores", "n_tested", 300, "'n_tested' is above 'n_enrolled' in 1 row."),
        ("scores", "subject", None, "Column 'subject' is empty in 1 cell."),
        ("membership", "role", "leader", "Column 'role' has 1 cell with 'leader'."),
        ("membership", "join_year", 21, "Column 'join_year' must be between 1900 and 2200"),
        ("membership", "group_id", None, "1 row of core or member schools have no 'group_id' or no 'join_year'."),
    ],
)
def test_cells(files, write, table, column, value, message):
    files[table] = files[table].astype({column: object})
    files[table].loc[2, column] = value
    report = report_of(write, files)
    assert any(violation.message.startswith(message) for violation in report.errors), str(report)


def test_percentages_are_named(files, write):
    files["schools"]["disadv_share"] *= 100
    fault = only(report_of(write, files))
    assert fault.count == len(files["schools"])
    assert fault.hint == "Shares are written between 0 and 1: divide percentages by 100."


def test_join_year_after_exit(files, write):
    files["membership"].loc[1, "exit_year"] = 2020
    fault = only(report_of(write, files))
    assert fault.rule == "exit_not_after_join"
    assert fault.message == "'exit_year' is not after 'join_year' in 1 row."
    assert fault.rows == ({"line": 3, "school_id": "A02", "group_id": "G1", "join_year": 2021, "exit_year": 2020},)


def test_two_cores_in_a_school_group(files, write):
    files["membership"].loc[1, "role"] = "core"
    fault = only(report_of(write, files))
    assert fault.rule == "two_cores"
    assert fault.message == "1 school groups have two or more core schools at the same time (G1): 2 rows."
    assert [row["school_id"] for row in fault.rows] == ["A01", "A02"]
    with pytest.raises(PanelError, match="two_cores"):
        read_school_files(write(files))
    files["membership"].loc[1, "role"] = "co_core"
    assert report_of(write, files).ok


def test_cores_one_after_the_other_are_fine(files, write):
    files["membership"].loc[0, "exit_year"] = 2023
    files["membership"] = with_row(files["membership"], "A09", "G1", "core", "intensive", 2023, None)
    assert report_of(write, files).ok


def test_group_without_core_is_a_warning(files, write):
    files["membership"].loc[4, "group_id"] = "G9"
    report = report_of(write, files)
    assert report.ok
    assert "1 row name one of 1 school groups that have no core school." in [item.message for item in report.warnings]


def test_two_groups_at_a_time(files, write):
    files["membership"] = with_row(files["membership"], "A02", "G2", "member", "loose", 2022, None)
    assert only(report_of(write, files)).rule == "two_memberships"


def test_exact_copies_are_left_out(files, write):
    files["scores"] = pd.concat([files["scores"], files["scores"].iloc[[3, 5]]])
    folder = write(files)
    fault = only(validate_folder(folder), "warning")
    assert fault.message == "2 rows are exact copies and are left out."
    data = read_school_files(folder)
    assert Drop_of(data.history, "exact copies of rows left out").rows == 2
    assert not data.scores.duplicated(["school_id", "year", "subject", "grade"]).any()


def Drop_of(history, reason):
    return next(drop for drop in history if drop.reason == reason)


def test_contradicting_copies_are_an_error(files, write):
    extra = files["schools"].iloc[[3]].assign(enrol=1)
    files["schools"] = pd.concat([files["schools"], extra])
    folder = write(files)
    fault = only(validate_folder(folder))
    assert fault.message == "2 rows share 'school_id', 'year' with another row but differ in 'enrol'."
    assert [row["enrol"] for row in fault.rows] == [300, 1]
    with pytest.raises(DuplicateCellError):
        read_school_files(folder)


def test_several_stages_of_a_school_year(files, write):
    extra = files["schools"].iloc[[3]].assign(stage="junior")
    files["schools"] = pd.concat([files["schools"], extra])
    assert "several_stages" in {violation.rule for violation in report_of(write, files).errors}


def test_unknown_schools(files, write):
    files["scores"].loc[:1, "school_id"] = "X99"
    files["membership"].loc[2, "school_id"] = "X98"
    folder = write(files)
    report = validate_folder(folder)
    assert report.ok
    messages = [item.message for item in report.warnings if item.rule == "unknown_school"]
    assert messages == ["2 rows of 1 schools that are not in schools.", "1 row of 1 schools that are not in schools."]
    data = read_school_files(folder)
    assert [drop.rows for drop in data.history if drop.reason == "schools that are not in schools"] == [2, 1]
    files["scores"]["school_id"] = "Z" + files["scores"]["school_id"]
    assert "different school codes" in only(report_of(write, files)).hint


def test_sent_and_received(files, write):
    files["schools"].loc[3, "backbone_sent"] = 6.0
    report = report_of(write, files)
    assert "'backbone_sent' is above 'backbone_own' in 1 row." in [item.message for item in report.errors]
    fault = only(report, "warning")
    assert fault.message == ("In 1 of 5 group-years the sum of 'backbone_sent' is not the sum of 'backbone_recv'.")
    assert fault.rows == ({"group_id": "G1", "year": 2021, "backbone_sent": 6.0, "backbone_recv": 2.0},)


def test_group_in_schools_disagrees_with_membership(files, write):
    files["schools"]["group_id"] = None
    files["schools"].loc[files["schools"]["school_id"].eq("A01") & (files["schools"]["year"] >= 2021), "group_id"] = (
        "G1"
    )
    assert report_of(write, files).violations == ()
    files["schools"].loc[5, "group_id"] = "G2"
    assert only(report_of(write, files), "warning").rule == "group_disagrees"


def test_crosswalk_rules(files, write):
    files["crosswalk"] = pd.DataFrame(
        {
            "old_id": ["A09", "A10", "Y1", None],
            "new_id": ["A11", None, "Y2", "A12"],
            "year": [2020, 2020, 2020, 2021],
            "event": ["merge", "rename", "rename", "open"],
        }
    )
    report = report_of(write, files)
    assert {violation.rule for violation in report.errors} == {"crosswalk_id"}
    assert {violation.rule for violation in report.warnings} == {"unknown_school", "old_id_goes_on"}
    late = next(violation for violation in report.warnings if violation.rule == "old_id_goes_on")
    assert late.message == "4 rows stand under an id that was merged or renamed before."
    files["crosswalk"].loc[0, "event"] = "fusion"
    assert "unknown_category" in {violation.rule for violation in report_of(write, files).errors}


def test_quantiles_and_spending(files, write):
    files["scores"] = files["scores"].assign(p25=60.0, p50=70.0)
    files["scores"].loc[4, "p25"] = 80.0
    files["schools"] = files["schools"].assign(fund_planned=100.0, fund_spent=90.0)
    files["schools"].loc[0, "fund_spent"] = 120.0
    report = report_of(write, files)
    assert only(report).message == "The quantiles p25, p50 fall in 1 row."
    assert only(report, "warning").rule == "spent_above_planned"


def test_codebook_of_another_export(files, write):
    files["codebook"] = pd.DataFrame({"column": ["school_id", "magic"]})
    assert only(report_of(write, files), "warning").message == "1 columns are described but in no file: magic."


def test_every_fault_at_once(files, write):
    files["schools"].loc[0, "enrol"] = -5
    files["scores"] = files["scores"].astype({"sd": object})
    files["scores"].loc[1, "sd"] = "?"
    files["membership"].loc[1, "role"] = "core"
    report = report_of(write, files)
    assert {violation.rule for violation in report.errors} == {"out_of_range", "text_in_numeric", "two_cores"}
    frame = report.to_frame()
    assert frame.columns.tolist() == ["severity", "table", "rule", "count", "message", "rows", "hint"]
    assert set(frame["table"]) == {"schools.csv", "scores.csv", "membership.csv"}
