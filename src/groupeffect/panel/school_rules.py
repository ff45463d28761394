"""Rules that hold between the columns of the bureau's files, and between the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray
from groupeffect.errors import Violation
from groupeffect.panel.crosswalk import Entities, entities_of
from groupeffect.panel.tables import FileTable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["between_tables", "within_table"]

TOLERANCE: Final = 0.05
"""Difference of sums of teachers (full-time equivalents) that rounding explains."""

Found = tuple[str, Violation]


def within_table(table: FileTable, name: str) -> list[Violation]:
    """Every broken rule between columns of one file.

    Parameters
    ----------
    table : FileTable
        A file read by :func:`groupeffect.panel.tables.read_table`.
    name : {"schools", "scores", "membership", "crosswalk"}
        Which file it is.
    """
    return [violation for rule in _WITHIN.get(name, ()) if (violation := rule(table)) is not None]


def between_tables(tables: Mapping[str, FileTable]) -> list[Found]:
    """Every broken rule between the files that are there, with the name of the file it was found in."""
    found: list[Found] = []
    for rule in (_unknown_schools, _unknown_successors, _old_id_goes_on, _group_sums, _group_disagrees):
        found += rule(tables)
    return found


def _violation(
    table: FileTable, rule: str, bad: BoolArray, names: Sequence[str], text: str, hint: str, severity: str = "error"
) -> Violation | None:
    """Violation with its first rows; `text` may use {count} and {rows} ("row" or "rows")."""
    if not bad.any():
        return None
    count = int(bad.sum())
    message = text.replace("{count}", str(count)).replace("{rows}", "row" if count == 1 else "rows")
    return Violation(rule, message, count, table.examples(bad, *names), hint, severity)


def _numbers(table: FileTable, name: str) -> FloatArray:
    return table.frame[name].to_numpy(dtype=float)


def _not_above(
    small: str, large: str, rule: str, hint: str, *, key: Sequence[str], severity: str = "error"
) -> Callable[[FileTable], Violation | None]:
    """Rule ``small <= large`` for two numeric columns."""

    def check(table: FileTable) -> Violation | None:
        if not {small, large, *key} <= set(table.frame.columns):
            return None
        bad = _numbers(table, small) > _numbers(table, large) * (1 + 1e-9)
        text = f"{small!r} is above {large!r} in {{count}} {{rows}}."
        return _violation(table, rule, bad, (*key, small, large), text, hint, severity)

    return check


_SCHOOL: Final = ("school_id", "year")
_EXAM: Final = ("school_id", "year", "subject", "grade")


def _quantiles_rise(table: FileTable) -> Violation | None:
    names = [name for name in ("p10", "p25", "p50", "p75", "p90") if name in table.frame.columns]
    if len(names) < 2 or not set(_EXAM) <= set(table.frame.columns):
        return None
    values = table.frame[names].to_numpy(dtype=float)
    bad = np.asarray((np.diff(values, axis=1) < 0).any(axis=1))
    text = "The quantiles " + ", ".join(names) + " fall in {count} {rows}."
    return _violation(table, "quantiles_fall", bad, (*_EXAM, *names), text, "Check the order of the columns.")


def _several_stages(table: FileTable) -> Violation | None:
    frame = table.frame
    if not {*_SCHOOL, "stage"} <= set(frame.columns):
        return None
    pairs = frame.drop_duplicates([*_SCHOOL, "stage"])
    several = pairs[pairs.duplicated(list(_SCHOOL), keep=False)]
    bad = frame.index.isin(several.index)
    hint = "Give each stage its own school_id, or add the stages up into one row."
    text = "{count} rows describe several stages of one school in one year."
    return _violation(table, "several_stages", bad, (*_SCHOOL, "stage"), text, hint)


def _exit_after_join(table: FileTable) -> Violation | None:
    if not {"join_year", "exit_year", "school_id"} <= set(table.frame.columns):
        return None
    leave = _numbers(table, "exit_year")
    bad = ~np.isnan(leave) & ~(leave > _numbers(table, "join_year"))
    text = "'exit_year' is not after 'join_year' in {count} {rows}."
    hint = "The exit year is the first school year outside the group: it lies after the join year."
    return _violation(
        table, "exit_not_after_join", bad, ("school_id", "group_id", "join_year", "exit_year"), text, hint
    )


def _group_is_named(table: FileTable) -> Violation | None:
    if not {"group_id", "role", "join_year"} <= set(table.frame.columns):
        return None
    frame = table.frame
    inside = frame["role"].isin(["core", "co_core", "member"])
    bad = (inside & (frame["group_id"].isna() | frame["join_year"].isna())).to_numpy(dtype=bool)
    text = "{count} {rows} of core or member schools have no 'group_id' or no 'join_year'."
    hint = "Fill in both, or give the role none."
    return _violation(table, "membership_incomplete", bad, ("school_id", "group_id", "role", "join_year"), text, hint)


def _spans(frame: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    start = frame["join_year"].to_numpy(dtype=float)
    end = frame["exit_year"].to_numpy(dtype=float) if "exit_year" in frame.columns else np.full(len(frame), np.nan)
    return start, np.where(np.isnan(end), np.inf, end)


def _overlaps(frame: pd.DataFrame, by: str) -> BoolArray:
    """Rows whose years overlap with those of another row of the same label."""
    start, end = _spans(frame)
    label = frame[by].to_numpy(dtype=object)
    known = np.flatnonzero(np.isfinite(start) & frame[by].notna().to_numpy())
    out = np.zeros(len(frame), dtype=bool)
    places: dict[object, list[int]] = {}
    for place in known:
        places.setdefault(label[place], []).append(int(place))
    for mine in places.values():
        for i, first in enumerate(mine):
            for second in mine[i + 1 :]:
                if start[first] < end[second] and start[second] < end[first]:
                    out[[first, second]] = True
    return out


def _two_cores(table: FileTable) -> Violation | None:
    frame = table.frame
    if not {"group_id", "role", "join_year"} <= set(frame.columns):
        return None
    core = (frame["role"] == "core").to_numpy(dtype=bool)
    bad = np.zeros(len(frame), dtype=bool)
    bad[core] = _overlaps(frame[core], "group_id")
    groups = list(dict.fromkeys(frame.loc[bad, "group_id"]))
    named = ", ".join(map(str, groups[:3])) + (" ..." if len(groups) > 3 else "")
    text = f"{len(groups)} school groups have two or more core schools at the same time ({named}): {{count}} {{rows}}."
    hint = "A group has one core school; give a declared second one the role co_core."
    return _violation(table, "two_cores", bad, ("school_id", "group_id", "role", "join_year"), text, hint)


def _no_core(table: FileTable) -> Violation | None:
    frame = table.frame
    if not {"group_id", "role"} <= set(frame.columns):
        return None
    led = set(frame.loc[frame["role"].isin(["core", "co_core"]), "group_id"].dropna())
    bad = ((frame["role"] == "member") & frame["group_id"].notna() & ~frame["group_id"].isin(led)).to_numpy(dtype=bool)
    groups = frame.loc[bad, "group_id"].nunique()
    text = f"{{count}} {{rows}} name one of {groups} school groups that have no core school."
    hint = "Check the group id; these schools stay members of an unknown group."
    return _violation(table, "no_core", bad, ("school_id", "group_id", "role"), text, hint, "warning")


def _two_memberships(table: FileTable) -> Violation | None:
    frame = table.frame
    if not {"school_id", "role", "join_year"} <= set(frame.columns):
        return None
    inside = frame["role"].isin(["core", "co_core", "member"]).to_numpy(dtype=bool)
    bad = np.zeros(len(frame), dtype=bool)
    bad[inside] = _overlaps(frame[inside], "school_id")
    text = "{count} {rows} put a school into two groups or roles at the same time."
    hint = "Give the first membership an exit year, or remove the wrong row."
    return _violation(table, "two_memberships", bad, ("school_id", "group_id", "role", "join_year"), text, hint)


def _both_ids(table: FileTable) -> Violation | None:
    frame = table.frame
    if not {"old_id", "new_id", "event"} <= set(frame.columns):
        return None
    joining = frame["event"].isin(["merge", "split", "rename"])
    bad = (joining & (frame["old_id"].isna() | frame["new_id"].isna())).to_numpy(dtype=bool)
    text = "{count} {rows} with a merge, split or rename lack the old or the new id."
    names = ("old_id", "new_id", "year", "event")
    return _violation(table, "crosswalk_id", bad, names, text, "Fill in both ids.")


_WITHIN: Final[Mapping[str, tuple[Callable[[FileTable], Violation | None], ...]]] = {
    "schools": (
        _several_stages,
        _not_above(
            "backbone_sent", "backbone_own", "sent_above_own", "A school cannot send more than it has.", key=_SCHOOL
        ),
        _not_above(
            "teachers_sent", "teachers_fte", "sent_above_own", "A school cannot send more than it has.", key=_SCHOOL
        ),
        *(
            _not_above(name, "teachers_fte", "part_above_whole", "Check the definition of the column.", key=_SCHOOL)
            for name in ("teachers_above_degree", "teachers_pe_art", "teachers_senior")
        ),
        _not_above(
            "fund_spent", "fund_planned", "spent_above_planned", "Check the accounts.", key=_SCHOOL, severity="warning"
        ),
        _exit_after_join,
    ),
    "scores": (
        _not_above("mean", "full_mark", "mean_above_full_mark", "Check the mean or the full mark.", key=_EXAM),
        _not_above(
            "n_tested", "n_enrolled", "tested_above_enrolled", "Nobody is tested who is not enrolled.", key=_EXAM
        ),
        _quantiles_rise,
    ),
    "crosswalk": (_both_ids,),
    "membership": (_exit_after_join, _group_is_named, _two_cores, _no_core, _two_memberships),
}


# --- between the files ---------------------------------------------------------------------------------------------


def _known_ids(tables: Mapping[str, FileTable]) -> set[object] | None:
    schools = tables.get("schools")
    if schools is None or "school_id" not in schools.frame.columns:
        return None
    known = set(schools.frame["school_id"].dropna())
    crosswalk = tables.get("crosswalk")
    if crosswalk is not None:
        for name in ("old_id", "new_id"):
            if name in crosswalk.frame.columns:
                known |= set(crosswalk.frame[name].dropna())
    return known


def _unknown_schools(tables: Mapping[str, FileTable]) -> list[Found]:
    """Schools in scores or membership that are in neither schools nor crosswalk: left out if they are few."""
    known = _known_ids(tables)
    if known is None:
        return []
    found: list[Found] = []
    for name in ("scores", "membership"):
        table = tables.get(name)
        if table is None or "school_id" not in table.frame.columns:
            continue
        ids = table.frame["school_id"]
        bad = (ids.notna() & ~ids.isin(known)).to_numpy(dtype=bool)
        most = bad.mean() > 0.5 if len(bad) else False
        schools = ids[bad].nunique()
        text = f"{{count}} {{rows}} of {schools} schools that are not in schools."
        hint = (
            "Most ids do not match: the files seem to use different school codes."
            if most
            else "These rows are left out; add the schools or correct the ids."
        )
        violation = _violation(
            table, "unknown_school", bad, ("school_id", "year"), text, hint, "error" if most else "warning"
        )
        if violation is not None:
            found.append((name, violation))
    return found


def _unknown_successors(tables: Mapping[str, FileTable]) -> list[Found]:
    """Crosswalk rows none of whose ids is a school."""
    schools, table = tables.get("schools"), tables.get("crosswalk")
    if schools is None or table is None or not {"old_id", "new_id"} <= set(table.frame.columns):
        return []
    if "school_id" not in schools.frame.columns:
        return []
    known = set(schools.frame["school_id"].dropna())
    old, new = table.frame["old_id"], table.frame["new_id"]
    bad = (~old.isin(known) & ~new.isin(known)).to_numpy(dtype=bool)
    names = ("old_id", "new_id", "year", "event")
    text = "{count} {rows} link ids neither of which is in schools."
    violation = _violation(
        table, "unknown_school", bad, names, text, "Correct the ids; the rows are not used.", "warning"
    )
    return [] if violation is None else [("crosswalk", violation)]


def _group_of_rows(tables: Mapping[str, FileTable]) -> AnyArray | None:
    """School group of each row of schools in its year, from the membership or, without one, from the file itself."""
    schools = tables.get("schools")
    if schools is None or not set(_SCHOOL) <= set(schools.frame.columns):
        return None
    membership = tables.get("membership")
    if membership is not None and {"school_id", "group_id", "join_year"} <= set(membership.frame.columns):
        return group_in_year(schools.frame, membership.frame, _entities(tables))
    return schools.frame["group_id"].to_numpy(dtype=object) if "group_id" in schools.frame.columns else None


def _entities(tables: Mapping[str, FileTable]) -> Entities:
    """Merged and renumbered schools by the rows of the crosswalk that have all they need."""
    table = tables.get("crosswalk")
    names = ["old_id", "new_id", "year", "event"]
    if table is None or not set(names) <= set(table.frame.columns):
        return Entities()
    return entities_of(table.frame.dropna(subset=names))


def group_in_year(schools: pd.DataFrame, membership: pd.DataFrame, entities: Entities) -> AnyArray:
    """School group of each school-year by the membership table, under whatever id; None outside groups."""
    start, end = _spans(membership)
    year = schools["year"].to_numpy(dtype=float)
    out = np.full(len(schools), None, dtype=object)
    places = schools.groupby(entities.of(schools["school_id"].to_numpy()), sort=False).indices
    ids = entities.of(membership["school_id"].to_numpy())
    for name, group, first, last in zip(ids, membership["group_id"], start, end, strict=True):
        rows = places.get(name)
        if rows is not None and isinstance(group, str):
            inside = rows[(year[rows] >= first) & (year[rows] < last)]
            out[inside] = group
    return out


def _old_id_goes_on(tables: Mapping[str, FileTable]) -> list[Found]:
    """Rows under an id after it was merged or renamed."""
    schools = tables.get("schools")
    if schools is None or not set(_SCHOOL) <= set(schools.frame.columns):
        return []
    until = _entities(tables).until
    end = (
        schools.frame["school_id"].map(dict(until)).to_numpy(dtype=float)
        if until
        else np.full(len(schools.frame), np.nan)
    )
    bad = schools.frame["year"].to_numpy(dtype=float) >= end
    text = "{count} {rows} stand under an id that was merged or renamed before."
    hint = "Check the year in the crosswalk: it is the first school year under the new id."
    violation = _violation(schools, "old_id_goes_on", bad, _SCHOOL, text, hint, "warning")
    return [] if violation is None else [("schools", violation)]


def _group_sums(tables: Mapping[str, FileTable]) -> list[Found]:
    """Teachers sent and received must agree within a school group and year."""
    groups = _group_of_rows(tables)
    if groups is None:
        return []
    table = tables["schools"]
    found: list[Found] = []
    for kind in ("backbone", "teachers", "managers"):
        sent, received = f"{kind}_sent", f"{kind}_recv"
        if not {sent, received} <= set(table.frame.columns):
            continue
        frame = table.frame.assign(_group=groups)
        inside = frame[frame["_group"].notna()]
        sums = inside.groupby(["_group", "year"], sort=True)[[sent, received]].sum()
        wrong = sums[(sums[sent] - sums[received]).abs() > TOLERANCE + 1e-3 * sums.max(axis=1)]
        if not len(wrong):
            continue
        rows = tuple(
            {
                "group_id": key[0],
                "year": int(key[1]),
                sent: round(float(row[sent]), 3),
                received: round(float(row[received]), 3),
            }
            for key, row in zip(wrong.index[:3], wrong[:3].to_dict("records"), strict=True)
        )
        violation = Violation(
            "sent_not_received",
            f"In {len(wrong)} of {len(sums)} group-years the sum of {sent!r} is not the sum of {received!r}.",
            len(wrong),
            rows,
            "Check the group ids and the teachers who moved between groups.",
            "warning",
        )
        found.append(("schools", violation))
    return found


def _group_disagrees(tables: Mapping[str, FileTable]) -> list[Found]:
    """School-years whose group in schools is not that of the membership, which is the one that counts."""
    schools, membership = tables.get("schools"), tables.get("membership")
    if schools is None or membership is None or not {*_SCHOOL, "group_id"} <= set(schools.frame.columns):
        return []
    if not {"school_id", "group_id", "join_year"} <= set(membership.frame.columns):
        return []
    named = schools.frame["group_id"]
    expected = group_in_year(schools.frame, membership.frame, _entities(tables))
    bad = (named.notna() & (named != expected)).to_numpy(dtype=bool)
    text = "{count} {rows} name a school group that the membership does not give for that year."
    hint = "The membership counts; correct the group ids in schools."
    names = (*_SCHOOL, "group_id")
    violation = _violation(schools, "group_disagrees", bad, names, text, hint, "warning")
    return [] if violation is None else [("schools", violation)]
