"""Merged and renumbered schools: nothing is lost, nothing is counted twice."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupeffect.errors import PanelError
from groupeffect.panel.crosswalk import apply_crosswalk, entities_of


def walk(*rows):
    return pd.DataFrame(rows, columns=["old_id", "new_id", "year", "event"])


def rows_of(spans, years=range(2016, 2024)):
    """School-years of schools that exist in some years: {id: (first, last)}."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        [(name, year) for name, (first, last) in spans.items() for year in years if first <= year <= last],
        columns=["school_id", "year"],
    )
    frame["enrol"] = rng.integers(50, 400, len(frame)).astype(float)
    frame["score"] = rng.normal(size=len(frame))
    frame["county_id"] = "C-" + frame["school_id"]
    return frame


def test_a_merger_is_one_school_in_every_year():
    frame = rows_of({"a": (2016, 2023), "b": (2016, 2019), "c": (2016, 2023)})
    out, history = apply_crosswalk(frame, walk(("b", "a", 2020, "merge")), means=["score"])
    assert sorted(out["school_id"].unique()) == ["a", "c"]
    early = frame[(frame["year"] == 2018) & frame["school_id"].isin(["a", "b"])]
    row = out[(out["school_id"] == "a") & (out["year"] == 2018)].iloc[0]
    assert row["enrol"] == early["enrol"].sum()
    np.testing.assert_allclose(row["score"], np.average(early["score"], weights=early["enrol"]))
    assert row["county_id"] == "C-a"
    assert out.columns.tolist() == frame.columns.tolist()
    pd.testing.assert_frame_equal(
        out[out["school_id"] == "c"].reset_index(drop=True), frame[frame["school_id"] == "c"].reset_index(drop=True)
    )
    assert [drop.rows for drop in history if "put together" in drop.reason] == [0, 4]


def test_renaming_changes_the_id_only():
    frame = rows_of({"old": (2016, 2018), "new": (2019, 2023), "c": (2016, 2023)})
    out, history = apply_crosswalk(frame, walk(("old", "new", 2019, "rename")))
    assert sorted(out["school_id"].unique()) == ["c", "new"]
    np.testing.assert_array_equal(np.sort(out["enrol"]), np.sort(frame["enrol"]))
    assert history[0].reason == "1 renumbered schools read under their last id"


def test_chains_end_at_the_last_id():
    entities = entities_of(
        walk(
            ("a", "b", 2018, "rename"),
            ("c", "b", 2019, "merge"),
            ("b", "d", 2021, "rename"),
            ("e", None, 2020, "close"),
        )
    )
    assert dict(entities.entity) == {"a": "d", "b": "d", "c": "d", "d": "d"}
    assert dict(entities.merged) == {"d": ("a", "b", "c", "d")}
    assert dict(entities.until) == {"a": 2018, "c": 2019, "b": 2021}
    assert "1 schools closed: observed until then" in [drop.reason for drop in entities.history()]


def test_a_split_keeps_the_id_of_the_school_that_was_split():
    frame = rows_of({"a": (2016, 2019), "b": (2020, 2023), "c": (2020, 2023)})
    out, _ = apply_crosswalk(frame, walk(("a", "b", 2020, "split"), ("a", "c", 2020, "split")), means=["score"])
    assert set(out["school_id"]) == {"a"}
    assert out["year"].tolist() == list(range(2016, 2024))
    assert out["enrol"].sum() == frame["enrol"].sum()
    assert out["score"].notna().all()


def test_a_missing_part_leaves_the_year_empty():
    frame = rows_of({"a": (2016, 2023), "b": (2016, 2019)})
    gone = frame[~((frame["school_id"] == "b") & (frame["year"] == 2018))]
    out, _ = apply_crosswalk(gone, walk(("b", "a", 2020, "merge")), means=["score"])
    assert out.loc[out["score"].isna(), "year"].tolist() == [2018]
    last = frame[~((frame["school_id"] == "b") & (frame["year"] == 2019))]
    out, _ = apply_crosswalk(last, walk(("b", "a", 2020, "merge")), means=["score"])
    assert out.loc[out["score"].isna(), "year"].tolist() == [2019]
    frame.loc[(frame["school_id"] == "b") & (frame["year"] == 2017), "score"] = np.nan
    out, _ = apply_crosswalk(frame, walk(("b", "a", 2020, "merge")), means=["score"])
    assert out.loc[out["score"].isna(), "year"].tolist() == [2017]
    assert out["enrol"].notna().all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from(["merge", "rename"])), max_size=5))
def test_enrolment_is_conserved(links):
    years = range(2016, 2024)
    spans, events, year = {f"s{i}": (2016, 2023) for i in range(8)}, [], 2017
    for old, new, event in links:
        a, b = f"s{old}", f"s{new}"
        if spans[a][1] < 2023 or spans[b][1] < 2023 or a == b:
            continue
        if event == "rename":
            b = f"{b}x{year}"
            spans[b] = (year, 2023)
        spans[a] = (spans[a][0], year - 1)
        events.append((a, b, year, event))
        year += 1
    frame = rows_of(spans, years)
    out, _ = apply_crosswalk(frame, walk(*events), means=["score"], sums=["enrol"])
    np.testing.assert_allclose(out.groupby("year")["enrol"].sum(), frame.groupby("year")["enrol"].sum())
    weighted = [(table["enrol"] * table["score"]).groupby(table["year"]).sum() for table in (out, frame)]
    np.testing.assert_allclose(weighted[0], weighted[1])
    assert not out.duplicated(["school_id", "year"]).any()


def test_a_rename_onto_a_living_school_is_refused():
    frame = rows_of({"a": (2016, 2018), "b": (2016, 2023)})
    with pytest.raises(PanelError, match="their event is merge, not rename"):
        apply_crosswalk(frame, walk(("a", "b", 2019, "rename")))


def test_events_without_ids_are_refused():
    with pytest.raises(PanelError, match="1 merges, splits or renames lack the old or the new id"):
        entities_of(walk(("a", None, 2019, "merge")))


def test_means_need_a_weight():
    with pytest.raises(PanelError, match="need a weight"):
        apply_crosswalk(rows_of({"a": (2016, 2018)}), walk(), means=["score"], weight=None)
