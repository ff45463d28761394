"""Who is a member, who is a core school, who may be compared with whom, and since when the reform looked at scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import NEVER, AnyArray, BoolArray, FloatArray
from groupeffect.design.baseline import BaselineWindow
from groupeffect.errors import NoPrePeriodError, SpecError
from groupeffect.panel.panel import Panel

__all__ = [
    "CorePool",
    "MemberPool",
    "Role",
    "RoleMap",
    "Roles",
    "pre_designation_baseline",
    "read_roles",
    "selection_times",
]

Role: TypeAlias = Literal["member", "core"]
MemberPool: TypeAlias = Literal["weak", "all_never", "weak_vs_never"]
CorePool: TypeAlias = Literal["strong", "not_yet_core", "core_vs_never"]

CLUSTER, REFERENCE = "reform_cluster", "reform_reference"
"""Attributes that the reform designs add: cluster labels; until when a school traces the path of its area."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which attributes of a panel say what about the reform.

    Parameters
    ----------
    role : str, default "role"
        Attribute with the role of the school: `member`, `core` or something else (not in a group).
    school_group : str, default "group_id"
        Attribute with the school_group; empty for schools outside.
    weak : str, default "designated_weak_year"
        Attribute with the last year whose scores made the school a weak one; nan or inf = never.
    area : str or None, default "county_id"
        Attribute with the area whose common yearly shocks are taken out by schools never in a group; None = do not.
    stage : str or None, default "stage"
        Attribute within which strong schools are ranked; None = rank all together.
    new_school : str, default "new_school"
        Attribute that marks schools built for a group: they have no period before it and are left out.
    strong : str, default "strong"
        Attribute that marks strong schools, for a list that was declared in advance (or when the outcome is not the one
        by which schools were picked). Optional; without it they are found by :func:`strong_schools`.
    member, core : str, default "member" and "core"
        Values of `role`.
    selection_window : str, default "designation_window"
        Attribute with the years whose scores were used to pick schools, as text ``"2020-2021"``. Optional.
    selection_years : int, default 2
        Number of years whose scores were used, when the panel does not have that attribute: they end with the first
        designation year, or without one with the year before the first group.

    Raises
    ------
    SpecError
        If `selection_years` is negative.
    """

    role: str = "role"
    school_group: str = "group_id"
    weak: str = "designated_weak_year"
    area: str | None = "county_id"
    stage: str | None = "stage"
    new_school: str = "new_school"
    strong: str = "strong"
    member: str = "member"
    core: str = "core"
    selection_window: str = "designation_window"
    selection_years: int = 2

    def __post_init__(self) -> None:
        if self.selection_years < 0:
            raise SpecError(
                f"selection_years={self.selection_years} is negative.",
                hint="Give the number of years whose scores were used to pick schools; 0 = none.",
            )


@dataclass(frozen=True, slots=True)
class RoleMap:
    """Roles of the n units of a panel, as arrays of shape (n,).

    Parameters
    ----------
    member, core : ndarray of bool
        In a group at any time in the panel, as member or as core school.
    never : ndarray of bool
        In no group at any time.
    weak : ndarray of bool
        Ever designated weak.
    new : ndarray of bool
        Built for a group.
    cohort : ndarray of float
        First year in a group; inf = never. For members and for core schools.
    group : ndarray of object
        School_group; None outside.
    designated : float
        First designation year (the last year whose scores counted); nan if the panel does not say.
    """

    member: BoolArray
    core: BoolArray
    never: BoolArray
    weak: BoolArray
    new: BoolArray
    cohort: FloatArray
    group: AnyArray
    designated: float


def read_roles(panel: Panel, roles: Roles) -> RoleMap:
    """Roles of a panel's units.

    Parameters
    ----------
    panel : Panel
        With the attributes named in `roles`; ``panel.adoption`` is the first year in a group of members and cores.
    roles : Roles

    Returns
    -------
    RoleMap

    Raises
    ------
    SpecError
        If the role or school_group attribute is missing, no unit has the role values, or a school in a group has no
        join year (or one outside has one). All faults at once.
    """
    missing = [name for name in (roles.role, roles.school_group) if name not in panel.attributes]
    if missing:
        raise SpecError(
            f"The panel lacks the attributes {missing}; it has {sorted(panel.attributes)}.",
            hint="Read it with Columns(..., attributes=(...)), or name the columns in Roles(...).",
        )
    label = panel.attributes[roles.role].astype(str)
    member, core = label == roles.member, label == roles.core
    cohort = np.where(np.isnan(panel.adoption), NEVER, panel.adoption)
    joined = np.isfinite(cohort) & (cohort <= panel.times[-1])
    group = _labels(panel.attributes[roles.school_group])
    faults = []
    if not member.any() and not core.any():
        values = ", ".join(sorted(set(label.tolist()))[:5])
        faults.append(f"no school has the role {roles.member!r} or {roles.core!r} (roles found: {values})")
    for wrong, text in (
        ((member | core) & ~np.isfinite(cohort), "in a group by role, but without join year"),
        (~(member | core) & joined, "with a join year, but in no group by role"),
        ((member | core) & joined & (group == None), "in a group by role, but without school_group"),  # noqa: E711
    ):
        if wrong.any():
            examples = ", ".join(str(unit) for unit in panel.unit_ids[wrong][:3])
            faults.append(f"{int(wrong.sum())} schools {text} (first: {examples})")
    if faults:
        raise SpecError(
            "Roles and join years disagree: " + "; ".join(faults) + ".",
            hint="Correct the membership file, or name the right columns and values in Roles(...).",
        )
    weak_year = _years(panel, roles.weak)
    weak = np.isfinite(weak_year)
    return RoleMap(
        member=member & joined,
        core=core & joined,
        never=~joined,
        weak=weak,
        new=flags(panel, roles.new_school),
        cohort=np.where(joined, cohort, NEVER),
        group=group,
        designated=float(weak_year[weak].min()) if weak.any() else float("nan"),
    )


def _labels(values: AnyArray) -> AnyArray:
    """Labels as objects, None where empty."""
    out = values.astype(object)
    empty = [value is None or value != value or value == "" for value in out.tolist()]
    out[np.array(empty, dtype=bool)] = None
    return out


def _years(panel: Panel, name: str) -> FloatArray:
    if name not in panel.attributes:
        return np.full(panel.n_units, np.nan)
    values = panel.attributes[name]
    if values.dtype.kind in "fiu":
        return np.asarray(values, dtype=float)
    return np.array([_year(value) for value in values.tolist()], dtype=float)


def _year(value: object) -> float:
    if value is None or value == "":
        return float("nan")
    return float(value)  # type: ignore[arg-type]


def flags(panel: Panel, name: str) -> BoolArray:
    """Attribute read as yes or no, shape (n,); no where the panel lacks it."""
    if name not in panel.attributes:
        return np.zeros(panel.n_units, dtype=bool)
    values = panel.attributes[name]
    if values.dtype.kind in "bfiu":
        return np.asarray(np.nan_to_num(values.astype(float)) != 0)
    return np.array([str(value).strip().lower() in ("true", "1", "yes", "是") for value in values.tolist()], dtype=bool)


def selection_times(panel: Panel, roles: Roles) -> BoolArray:
    """Mark the times whose scores were used to pick schools, shape (T,)."""
    first, last, _ = _selection_window(panel, roles)
    return np.asarray((panel.times >= first) & (panel.times <= last))


def _selection_window(panel: Panel, roles: Roles) -> tuple[float, float, str]:
    """First and last year whose scores were used to pick schools, and how that is known."""
    declared = _declared_window(panel, roles.selection_window)
    if declared is not None:
        first, last = declared
        return first, last, f"schools were picked on scores of {first:g}-{last:g} (column {roles.selection_window})"
    known = read_roles(panel, roles)
    if np.isfinite(known.designated):
        last, source = known.designated, f"first designation on scores up to {known.designated:g}"
    else:
        first_join = float(known.cohort.min())
        last, source = first_join - 1, f"no designation year in the panel, groups exist from {first_join:g} on"
    first = last - roles.selection_years + 1
    return first, last, f"{source}, scores of {roles.selection_years} years used"


def _declared_window(panel: Panel, name: str) -> tuple[float, float] | None:
    """Widest window in an attribute of texts like ``2020-2021``; None if there is none."""
    if name not in panel.attributes:
        return None
    years: list[float] = []
    for text in {str(value) for value in panel.attributes[name].tolist()}:
        parts = text.replace("–", "-").split("-")
        if len(parts) == 2 and all(part.strip().isdigit() for part in parts):
            years += [float(part) for part in parts]
    return (min(years), max(years)) if years else None


def pre_designation_baseline(panel: Panel, roles: Roles) -> tuple[BaselineWindow, str]:
    """Find the window that ends before the first year whose scores were used to pick schools.

    Schools are picked for what they scored in the selection years, weak ones with bad luck and core schools with good
    luck on average. A base that contains those years, or the last year before joining, counts the return of luck to
    normal as an effect, up for members and down for core schools.

    Parameters
    ----------
    panel : Panel
    roles : Roles

    Returns
    -------
    window : BaselineWindow
        All times before the first selection year.
    source : str
        One sentence for a reader.

    Raises
    ------
    NoPrePeriodError
        If fewer than two times lie before.
    """
    first, _, source = _selection_window(panel, roles)
    times = panel.times[panel.times < first]
    check_baseline(panel, times, source)
    window = BaselineWindow(float(times[0]), float(times[-1]))
    return window, f"baseline {window}: {source}"


def row_means(values: FloatArray) -> FloatArray:
    """Mean of each row over what is observed; nan for rows without any."""
    seen = np.isfinite(values)
    count = seen.sum(axis=1)
    return np.where(count > 0, np.where(seen, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def check_baseline(panel: Panel, times: FloatArray, source: str) -> None:
    """Refuse a baseline of fewer than two times.

    Raises
    ------
    NoPrePeriodError
        With the times found.
    """
    if len(times) < 2:
        raise NoPrePeriodError(
            f"Only {len(times)} times before schools were picked ({source}; the panel has {panel.times[0]:g} to "
            f"{panel.times[-1]:g}); two are needed, to see the trend before and to average out luck.",
            hint="Add earlier years, or declare the window with baseline=ge.baseline_window(first, last).",
        )
