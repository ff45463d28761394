"""Merged, split and renumbered schools, put together into entities that stay the same over all years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray
from groupeffect.errors import PanelError, Violation
from groupeffect.panel.panel import Drop

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Entities", "apply_crosswalk", "entities_of"]

_Columns: TypeAlias = tuple[str | None, Sequence[str], Sequence[str]]

_JOINING = ("merge", "split", "rename")


@dataclass(frozen=True, slots=True)
class Entities:
    """Which school ids are one entity over time.

    Parameters
    ----------
    entity : mapping of str to str
        School id -> id of its entity, for every id in a merge, split or rename; other ids are their own entity.
    merged : mapping of str to tuple of str
        Entity -> its school ids, only for entities in which pupils of several schools come together (merge, split).
    until : mapping of str to int
        School id -> year from which it has no rows of its own any more (merged into, or renamed to, another id).
    events : mapping of str to int
        How many crosswalk rows of each kind were used.
    """

    entity: Mapping[str, str] = field(default_factory=dict)
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    until: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("entity", "merged", "until", "events"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[object, ...]:
        return (Entities, (dict(self.entity), dict(self.merged), dict(self.until), dict(self.events)))

    def of(self, ids: AnyArray) -> AnyArray:
        """Entity of each id, shape of `ids`."""
        return np.array([self.entity.get(name, name) for name in ids], dtype=object)

    def history(self) -> tuple[Drop, ...]:
        """What the crosswalk does, in words."""
        renamed = sorted(set(self.entity.values()) - set(self.merged))
        out = []
        if renamed:
            out.append(
                Drop("crosswalk", f"{len(renamed)} renumbered schools read under their last id", 0, 0, _few(renamed))
            )
        if self.merged:
            absorbed = sum(len(ids) - 1 for ids in self.merged.values())
            reason = f"{len(self.merged)} entities put together from merged or split schools, in all years"
            out.append(Drop("crosswalk", reason, units=absorbed, examples=_few(sorted(self.merged))))
        for event, words in (
            ("close", "schools closed: observed until then"),
            ("open", "schools opened: observed from then"),
        ):
            if self.events.get(event):
                out.append(Drop("crosswalk", f"{self.events[event]} {words}"))
        return tuple(out)


def _few(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(name) for name in names[:3])


def entities_of(crosswalk: pd.DataFrame) -> Entities:
    """Entities that stay the same over time, from the table of changes.

    Schools linked by a merge, a split or a new number are one entity in every year. It carries the id that goes on: the
    last `new_id` of its latest merge or rename; for a split the id of the school that was split.

    Parameters
    ----------
    crosswalk : DataFrame
        Columns ``old_id``, ``new_id``, ``year``, ``event`` (merge, split, rename, close, open).

    Raises
    ------
    PanelError
        If a merge, split or rename lacks one of its ids, or names the same id twice.
    """
    joining = crosswalk[crosswalk["event"].isin(_JOINING)].sort_values(["year"], kind="stable")
    wrong = joining["old_id"].isna() | joining["new_id"].isna()
    if wrong.any():
        rows = tuple(
            {key: row[key] for key in ("old_id", "new_id", "year", "event")} for _, row in joining[wrong][:3].iterrows()
        )
        raise PanelError(
            "The crosswalk cannot be used.",
            violations=(
                Violation(
                    "crosswalk_id",
                    f"{int(wrong.sum())} merges, splits or renames lack the old or the new id.",
                    int(wrong.sum()),
                    rows,
                    "Fill in both ids.",
                ),
            ),
        )
    parent: dict[str, str] = {}
    names: dict[str, str] = {}
    several: set[str] = set()

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for old, new, event in zip(joining["old_id"], joining["new_id"], joining["event"], strict=True):
        old_root, new_root = root(str(old)), root(str(new))
        known = names.get(old_root, str(old))
        parent[old_root] = new_root
        names[new_root] = known if event == "split" else str(new)
        if event != "rename":
            several.add(str(new))
    entity = {name: names[root(name)] for name in parent}
    mixing = {entity[name] for name in several}
    members: dict[str, list[str]] = {}
    for name, target in entity.items():
        if target in mixing:
            members.setdefault(target, []).append(name)
    gone = joining[joining["event"] != "split"]
    until = {str(old): int(year) for old, year in zip(gone["old_id"], gone["year"], strict=True)}
    counts = {str(event): int(number) for event, number in crosswalk["event"].value_counts().items()}
    return Entities(entity, {name: tuple(sorted(ids)) for name, ids in members.items()}, until, counts)


def apply_crosswalk(
    frame: pd.DataFrame,
    entities: Entities | pd.DataFrame,
    *,
    by: Sequence[str] = ("year",),
    weight: str | None = "enrol",
    means: Sequence[str] = (),
    sums: Sequence[str] = (),
) -> tuple[pd.DataFrame, tuple[Drop, ...]]:
    """Rows of constant entities: merged schools are put together in every year, renumbered ones renamed.

    Counts (`sums`) add up; `means` are averaged with `weight`; every other column comes from the school that goes on
    (or, where it has no row, from the part with the largest weight). If one part of an entity has no row in a year in
    which it should have one (from its first row to its merger or last row), or lacks a value or its weight, the sum or
    mean of that year is left empty: the other parts alone are another population.

    Parameters
    ----------
    frame : DataFrame
        Rows identified by ``school_id`` and `by`.
    entities : Entities or DataFrame
        From :func:`entities_of`, or the crosswalk table itself.
    by : sequence of str, default ("year",)
        The other columns of the key, for example ``("year", "subject", "grade")``.
    weight : str, optional
        Column with the weights of the means (pupils). None only if there are no `means`.
    means, sums : sequence of str
        Columns to average and to add up; must be numeric. `weight` is added up as well.

    Returns
    -------
    frame : DataFrame
        One row per entity and `by`, sorted; the columns of the input in their order, ``school_id`` being the entity.
    history : tuple of Drop
        What was put together, with counts.

    Raises
    ------
    PanelError
        If an id still has rows after it was renamed to an id that has rows at the same time.
    """
    if not isinstance(entities, Entities):
        entities = entities_of(entities)
    if means and weight is None:
        raise PanelError("Means of merged schools need a weight.", hint="Name the column with the pupils.")
    by = list(by)
    original = frame["school_id"].to_numpy()
    out = frame.assign(school_id=entities.of(original))
    in_merged = np.isin(out["school_id"].to_numpy().astype(str), list(entities.merged))
    _refuse_clashes(out, original, in_merged, by)
    kept, parts = out[~in_merged], out[in_merged]
    if len(parts):
        together = _put_together(parts, original[in_merged], entities.until, by, (weight, means, sums))
        import pandas as pd

        kept = pd.concat([kept, together], ignore_index=True)
    result = kept.sort_values(["school_id", *by], kind="stable", ignore_index=True)[list(frame.columns)]
    lost = len(frame) - len(result)
    note = (Drop("crosswalk", "rows of merged schools put together", rows=lost),) if lost else ()
    return result, (*entities.history(), *note)


def _refuse_clashes(out: pd.DataFrame, original: AnyArray, in_merged: BoolArray, by: list[str]) -> None:
    clash = out.duplicated(["school_id", *by], keep=False).to_numpy() & ~in_merged
    clash &= original != out["school_id"].to_numpy()
    if not clash.any():
        return
    chosen = np.flatnonzero(clash)
    rows = tuple({"school_id": original[i], **{name: out[name].iloc[i] for name in by}} for i in chosen[:3])
    raise PanelError(
        "The crosswalk does not fit the rows.",
        violations=(
            Violation(
                "renamed_twice",
                f"{len(chosen)} rows stand under an old id although the school has rows under its new id then.",
                len(chosen),
                rows,
                "If these were two schools, their event is merge, not rename.",
            ),
        ),
    )


def _put_together(
    parts: pd.DataFrame, original: AnyArray, until: Mapping[str, int], by: list[str], columns: _Columns
) -> pd.DataFrame:
    """One row per entity and `by` from the rows of its parts."""
    weight, means, sums = columns
    key = ["school_id", *by]
    size = np.ones(len(parts)) if weight is None else parts[weight].to_numpy(dtype=float)
    ordered = parts.assign(_goes_on=original == parts["school_id"].to_numpy(), _size=size)
    ordered = ordered.sort_values(
        [*key, "_goes_on", "_size"], ascending=[True] * len(key) + [False, False], kind="stable"
    )
    group = ordered.groupby(key, sort=True, dropna=False)
    result = group.head(1).drop(columns=["_goes_on", "_size"]).set_index(key)
    expected = _expected_parts(parts, original, by, until)
    complete = group.size().eq(expected.reindex(group.size().index)).reindex(result.index).to_numpy()
    weights = ordered["_size"].to_numpy()
    codes = group.ngroup().to_numpy()
    for name in dict.fromkeys([*sums, *([] if weight is None else [weight])]):
        if name in ordered.columns:
            total = _totals(codes, ordered[name].to_numpy(dtype=float), len(result))
            result[name] = np.where(complete, total, np.nan)
    for name in means:
        if name in ordered.columns:
            total = _totals(codes, ordered[name].to_numpy(dtype=float) * weights, len(result))
            result[name] = np.where(complete, total / _totals(codes, weights, len(result)), np.nan)
    return result.reset_index()


def _totals(codes: AnyArray, values: FloatArray, n: int) -> FloatArray:
    return np.bincount(codes, weights=values, minlength=n).astype(np.float64)


def _expected_parts(parts: pd.DataFrame, original: AnyArray, by: list[str], until: Mapping[str, int]) -> pd.Series:
    """How many parts each entity and `by` should have: from the first row of a part to its end (or its last row)."""
    kind = [name for name in by if name != "year"]
    rows = parts[["school_id", *by]].assign(_part=original)
    span = rows.groupby(["school_id", "_part", *kind], dropna=False)["year"].agg(["min", "max"]).reset_index()
    end = span["_part"].map(dict(until)).astype(float) - 1
    span["max"] = np.fmax(span["max"].to_numpy(dtype=float), end.to_numpy())
    cells = rows.drop(columns="_part").drop_duplicates()
    pairs = cells.merge(span, on=["school_id", *kind], how="left")
    pairs = pairs[(pairs["year"] >= pairs["min"]) & (pairs["year"] <= pairs["max"])]
    counted: pd.Series = pairs.groupby(["school_id", *by], sort=True, dropna=False).size()
    return counted
