"""The same table from every file format gives the same panel."""

import gzip

import numpy as np
import pandas as pd
import pytest

from groupeffect.errors import PanelError
from groupeffect.panel.aliases import HEADER_ALIASES, resolve_headers
from groupeffect.panel.columns import Columns
from groupeffect.panel.read import read_panel
from groupeffect.panel.validation import validate_table

COLUMNS = Columns("school_id", "year", "mean", "join_year", attributes=("county_id", "location"), cell_size="n_tested")


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(5), 3)
    return pd.DataFrame(
        {
            "school_id": [f"校{i:02d}" for i in unit],
            "year": np.tile([2019, 2020, 2021], 5),
            "mean": rng.normal(70, 8, 15).round(6),  # Excel keeps 15 digits
            "join_year": np.where(unit < 3, 2021, np.nan),
            "county_id": unit % 2 + 460100,
            "location": np.where(unit > 2, "城区", "乡村"),
            "n_tested": rng.integers(20, 50, 15),
        }
    )


def write(frame, path, encoding=None):
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False, encoding=encoding)
    return path


def assert_same(a, b):
    for name in ("outcome", "unit_ids", "times", "adoption", "exit", "cell_size"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in a.attributes:
        np.testing.assert_array_equal(a.attributes[name], b.attributes[name], err_msg=name)
        assert a.attributes[name].dtype == b.attributes[name].dtype


@pytest.mark.parametrize(
    ("file", "encoding", "note"),
    [
        ("t.csv", "utf-8", "t.csv read as UTF-8"),
        ("t.csv", "utf-8-sig", "t.csv read as UTF-8 with byte order mark"),
        ("t.csv", "gb18030", "t.csv read as GB18030"),
        ("t.csv.gz", "gb18030", "t.csv.gz read as GB18030"),
        ("t.parquet", None, None),
        ("t.xlsx", None, "t.xlsx: sheet 'Sheet1' read"),
    ],
)
def test_round_trip(frame, tmp_path, file, encoding, note):
    expected = read_panel(frame, COLUMNS)
    panel = read_panel(write(frame, tmp_path / file, encoding), COLUMNS)
    assert_same(panel, expected)
    assert [drop.reason for drop in panel.history if drop.step == "read"] == ([note] if note else [])


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_chinese_headers(frame, tmp_path, encoding):
    chinese = {english: alias for alias, english in reversed(HEADER_ALIASES.items())}
    path = write(frame.rename(columns=chinese), tmp_path / "成绩.csv", encoding)
    panel = read_panel(str(path), COLUMNS)
    assert_same(panel, read_panel(frame, COLUMNS))
    note = next(drop.reason for drop in panel.history if "headers" in drop.reason)
    assert "学校代码 as school_id" in note


def test_every_alias_of_the_schema_is_known():
    for alias, name in {
        "学校代码": "school_id",
        "派出骨干教师数": "backbone_sent",
        "参考人数": "n_tested",
        "应考人数": "n_enrolled",
        "退出学年": "exit_year",
        "及格率": "rate_pass",
        "教师满意度": "satis_teacher",
    }.items():
        assert HEADER_ALIASES[alias] == name


def test_resolve_headers_leaves_named_columns_alone():
    frame = pd.DataFrame({"学年": [1], "year": [2], " 科目 ": ["语文"]})
    renamed, history = resolve_headers(frame, ("year", "subject", "grade"))
    assert list(renamed.columns) == ["学年", "year", "subject"]
    assert history[0].reason == "headers read under another name:  科目  as subject"
    same, nothing = resolve_headers(renamed, ("year",))
    assert same is renamed
    assert nothing == ()


def test_leading_zeros_of_labels_survive(frame, tmp_path):
    frame["school_id"] = [f"00{i}" for i in np.repeat(np.arange(5), 3)]
    panel = read_panel(write(frame, tmp_path / "t.csv"), COLUMNS)
    assert panel.unit_ids.tolist() == ["000", "001", "002", "003", "004"]


def test_number_labels_in_csv_are_numbers(frame, tmp_path):
    frame["school_id"] = np.repeat([9, 10, 11, 100, 101], 3)
    panel = read_panel(write(frame, tmp_path / "t.csv"), COLUMNS)
    assert panel.unit_ids.tolist() == [9, 10, 11, 100, 101]
    assert_same(panel, read_panel(frame, COLUMNS))


def test_lines_of_the_file_are_named(frame, tmp_path):
    frame = frame.astype({"mean": object})
    frame.loc[4, "mean"] = "缺考"
    for file in ("t.csv", "t.xlsx"):
        with pytest.raises(PanelError) as caught:
            read_panel(write(frame, tmp_path / file), COLUMNS)
        assert caught.value.violations[0].rows == ({"line": 6, "school_id": "校01", "year": 2020, "mean": "缺考"},)


def test_empty_rows_at_the_end_of_a_sheet(frame, tmp_path):
    blank = pd.DataFrame([[None] * frame.shape[1]] * 2, columns=frame.columns).astype(
        frame.dtypes.replace("int64", float)
    )
    path = write(frame, tmp_path / "t.csv")
    path.write_text(path.read_text(encoding="utf-8") + (",,,,,,\n" * len(blank)), encoding="utf-8")
    panel = read_panel(path, COLUMNS)
    assert_same(panel, read_panel(frame, COLUMNS))
    assert next(drop for drop in panel.history if "empty rows" in drop.reason).rows == 2


def failure(path, **options):
    with pytest.raises(PanelError) as caught:
        read_panel(path, COLUMNS, **options)
    report = validate_table(path, COLUMNS, **options)
    assert not report.ok
    assert report.violations == caught.value.violations
    return caught.value


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_file(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    error = failure(path)
    assert error.violations[0].rule == "empty_file"
    assert "t.csv cannot be read: the file" in str(error)


def test_header_only(tmp_path, frame):
    path = write(frame.iloc[:0], tmp_path / "t.csv")
    assert "The table has no rows" in str(failure(path))


def test_no_such_file(tmp_path, frame):
    write(frame, tmp_path / "schools.csv")
    assert "Did you mean 'schools.csv'?" in str(failure(tmp_path / "school.csv"))


@pytest.mark.parametrize("name", ["t.xls", "t.docx", "noformat"])
def test_unknown_format(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    error = failure(tmp_path / name)
    assert error.violations[0].rule == "unknown_format"
    assert "Use .csv, .csv.gz, .parquet or .xlsx." in str(error)


def test_workbook_named_csv(tmp_path, frame):
    path = write(frame, tmp_path / "t.xlsx").rename(tmp_path / "t.csv")
    assert "it is named .csv but is an Excel workbook" in str(failure(path))


def test_undecodable(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"school_id,year\n\xff\xff,1\n")
    assert "it is neither UTF-8 nor GB18030" in str(failure(path))
    path.write_bytes("school_id".encode("utf-16"))
    assert 'Give encoding="utf-16"' in str(failure(path))


def test_given_encoding_is_used_strictly(tmp_path, frame):
    path = write(frame, tmp_path / "t.csv", "utf-16")
    assert_same(read_panel(path, COLUMNS, encoding="utf-16"), read_panel(frame, COLUMNS))
    path = write(frame, tmp_path / "t.csv", "gb18030")
    assert "it cannot be read as utf-8" in str(failure(path, encoding="utf-8"))
    assert "it cannot be read as nonsense" in str(failure(path, encoding="nonsense"))


@pytest.mark.parametrize(("name", "words"), [("t.parquet", "not a Parquet file"), ("t.xlsx", "not an Excel workbook")])
def test_damaged_files(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"not what the name says")
    assert words in str(failure(tmp_path / name))


def test_damaged_gzip(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n")[:-6])
    assert "cannot be unpacked" in str(failure(tmp_path / "t.csv.gz"))


def test_lines_of_different_length(tmp_path, frame):
    path = write(frame, tmp_path / "t.csv")
    path.write_text(path.read_text(encoding="utf-8") + "a,b,c,d,e,f,g,h,i\n", encoding="utf-8")
    assert failure(path).violations[0].rule == "damaged_file"
    path.write_text("school_id,year\nx,2019,1\ny,2020,2\n", encoding="utf-8")
    assert "its rows have more cells than its header" in str(failure(path))


def test_header_names_a_column_twice(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("school_id,year,year\nx,1,2\n", encoding="utf-8")
    assert "the header names 'year' more than once" in str(failure(path))


def test_another_separator(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("school_id;year;mean\nx;1;2\n", encoding="utf-8")
    assert "separated by something else than commas" in str(failure(path))


def test_sheets(tmp_path, frame):
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"注": ["说明"]}).to_excel(book, sheet_name="说明", index=False)
        frame.to_excel(book, sheet_name="成绩", index=False)
    panel = read_panel(path, COLUMNS, sheet="成绩")
    assert_same(panel, read_panel(frame, COLUMNS))
    assert panel.history[0].reason == "t.xlsx: sheet '成绩' read (1 other sheets not read)"
    assert "there is no sheet 'x'" in str(failure(path, sheet="x"))
    assert failure(path).violations[0].rule == "missing_column"
