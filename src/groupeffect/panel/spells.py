"""From the membership table to one first spell per school: joined when, left when, as what, in which group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from groupeffect.panel.crosswalk import Entities
from groupeffect.panel.panel import Drop

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["first_spells", "membership_of"]

_SPELL = ("group_id", "role", "model", "join_year", "exit_year", "compensated", "designated_weak_year")


def membership_of(membership: pd.DataFrame, entities: Entities) -> pd.DataFrame:
    """Spells of entities in groups, earliest first.

    Parameters
    ----------
    membership : DataFrame
        The bureau's file. Rows with role none are no spells.
    entities : Entities
        Merged and renumbered schools.

    Returns
    -------
    DataFrame
        ``school_id`` (entity), ``member_id`` (id in the file), ``group_id``, ``role``, ``model``, ``join_year``,
        ``exit_year`` (nan = stays) and, if the file has them, ``compensated``, ``designated_weak_year``.
    """
    frame = membership[membership["role"].ne("none")]
    for name in ("model", "exit_year"):
        if name not in frame.columns:
            frame = frame.assign(**{name: np.nan if name == "exit_year" else None})
    spells = frame.assign(member_id=frame["school_id"], school_id=entities.of(frame["school_id"].to_numpy()))
    kept = [name for name in _SPELL if name in spells.columns]
    own = spells["school_id"].eq(spells["member_id"])
    order = spells.assign(_own=~own).sort_values(["school_id", "join_year", "_own"], kind="stable")
    return order[["school_id", "member_id", *kept]].reset_index(drop=True)


def first_spells(spells: pd.DataFrame, entities: Entities) -> tuple[pd.DataFrame, set[str], tuple[Drop, ...]]:
    """First spell of each entity, the merged entities that only partly belong to it, and what was left out.

    Parameters
    ----------
    spells : DataFrame
        From :func:`membership_of`.
    entities : Entities
        Merged and renumbered schools.

    Returns
    -------
    first : DataFrame
        One row per entity ever in a group: the columns of `spells` without ``member_id``.
    mixed : set of str
        Merged entities of which, after the join year, some school was in the group and another was not.
    history : tuple of Drop
        Later spells, which are not used.
    """
    first = spells.drop_duplicates("school_id")
    mixed = {entity for entity, parts in entities.merged.items() if _is_mixed(entity, parts, spells, entities)}
    same = ["school_id", "group_id", "role", "join_year"]
    later = spells.drop_duplicates(same)
    later = later[later.duplicated("school_id") & ~later["school_id"].isin(mixed)]
    history: tuple[Drop, ...] = ()
    if len(later):
        names = tuple(str(name) for name in list(dict.fromkeys(later["school_id"]))[:3])
        reason = "later memberships of schools that change group or role: the first one counts"
        history = (Drop("membership", reason, rows=len(later), examples=names),)
    return first.drop(columns="member_id").reset_index(drop=True), mixed, history


def _is_mixed(entity: str, parts: tuple[str, ...], spells: pd.DataFrame, entities: Entities) -> bool:
    """Whether schools of a merged entity that still existed when it joined did not all join together."""
    mine = spells[spells["school_id"] == entity]
    if not len(mine):
        return False
    start = float(mine["join_year"].iloc[0])
    kinds = {tuple(row) for part in parts if entities.until.get(part, np.inf) > start for row in _spell_of(part, mine)}
    return len(kinds) > 1


def _spell_of(part: str, spells: pd.DataFrame) -> list[tuple[object, ...]]:
    rows = spells[spells["member_id"] == part]
    if not len(rows):
        return [(None, None, None)]
    return list(rows[["group_id", "role", "join_year"]].head(1).itertuples(index=False, name=None))
