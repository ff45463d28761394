"""Faults of real files, applied to perfect ones. The truth is keyed by the final, stable school ids.

Mergers are made backwards: a school that absorbed another one in year y appears before y as two schools, its own id and
an old one, whose rows add up (counts) or average out (scores, weighted by pupils tested) to what the merged school had.
So merging the files through the crosswalk gives back the schools of the truth, and membership has no effect on it:
a school in a group absorbed the other one no later than the year it joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from groupeffect._types import AnyArray, BoolArray, IntArray
from groupeffect.simulate.components import Streams
from groupeffect.simulate.frames import blank_results
from groupeffect.simulate.world import World

__all__ = ["CROSSWALK_COLUMNS", "EXTENSIVE", "inject_faults"]

CROSSWALK_COLUMNS: Final = ("old_id", "new_id", "year", "event")
EXTENSIVE: Final = (
    "enrol",
    "enrol_entry",
    "classes",
    "teachers_fte",
    "teachers_above_degree",
    "teachers_pe_art",
    "teachers_senior",
    "backbone_own",
    "floor_m2",
    "sports_m2",
    "equip_yuan",
    "media_rooms",
    "satis_n",
)
"""Columns of the school table that add up in a merger; the others are copied to both parts."""
_FEWEST_TESTED = 16
_EVENT_MARGIN = 2

Tables = dict[str, pd.DataFrame]


def inject_faults(world: World, tables: Mapping[str, pd.DataFrame], rngs: Streams) -> Tables:
    """Apply every fault of `world.parameters` to the tables.

    Parameters
    ----------
    world : World
    tables : mapping of str to DataFrame
        ``schools``, ``scores``, ``membership``, without faults.
    rngs : dict of Generator

    Returns
    -------
    dict of str to DataFrame
        ``schools``, ``scores``, ``membership``, ``crosswalk``.
    """
    parameters = world.parameters
    ids = world.labels()["school_id"]
    merged, merge_year = _events(world, parameters.fault_merge, rngs["merge"], until_join=True)
    rest = np.ones(len(ids), dtype=bool)
    rest[merged] = False
    renamed, rename_year = _events(world, parameters.fault_rename, rngs["rename"], until_join=False, among=rest)
    schools, scores, membership = tables["schools"], tables["scores"], tables["membership"]

    branch = _new_ids(len(ids), len(merged))
    schools = _split_schools(schools, ids[merged], branch, merge_year, rngs["merge"])
    scores = _split_scores(scores, ids[merged], branch, merge_year, rngs["merge"])
    old = _new_ids(len(ids) + len(merged), len(renamed))
    schools, scores = (_rename(table, ids[renamed], old, rename_year, "year") for table in (schools, scores))
    membership = _rename(membership, ids[renamed], old, rename_year, "join_year")
    crosswalk = pd.DataFrame(
        {
            "old_id": np.r_[branch, old],
            "new_id": np.r_[ids[merged], ids[renamed]],
            "year": np.r_[merge_year, rename_year],
            "event": ["merge"] * len(merged) + ["rename"] * len(renamed),
        },
        columns=list(CROSSWALK_COLUMNS),
    )
    crosswalk = crosswalk.sort_values(["year", "old_id"], ignore_index=True)
    scores = _lose_scores(scores, parameters.fault_missing, rngs["missing"])
    schools = _wrong_groups(schools, parameters.fault_wrong_group, rngs["wrong_group"])
    schools = _duplicate(schools, parameters.fault_duplicate, rngs["duplicate"])
    scores = _duplicate(scores, parameters.fault_duplicate, rngs["duplicate"])
    return {"schools": schools, "scores": scores, "membership": membership, "crosswalk": crosswalk}


def _events(
    world: World, rate: float, rng: np.random.Generator, *, until_join: bool, among: BoolArray | None = None
) -> tuple[IntArray, IntArray]:
    """Schools to which an event happens, and its year: the first school year under the final id."""
    population, years = world.population, world.years
    smallest = np.full(population.n, np.inf)
    np.minimum.at(smallest, population.section_school, world.base.n_tested.min(axis=1))
    able = ~population.is_new & (smallest >= _FEWEST_TESTED)
    if among is not None:
        able &= among
    pool = rng.permutation(np.flatnonzero(able))
    chosen = np.sort(pool[: round(rate * population.n)])
    first, last = years[0] + _EVENT_MARGIN, np.full(len(chosen), years[-1] - 1)
    if until_join:
        last = np.minimum(
            last, np.where(np.isfinite(world.assignment.cohort[chosen]), world.assignment.cohort[chosen], last)
        )
    year = first + np.floor(rng.random(len(chosen)) * (last - first + 1))
    return chosen, year.astype(np.int64)


def _new_ids(taken: int, number: int) -> AnyArray:
    return np.array([f"S{taken + k + 1:05d}" for k in range(number)], dtype=object)


def _before(table: pd.DataFrame, ids: AnyArray, year: IntArray, column: str) -> tuple[IntArray, IntArray]:
    """Rows of the schools before their event, and which school each row belongs to."""
    position = pd.Index(ids).get_indexer(pd.Index(table["school_id"])) if len(ids) else np.full(len(table), -1)
    known = position >= 0
    rows = np.flatnonzero(known)
    early = table[column].to_numpy()[rows] < year[position[rows]]
    return rows[early], position[rows[early]]


def _rename(table: pd.DataFrame, ids: AnyArray, old: AnyArray, year: IntArray, column: str) -> pd.DataFrame:
    rows, which = _before(table, ids, year, column)
    names = table["school_id"].to_numpy(dtype=object, copy=True)
    names[rows] = old[which]
    return table.assign(school_id=names)


def _split_schools(
    table: pd.DataFrame, ids: AnyArray, branch: AnyArray, year: IntArray, rng: np.random.Generator
) -> pd.DataFrame:
    part = rng.uniform(0.25, 0.45, len(ids))
    rows, which = _before(table, ids, year, "year")
    second = table.iloc[rows].copy()
    second["school_id"] = branch[which]
    second["lon"] = second["lon"] + 0.01
    first = table.copy()
    for name in EXTENSIVE:
        whole = table[name].to_numpy()[rows]
        moved = np.rint(whole * part[which]).astype(whole.dtype)
        second[name] = moved
        values = table[name].to_numpy(copy=True)
        values[rows] = whole - moved
        first[name] = values
    return _together(first, second)


def _split_scores(
    table: pd.DataFrame, ids: AnyArray, branch: AnyArray, year: IntArray, rng: np.random.Generator
) -> pd.DataFrame:
    """Two parts with means 2 to 4 marks apart whose weighted mean and pooled variance are those of the whole."""
    part, apart = rng.uniform(0.25, 0.45, len(ids)), rng.uniform(-4.0, 4.0, len(ids))
    rows, which = _before(table, ids, year, "year")
    rows_ok = table["mean"].notna().to_numpy()[rows]
    rows, which = rows[rows_ok], which[rows_ok]
    whole = table.iloc[rows]
    tested, enrolled = whole["n_tested"].to_numpy(dtype=np.int64), whole["n_enrolled"].to_numpy(dtype=np.int64)
    moved = np.maximum(np.rint(tested * part[which]), 2).astype(np.int64)
    share = moved / tested
    mean, sd, gap = whole["mean"].to_numpy(), whole["sd"].to_numpy(), apart[which]
    within = np.sqrt(np.maximum(sd**2 - share * (1 - share) * gap**2, 1.0))
    absent = np.rint((enrolled - tested) * share).astype(np.int64)
    first, second = table.copy(), whole.copy()
    second["school_id"] = branch[which]
    second = second.assign(
        mean=np.round(np.clip(mean + (1 - share) * gap, 0, None), 2),
        sd=np.round(within, 2),
        n_tested=moved,
        n_enrolled=moved + absent,
    )
    replaced = {
        "mean": np.round(np.clip(mean - share * gap, 0, None), 2),
        "sd": np.round(within, 2),
        "n_tested": tested - moved,
        "n_enrolled": enrolled - moved - absent,
    }
    for name, values in replaced.items():
        column = first[name].to_numpy(copy=True)
        column[rows] = values
        first[name] = pd.Series(column, index=first.index).astype(first[name].dtype)
    return _together(first, second)


def _together(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    if second.empty:
        return first
    return pd.concat([first, second.astype(first.dtypes.to_dict())], ignore_index=True)


def _lose_scores(table: pd.DataFrame, rate: float, rng: np.random.Generator) -> pd.DataFrame:
    """Empty all results of a share of the school-years."""
    key = table["school_id"].astype(str) + "-" + table["year"].astype(str)
    codes, unique = pd.factorize(key)
    lost = rng.random(len(unique)) < rate
    return blank_results(table, lost[codes])


def _wrong_groups(table: pd.DataFrame, rate: float, rng: np.random.Generator) -> pd.DataFrame:
    """Give a share of the members' school-years another group of the same county (or the next one)."""
    rows = np.flatnonzero((table["role"] == "member").to_numpy())
    wrong = rows[rng.random(len(rows)) < rate]
    names = table["group_id"].to_numpy(dtype=object, copy=True)
    cores = (
        table.loc[table["role"] == "core", ["county_id", "group_id"]]
        .drop_duplicates()
        .sort_values(["county_id", "group_id"], ignore_index=True)
    )
    listed = cores["group_id"].to_numpy(dtype=object)
    if len(listed) > 1:
        position = pd.Index(listed).get_indexer(pd.Index(names[wrong]))
        county = cores["county_id"].to_numpy()
        following = (position + 1) % len(listed)
        # stay in the county if it has another group: step back instead of over its border
        back = (county[following] != county[position]) & (county[position - 1] == county[position])
        names[wrong] = listed[np.where(back, position - 1, following)]
    return table.assign(group_id=names)


def _duplicate(table: pd.DataFrame, rate: float, rng: np.random.Generator) -> pd.DataFrame:
    """Repeat a share of the rows at the end of the table."""
    twice = rng.random(len(table)) < rate
    return pd.concat([table, table[twice]], ignore_index=True)
