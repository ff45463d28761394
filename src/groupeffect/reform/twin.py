"""One group of schools as a single case: its members' average against schools outside, for a synthetic twin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groupeffect._types import NEVER, BoolArray
from groupeffect.design.design import Design, block_design
from groupeffect.errors import NoComparisonError, NoTreatedError
from groupeffect.panel.panel import Drop, Panel
from groupeffect.reform.roles import RoleMap, Roles, read_roles

__all__ = ["GroupCase", "group_case"]

MIN_DONORS = 10


@dataclass(frozen=True, slots=True)
class GroupCase:
    """A group's members as one unit, with its donors.

    Parameters
    ----------
    group : str
        School_group.
    start : float
        First year in which its members were in it.
    n_members : int
        Members that are averaged.
    panel : Panel
        The average (labelled by `group`) and the donor schools, complete over all times.
    design : Design
        Block design of the average against the donors.
    """

    group: str
    start: float
    n_members: int
    panel: Panel
    design: Design


def group_case(panel: Panel, group: str | None = None, *, roles: Roles | None = None) -> GroupCase:
    """One group as a case for the synthetic control family.

    Parameters
    ----------
    panel : Panel
        Schools with the attributes named in `roles`.
    group : str, optional
        School_group. By default, among the groups of the largest founding year, the one with most members observed in
        every year (ties: first label): the choice does not look at outcomes after joining.
    roles : Roles, optional
        Names of the attributes.

    Returns
    -------
    GroupCase
        Members are averaged with their mean number of pupils as weight. Donors are schools of the same stages that were
        never in a group, lie in other areas, and are observed in every year.

    Raises
    ------
    NoTreatedError
        If no such group has a member observed in every year.
    NoComparisonError
        If fewer than ten donors remain.
    """
    names = roles or Roles()
    known = read_roles(panel, names)
    complete = np.isfinite(panel.outcome).all(axis=1)
    usable = known.member & complete & ~known.new
    chosen = _default_group(known, usable) if group is None else group
    in_group = known.group.astype(str) == chosen
    members = usable & in_group
    if not members.any():
        raise NoTreatedError(
            f"Group {chosen!r} has no member school that is observed in every year.",
            hint="Name another group, or fill the gaps in its scores.",
        )
    start = float(np.min(known.cohort[members]))
    donors = known.never & complete & _elsewhere(panel, names, members)
    if donors.sum() < MIN_DONORS:
        raise NoComparisonError(
            f"Group {chosen!r} has {int(donors.sum())} donor schools; at least {MIN_DONORS} are needed.",
            hint="A twin needs schools of the same stage outside any group and outside its area.",
        )
    pooled = _with_average(panel, chosen, members, donors)
    labels = pooled.unit_ids[1:].tolist()
    design = block_design(pooled, treated=(chosen,), start=start, donors=labels)
    return GroupCase(chosen, start, int(members.sum()), pooled, design)


def _default_group(known: RoleMap, usable: BoolArray) -> str:
    if not usable.any():
        raise NoTreatedError(
            "No member school is observed in every year.", hint="Name a group, or fill the gaps in the scores."
        )
    years, counts = np.unique(known.cohort[usable], return_counts=True)
    wave = usable & (known.cohort == years[np.argmax(counts)])
    groups, sizes = np.unique(known.group[wave].astype(str), return_counts=True)
    return str(groups[np.argmax(sizes)])


def _elsewhere(panel: Panel, names: Roles, members: BoolArray) -> BoolArray:
    """Schools of the members' stages in other areas."""
    keep = np.ones(panel.n_units, dtype=bool)
    if names.stage is not None and names.stage in panel.attributes:
        stage = panel.attributes[names.stage]
        keep &= np.isin(stage, np.unique(stage[members].astype(stage.dtype)))
    if names.area is not None and names.area in panel.attributes:
        area = panel.attributes[names.area]
        keep &= ~np.isin(area, np.unique(area[members].astype(area.dtype)))
    return keep


def _with_average(panel: Panel, group: str, members: BoolArray, donors: BoolArray) -> Panel:
    """The members' average in the first row, then the donors."""
    size = np.ones(panel.n_units) if panel.cell_size is None else np.nanmean(panel.cell_size, axis=1)
    weight = size[members] / size[members].sum()
    left = int(panel.n_units - members.sum() - donors.sum())
    note = Drop("group_case", "neither a member of the group nor a donor, or not observed in every year", units=left)
    return Panel(
        np.vstack([weight @ panel.outcome[members], panel.outcome[donors]]),
        np.concatenate([[group], panel.unit_ids[donors].astype(str)]),
        times=panel.times,
        adoption=np.concatenate([[np.min(panel.adoption[members])], np.full(int(donors.sum()), NEVER)]),
        columns=replace(panel.columns, covariates=(), attributes=(), cell_size=None, weight=None),
        history=(*panel.history, note),
    )
