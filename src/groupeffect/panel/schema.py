"""Columns of the bureau's files: what they hold, what is allowed, how merged schools add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

__all__ = ["SUBJECTS", "TABLES", "Field", "TableSchema"]

Kind: TypeAlias = Literal["label", "category", "whole", "number", "flag"]
Total: TypeAlias = Literal["sum", "mean", "first"]


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a file.

    Parameters
    ----------
    name : str
        Column name.
    kind : {"label", "category", "whole", "number", "flag"}
        Free text label, one of `allowed`, whole number, number, yes/no.
    required : bool
        Whether the column must be there.
    filled : bool
        Whether every row must have a value.
    low, high : float
        Allowed range, both ends included.
    allowed : tuple of str
        Values of a category.
    total : {"sum", "mean", "first"}
        How schools that merge are put together: counts add up, means are weighted, labels come from the school that
        goes on.
    """

    name: str
    kind: Kind
    required: bool = False
    filled: bool = False
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    total: Total = "first"

    @property
    def numeric(self) -> bool:
        """Whether the column holds numbers."""
        return self.kind in ("whole", "number")


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One of the bureau's files.

    Parameters
    ----------
    name : str
        File name without ending.
    key : tuple of str
        Columns that identify a row.
    fields : tuple of Field
        Every column known; others pass unchecked.
    required : bool
        Whether the file must be there.
    """

    name: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    required: bool = True
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", MappingProxyType({item.name: item for item in self.fields}))


LOCATIONS: Final = ("urban", "town", "rural")
STAGES: Final = ("primary", "junior", "nine_year", "complete")
OWNERSHIPS: Final = ("public", "private", "ppp")
ROLES: Final = ("core", "co_core", "member", "none")
MODELS: Final = ("intensive", "loose", "composite", "entrusted")
EVENTS: Final = ("merge", "split", "rename", "close", "open")
SUBJECTS: Final = ("chinese", "math", "english")

_YEARS: Final = (1900, 2200)


def _year(name: str, *, required: bool = False, filled: bool = False) -> Field:
    return Field(name, "whole", required=required, filled=filled, low=_YEARS[0], high=_YEARS[1])


def _key(name: str) -> Field:
    return Field(name, "label", required=True, filled=True)


def _shares(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "number", low=0, high=1, total="mean") for name in names)


def _amounts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "number", low=0, total="sum") for name in names)


_SCHOOLS: Final = TableSchema(
    "schools",
    ("school_id", "year"),
    (
        _key("school_id"),
        _year("year", required=True, filled=True),
        Field("county_id", "label", required=True, filled=True),
        Field("prefecture_id", "label"),
        Field("location", "category", allowed=LOCATIONS),
        Field("stage", "category", required=True, filled=True, allowed=STAGES),
        Field("ownership", "category", allowed=OWNERSHIPS),
        Field("lon", "number", low=-180, high=180),
        Field("lat", "number", low=-90, high=90),
        Field("travel_min_core", "number", low=0),
        *(Field(name, "flag") for name in ("minority_area", "boarding", "new_school", "teaching_point", "compensated")),
        Field("enrol", "whole", required=True, filled=True, low=1, total="sum"),
        Field("enrol_entry", "whole", low=0, total="sum"),
        Field("classes", "whole", low=1, total="sum"),
        *_shares("disadv_share", "migrant_share", "left_behind_share"),
        Field("prior_mean", "number", low=-6, high=6, total="mean"),
        *_amounts("teachers_fte", "teachers_above_degree", "teachers_pe_art", "teachers_senior"),
        *_amounts("backbone_own", "backbone_sent", "backbone_recv", "teachers_sent", "teachers_recv"),
        *_amounts("managers_sent", "managers_recv"),
        *_shares("export_share", "dose_recv"),
        *_amounts("floor_m2", "sports_m2", "equip_yuan", "media_rooms"),
        *_amounts("fund_planned", "fund_spent", "subsidy_rotation"),
        Field("group_id", "label"),
        Field("role", "category", allowed=ROLES),
        Field("model", "category", allowed=MODELS),
        _year("join_year"),
        _year("exit_year"),
        _year("designated_weak_year"),
        Field("designation_window", "label"),
        _year("mech_year"),
        Field("co_reforms", "label"),
        *_shares("mech_org", "mech_comm", "mech_inc", "mech_share", "mech_exit", "fidelity"),
        *(Field(name, "number", low=0, total="mean") for name in ("joint_lessons", "online_hours")),
        *(Field(name, "number", low=0, high=100, total="mean") for name in ("satis_parent", "satis_teacher")),
        Field("satis_n", "whole", low=0, total="sum"),
        *_shares("satis_resp", "dropout", "retention", "fitness_pass"),
    ),
)

_SCORES: Final = TableSchema(
    "scores",
    ("school_id", "year", "subject", "grade"),
    (
        _key("school_id"),
        _year("year", required=True, filled=True),
        _key("subject"),
        _key("grade"),
        Field("exam_id", "label"),
        Field("exam_authority", "label", required=True, filled=True),
        Field("mean", "number", required=True, low=0),
        Field("sd", "number", required=True, low=0),
        Field("n_tested", "whole", required=True, low=0, total="sum"),
        Field("n_enrolled", "whole", low=0, total="sum"),
        Field("full_mark", "number", low=1),
        *(Field(name, "number", low=0) for name in ("p10", "p25", "p50", "p75", "p90")),
        *_shares("rate_pass", "rate_excellent", "rate_low"),
        Field("va_mean", "number"),
        Field("va_se", "number", low=0),
    ),
)

_MEMBERSHIP: Final = TableSchema(
    "membership",
    ("school_id", "group_id", "join_year"),
    (
        _key("school_id"),
        Field("group_id", "label", required=True),
        Field("role", "category", required=True, filled=True, allowed=ROLES),
        Field("model", "category", allowed=MODELS),
        _year("join_year", required=True),
        _year("exit_year"),
        _year("designated_weak_year"),
        Field("designation_window", "label"),
        Field("compensated", "flag"),
    ),
)

_CROSSWALK: Final = TableSchema(
    "crosswalk",
    ("old_id", "new_id", "year", "event"),
    (
        Field("old_id", "label", required=True),
        Field("new_id", "label", required=True),
        _year("year", required=True, filled=True),
        Field("event", "category", required=True, filled=True, allowed=EVENTS),
    ),
    required=False,
)

TABLES: Final[Mapping[str, TableSchema]] = MappingProxyType(
    {table.name: table for table in (_SCHOOLS, _SCORES, _MEMBERSHIP, _CROSSWALK)}
)
"""The bureau's files by name; a fifth, ``codebook``, is documentation and only checked to name existing columns."""
