"""Reading tables: what comes out, and every wrong input with its message."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupeffect.errors import (
    DuplicateCellError,
    MissingColumnError,
    MissingKeyError,
    NonAbsorbingError,
    PanelError,
    VaryingAttributeError,
)
from groupeffect.panel.columns import Columns
from groupeffect.panel.read import read_panel
from groupeffect.panel.validation import validate_table

FULL = Columns(
    unit="school",
    time="year",
    outcome="y",
    cohort="join",
    never=(0,),
    exit="leave",
    weight="w",
    cell_size="pupils",
    covariates=("x",),
    attributes=("county", "kind"),
)
ARRAYS = ("outcome", "unit_ids", "times", "adoption", "exit", "unit_weight", "cell_size", "covariates")


def table(n=6, n_times=4, *, text_ids=True, seed=0):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n), n_times)
    join = rng.choice([0.0, 2018.0, 2019.0], n)
    leave = np.where(join == 2018, 2019.0, np.nan)
    return pd.DataFrame(
        {
            "school": [f"S{i:03d}" for i in unit] if text_ids else unit + 5,
            "year": np.tile(np.arange(2016, 2016 + n_times), n),
            "y": rng.normal(size=n * n_times),
            "join": join[unit],
            "leave": leave[unit],
            "w": rng.uniform(1, 2, n)[unit],
            "pupils": rng.integers(10, 90, n * n_times),
            "x": rng.normal(size=n * n_times),
            "county": rng.integers(1, 4, n)[unit],
            "kind": rng.choice(["urban", "乡村"], n)[unit],
        }
    )


def assert_same(a, b):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.attributes.keys() == b.attributes.keys()
    for name in a.attributes:
        np.testing.assert_array_equal(a.attributes[name], b.attributes[name], err_msg=name)


def error_of(frame, columns=FULL, kind=PanelError):
    with pytest.raises(kind) as caught:
        read_panel(frame, columns)
    assert type(caught.value) is kind
    return caught.value


# --- what comes out ------------------------------------------------------------------------------------------------


def test_panel_holds_the_table():
    frame = table()
    panel = read_panel(frame, FULL)
    assert panel.outcome.shape == (6, 4)
    np.testing.assert_array_equal(panel.times, [2016, 2017, 2018, 2019])
    np.testing.assert_array_equal(panel.outcome.reshape(-1), frame["y"])
    np.testing.assert_array_equal(panel.covariates[:, :, 0].reshape(-1), frame["x"])
    np.testing.assert_array_equal(panel.attributes["county"], frame["county"].to_numpy()[::4])
    assert panel.attributes["kind"].tolist() == frame["kind"].tolist()[::4]
    expected = frame["join"].to_numpy()[::4]
    np.testing.assert_array_equal(panel.adoption, np.where(expected == 0, np.inf, expected))
    np.testing.assert_array_equal(panel.exit, np.where(expected == 2018, 2019, np.inf))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(2, 6), st.booleans(), st.randoms(use_true_random=False), st.data())
def test_any_row_order_and_holes_give_the_same_panel(n, n_times, text_ids, random, data):
    frame = table(n, n_times, text_ids=text_ids)
    rows = list(range(len(frame)))
    random.shuffle(rows)
    shuffled = read_panel(frame.iloc[rows], FULL)
    assert_same(read_panel(frame, FULL), shuffled)
    # leaving out rows, as long as every unit and every time keeps one, is the same as leaving their outcome empty
    lost = data.draw(st.sets(st.integers(0, len(frame) - 1), max_size=len(frame) // 3))
    kept = frame.drop(index=list(lost))
    if kept["school"].nunique() < n or kept["year"].nunique() < n_times:
        return
    holes = frame.copy()
    holes.loc[list(lost), ["y", "x"]] = np.nan
    holes["pupils"] = holes["pupils"].astype(float).where(~holes.index.isin(list(lost)))
    random.shuffle(rows)
    from_kept = read_panel(kept.loc[[row for row in rows if row not in lost]], FULL)
    assert_same(from_kept, read_panel(holes, FULL))


def test_numbers_sort_as_numbers_and_text_as_text():
    frame = pd.DataFrame({"u": [10, 10, 9, 9], "t": [2, 1, 2, 1], "y": [1.0, 2.0, 3.0, 4.0]})
    panel = read_panel(frame, Columns("u", "t", "y"))
    assert panel.unit_ids.tolist() == [9, 10]
    np.testing.assert_array_equal(panel.outcome, [[4, 3], [2, 1]])
    text = read_panel(frame.astype({"u": str}), Columns("u", "t", "y"))
    assert text.unit_ids.tolist() == ["10", "9"]


def test_labels_of_several_kinds_keep_their_order():
    frame = pd.DataFrame({"u": ["b", "b", 3, 3], "t": [1, 2, 1, 2], "y": [1.0, 2.0, 3.0, 4.0]})
    panel = read_panel(frame, Columns("u", "t", "y"))
    assert panel.unit_ids.tolist() == ["b", 3]


@pytest.mark.parametrize("dtype", ["Int64", "category", "float64", "object"])
def test_column_types_do_not_matter(dtype):
    frame = table()
    frame["join"] = frame["join"].astype(int)
    other = frame.astype({"join": dtype, "kind": "category", "county": dtype})
    assert_same(read_panel(frame, FULL), read_panel(other, FULL))


def test_the_frame_is_neither_changed_nor_shared():
    frame = table()
    before = frame.copy(deep=True)
    panel = read_panel(frame, FULL)
    pd.testing.assert_frame_equal(frame, before)
    for name in ("y", "x", "pupils"):
        assert not np.shares_memory(panel.outcome, frame[name].to_numpy())
        assert not np.shares_memory(panel.covariates, frame[name].to_numpy())


def test_never_codes_empty_and_infinite_mean_never():
    frame = pd.DataFrame(
        {
            "u": np.repeat([1, 2, 3, 4], 2),
            "t": [1, 2] * 4,
            "y": np.arange(8.0),
            "g": np.repeat([np.nan, np.inf, 0, 2], 2),
        }
    )
    panel = read_panel(frame, Columns("u", "t", "y", "g", never=(0,)))
    np.testing.assert_array_equal(panel.adoption, [np.inf, np.inf, np.inf, 2])
    kept = read_panel(frame, Columns("u", "t", "y", "g"))
    np.testing.assert_array_equal(kept.adoption, [np.inf, np.inf, 0, 2])


def test_text_code_for_never_only_if_given():
    frame = pd.DataFrame({"u": [1, 1, 2, 2], "t": [1, 2] * 2, "y": np.arange(4.0), "g": ["Never", "never ", "2", "2"]})
    panel = read_panel(frame, Columns("u", "t", "y", "g", never=("never",)))
    np.testing.assert_array_equal(panel.adoption, [np.inf, 2])
    error = error_of(frame, Columns("u", "t", "y", "g"))
    assert error.violations[0].rule == "text_in_numeric"
    assert "2 cells hold text: 'Never', 'never '" in str(error)


def test_cohort_outside_the_panel_is_kept():
    frame = pd.DataFrame(
        {"u": np.repeat([1, 2, 3], 2), "t": [5, 6] * 3, "y": np.arange(6.0), "g": np.repeat([3, 6, 9], 2)}
    )
    panel = read_panel(frame, Columns("u", "t", "y", "g"))
    np.testing.assert_array_equal(panel.adoption, [3, 6, 9])
    assert not any("warning" in drop.reason for drop in panel.history)


def test_empty_outcomes_stay_as_holes_and_are_counted():
    frame = table()
    frame.loc[[3, 7], "y"] = np.nan
    frame = frame.drop(index=[10])
    panel = read_panel(frame, FULL)
    assert np.isnan(panel.outcome).sum() == 3
    reasons = {drop.reason: drop for drop in panel.history}
    assert reasons["no 'y': kept as unobserved cells"].rows == 2
    assert reasons["no 'y': kept as unobserved cells"].examples[0] == "S000 at 2019"
    assert "1 unit-times have no row: kept as unobserved cells" in reasons


def test_attribute_empty_in_some_rows_is_filled_from_the_others():
    frame = table()
    frame["county"] = frame["county"].astype(float)
    full = read_panel(frame, FULL)
    frame.loc[[0, 5], "county"] = np.nan
    panel = read_panel(frame, FULL)
    np.testing.assert_array_equal(panel.attributes["county"], full.attributes["county"])
    note = next(drop for drop in panel.history if "county" in drop.reason)
    assert note.rows == 2


def test_attribute_empty_in_all_rows():
    frame = table()
    frame.loc[:3, ["county", "kind"]] = [np.nan, None]
    panel = read_panel(frame, FULL)
    assert np.isnan(panel.attributes["county"][0])
    assert panel.attributes["kind"][0] == ""


def test_white_space_around_labels_is_taken_off():
    frame = table()
    frame.loc[1, "school"] = " S000 "
    panel = read_panel(frame, FULL)
    assert panel.n_units == 6
    assert any("white space" in drop.reason for drop in panel.history)


def test_read_only_arrays_are_fine():
    array = np.arange(8.0)
    array.setflags(write=False)
    frame = pd.DataFrame({"u": np.repeat([1, 2], 4), "t": [1, 2, 3, 4] * 2, "y": array, "g": array * 0})
    panel = read_panel(frame, Columns("u", "t", "y", "g", never=(0,)))
    assert not panel.outcome.flags.writeable
    assert np.isinf(panel.adoption).all()


# --- wrong input ---------------------------------------------------------------------------------------------------


def test_missing_column_suggests():
    error = error_of(table().rename(columns={"join": "joined"}), kind=MissingColumnError)
    assert "There is no column 'join'" in str(error)
    assert "Did you mean 'joined'?" in str(error)


def test_missing_column_suggests_the_chinese_header():
    error = error_of(table(), Columns("school", "学年", "y"), kind=MissingColumnError)
    assert "Did you mean 'year'?" in str(error)


def test_duplicated_school_year():
    frame = table()
    error = error_of(pd.concat([frame, frame.iloc[[4]]], ignore_index=True), kind=DuplicateCellError)
    assert "2 rows share 'school' and 'year' with another row (1 unit-times)" in str(error)
    assert error.violations[0].rows[0] == {"row": 4, "school": "S001", "year": 2016}
    assert error.violations[0].rows[1]["row"] == 24


def test_missing_keys():
    frame = table()
    frame.loc[2, "school"] = None
    frame["year"] = frame["year"].astype(float)
    frame.loc[5, "year"] = np.nan
    error = error_of(frame, kind=MissingKeyError)
    assert [violation.message for violation in error.violations] == ["1 row has no 'school'.", "1 row has no 'year'."]


def test_time_must_be_whole():
    frame = table().astype({"year": float})
    frame.loc[3, "year"] = 2018.5
    error = error_of(frame)
    assert error.violations[0].rule == "non_integer_time"
    assert error.violations[0].rows == ({"row": 3, "school": "S000", "year": 2018.5},)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_time(value):
    frame = table().astype({"year": float})
    frame.loc[3, "year"] = value
    assert error_of(frame).violations[0].rule == "non_integer_time"


def test_school_year_as_text():
    frame = table().astype({"year": object})
    frame.loc[0, "year"] = "2016-2017"
    error = error_of(frame)
    assert "Column 'year' must be numeric, but 1 cell holds text: '2016-2017'" in str(error)
    assert [violation.rule for violation in error.violations] == ["text_in_numeric"]


def test_cohort_changes_within_a_unit():
    frame = table()
    frame.loc[frame.index[:2], "join"] = 2017
    error = error_of(frame, kind=NonAbsorbingError)
    assert "constant within units; it changes in 1 unit" in str(error)


@pytest.mark.parametrize("name", ["kind", "county", "w", "leave"])
def test_attribute_changes_within_a_unit(name):
    frame = table()
    joined = frame.index[frame["join"] == 2018][0]
    frame.loc[joined, name] = "other" if name == "kind" else 2999
    error = error_of(frame, kind=VaryingAttributeError)
    assert f"Column {name!r} must hold a value that is constant within units" in str(error)


def test_join_after_exit():
    frame = table()
    school = frame.loc[frame["join"] == 2018, "school"].iloc[0]
    frame.loc[frame["school"] == school, "leave"] = 2017
    error = error_of(frame)
    assert "1 unit has 'leave' not after 'join'" in str(error)
    assert error.violations[0].rows == ({"unit": school, "join": 2018, "leave": 2017},)


def test_text_in_a_score_column():
    frame = table().astype({"y": object})
    frame.loc[2, "y"] = "缺考"
    error = error_of(frame)
    assert "Column 'y' must be numeric, but 1 cell holds text: '缺考'" in str(error)
    assert error.violations[0].rows == ({"row": 2, "school": "S000", "year": 2018, "y": "缺考"},)
    assert "leave a cell empty" in error.violations[0].hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("８５", "full-width digits"),
        ("1,234", "thousands separators"),
        ("12,5", "decimal comma"),
        ("85%", "write 0.85, not 85%"),
    ],
)
def test_numbers_written_otherwise_are_named(text, words):
    frame = table().astype({"y": object})
    frame.loc[2, "y"] = text
    assert words in error_of(frame).violations[0].hint


@pytest.mark.parametrize("name", ["y", "x"])
def test_infinite_values(name):
    frame = table()
    frame.loc[3, name] = np.inf
    error = error_of(frame)
    assert f"Column {name!r} is infinite in 1 row" in str(error)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_weights_must_be_positive(value):
    frame = table()
    frame.loc[frame["school"] == "S002", "w"] = value
    assert "Column 'w' must be positive; 4 rows have no positive value" in str(error_of(frame))


def test_pupils_must_be_positive_where_the_outcome_is_observed():
    frame = table().astype({"pupils": float})
    frame.loc[0, "pupils"] = np.nan
    assert "Column 'pupils' must be positive where the outcome is observed; 1 row" in str(error_of(frame))
    frame.loc[0, "y"] = np.nan
    assert np.isnan(read_panel(frame, FULL).cell_size[0, 0])


def test_one_time_is_no_panel():
    assert "The table has 1 time (2016); a panel needs at least 2" in str(error_of(table().query("year == 2016")))


def test_no_rows():
    assert "The table has no rows" in str(error_of(table().iloc[:0]))


def test_outcome_empty_everywhere():
    frame = table()
    frame["y"] = np.nan
    assert "Column 'y' is empty in every row" in str(error_of(frame))


def test_duplicate_column_names():
    frame = pd.concat([table(), table()[["x"]]], axis=1)
    error = error_of(frame)
    assert [violation.message for violation in error.violations] == ["The table has 2 columns named 'x'."]


def test_something_else_than_a_table():
    with pytest.raises(PanelError, match="A table was expected, got dict"):
        read_panel({"school": [1]}, FULL)


def test_every_fault_at_once():
    frame = table().astype({"y": object, "year": float})
    frame.loc[2, "y"] = "absent"
    frame.loc[5, "year"] = np.nan
    frame.loc[frame["school"] == "S003", "w"] = -1
    frame = pd.concat([frame, frame.iloc[[0]]], ignore_index=True).drop(columns="x")
    error = error_of(frame)
    assert {violation.rule for violation in error.violations} == {
        "missing_column",
        "text_in_numeric",
        "missing_key",
        "duplicate_cell",
        "not_positive",
    }
    assert str(error).startswith("The data frame cannot be used: 5 faults found.")


# --- warnings and the report ---------------------------------------------------------------------------------------


def test_warnings_do_not_stop_and_stand_in_the_history():
    frame = pd.DataFrame({"u": np.repeat([1, 2], 3), "t": [1, 3, 5] * 2, "y": np.ones(6), "g": np.repeat([2, 1], 3)})
    columns = Columns("u", "t", "y", "g")
    report = validate_table(frame, columns)
    assert report.ok
    assert [violation.rule for violation in report.warnings] == ["constant_outcome", "cohort_not_a_time"]
    panel = read_panel(frame, columns)
    assert [drop.reason for drop in panel.history] == [f"warning: {item.message}" for item in report.warnings]


def test_all_treated_at_the_first_time_warns():
    frame = pd.DataFrame({"u": [1, 1, 2, 2], "t": [1, 2] * 2, "y": np.arange(4.0), "g": [1, 1, 0, 0]})
    report = validate_table(frame, Columns("u", "t", "y", "g"))
    assert report.ok
    assert "All 2 units are treated ('g') at or before the first time 1" in str(report)


def test_report_lists_errors_first():
    frame = table()
    frame["y"] = 1.0
    frame.loc[frame["school"] == "S003", "w"] = -1
    report = validate_table(frame, FULL)
    assert not report.ok
    listing = report.to_frame()
    assert listing["severity"].tolist() == ["error", "warning"]
    assert listing["rule"].tolist() == ["not_positive", "constant_outcome"]
    assert listing.loc[0, "count"] == 4
    assert listing.loc[0, "rows"].startswith("row=12, school='S003', year=2016, w=-1")
    assert str(report).startswith("1 error, 1 warning.\nERROR in data frame: [not_positive]")
    with pytest.raises(PanelError, match="1 fault found"):
        report.raise_errors()
