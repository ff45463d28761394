"""The bureau's files joined into one school-year table with standardised scores, and from it any panel."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from groupeffect._types import AnyArray
from groupeffect.errors import PanelError, SpecError, Violation
from groupeffect.panel.columns import Columns
from groupeffect.panel.crosswalk import Entities, apply_crosswalk, entities_of
from groupeffect.panel.folder import read_folder
from groupeffect.panel.panel import Drop, Panel
from groupeffect.panel.read import read_panel
from groupeffect.panel.schema import TABLES
from groupeffect.panel.scores import EXAM, StandardisedScores, reference_schools, school_year_scores, standardise_scores
from groupeffect.panel.spells import first_spells, membership_of
from groupeffect.panel.validation import ValidationReport

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.panel.folder import SchoolTables

__all__ = ["ATTRIBUTES", "SchoolData", "read_school_files"]

ATTRIBUTES: Final = (
    "role",
    "model",
    "group_id",
    "county_id",
    "location",
    "stage",
    "designated_weak_year",
    "new_school",
)
"""Attributes of a panel of schools by default."""

_FIXED: Final = ("county_id", "prefecture_id", "location", "stage", "ownership", "minority_area", "boarding")
_OF_MEMBERSHIP: Final = ("group_id", "role", "model", "join_year", "exit_year", "compensated", "designated_weak_year")
_SELECTION_YEARS: Final = 2


@dataclass(frozen=True, slots=True)
class SchoolData:
    """Schools, their standardised scores and their groups, ready for panels.

    Parameters
    ----------
    schools : DataFrame
        One row per entity (school, or schools that merged) and year: the columns of the schools file;
        ``score``, ``score_<subject>``, ``n_tested``, ``tested_share``, ``n_cells``, ``n_cells_expected``, ``complete``
        and, if the files have it, ``value_added`` (nan where there is no score); the membership over all years as
        ``role`` ("none" outside groups), ``group_id``, ``model``, ``join_year``, ``exit_year``, ``compensated``;
        ``in_group`` (in that year); ``designated_weak_year``; ``new_school``; ``has_baseline`` (a score in the baseline
        window); ``mixed_membership`` (an entity only part of which joined).
    membership : DataFrame
        One row per entity and spell in a group, first spells first.
    scores : DataFrame
        The rows of the scores file with their standard score ``z``.
    exams : DataFrame
        Reference mean and SD of every exam; see :class:`~groupeffect.panel.scores.StandardisedScores`.
    reference : ndarray
        School ids of the reference population.
    baseline : tuple of int
        First and last year of the window before schools were picked.
    report : ValidationReport
        Everything found in the files.
    history : tuple of Drop
        Every row left out, merged or changed, with counts; the start of the history of each panel.
    """

    schools: pd.DataFrame
    membership: pd.DataFrame
    scores: pd.DataFrame
    exams: pd.DataFrame
    reference: AnyArray
    baseline: tuple[int, int]
    report: ValidationReport
    history: tuple[Drop, ...] = ()

    def panel(
        self,
        outcome: str = "score",
        *,
        covariates: Sequence[str] = (),
        attributes: Sequence[str] = ATTRIBUTES,
        cell_size: str | None = "enrol",
        outcome_unit: str | None = None,
    ) -> Panel:
        """Panel of one outcome: schools x years, cohort = first year in a group.

        Parameters
        ----------
        outcome : str, default "score"
            Any numeric column of ``schools``: ``score``, ``score_math``, ``value_added``, ``tested_share``,
            ``satis_parent``, ``enrol``, ...
        covariates : sequence of str
            Numeric columns of ``schools``; may change over time.
        attributes : sequence of str
            Columns of ``schools`` constant within schools; by default :data:`ATTRIBUTES`, those that are there.
        cell_size : str, optional
            Column with the pupils behind each outcome.
        outcome_unit : str, optional
            By default ``"sd"`` for scores and value added, ``"units"`` otherwise.

        Returns
        -------
        Panel
            Entities of which only some schools joined a group are left out; newly built schools stay, marked by
            ``new_school``. Both stand in ``history``.

        Raises
        ------
        PanelError
            If a column is missing, not numeric, or an attribute changes within a school.
        """
        unit = outcome_unit or ("sd" if outcome.startswith(("score", "value_added", "prior_mean")) else "units")
        known = tuple(name for name in attributes if name in self.schools.columns or name not in ATTRIBUTES)
        columns = Columns(
            unit="school_id",
            time="year",
            outcome=outcome,
            cohort="join_year",
            exit="exit_year",
            cell_size=cell_size,
            covariates=tuple(covariates),
            attributes=known,
            outcome_unit=unit,
        )
        mixed = self.schools["mixed_membership"].to_numpy(dtype=bool)
        panel = read_panel(self.schools[~mixed], columns)
        left: tuple[Drop, ...] = ()
        if mixed.any():
            names = sorted(set(self.schools.loc[mixed, "school_id"]))
            reason = "merged schools of which only some were in a group"
            left = (Drop("panel", reason, rows=int(mixed.sum()), units=len(names), examples=tuple(names[:3])),)
        return replace(panel, history=(*self.history, *left, *panel.history))


@dataclass(slots=True)
class _Notes:
    drops: list[Drop] = field(default_factory=list)
    warnings: list[tuple[str, Violation]] = field(default_factory=list)


def read_school_files(
    folder: str | os.PathLike[str],
    *,
    baseline: tuple[int, int] | None = None,
    reference: Sequence[str] | Literal["all"] | None = None,
    incomplete: Literal["average", "leave_out"] = "average",
    encoding: str | None = None,
) -> SchoolData:
    """Read the bureau's files, standardise the scores, follow merged and renumbered schools, join everything.

    Parameters
    ----------
    folder : path
        Holds ``schools``, ``scores``, ``membership`` and, if schools changed, ``crosswalk``; see
        :func:`~groupeffect.panel.folder.read_folder`.
    baseline : tuple of int, optional
        First and last year before schools were picked. By default all years before the first year of
        ``designation_window`` ("2020-2021"), else before the two years that end with the first designation year, else
        before the first join year.
    reference : sequence of school ids or "all", optional
        Schools whose pupils set mean and SD of each exam; by default those never in a group, never designated weak and
        not newly built.
    incomplete : {"average", "leave_out"}, default "average"
        School-years that lack a subject; see :func:`~groupeffect.panel.scores.school_year_scores`.
    encoding : str, optional
        Encoding of the CSV files; by default UTF-8, then GB18030.

    Returns
    -------
    SchoolData

    Raises
    ------
    PanelError
        With every error found in the files; or if the reference population is too small for every exam.
    """
    tables = read_folder(folder, encoding=encoding)
    tables.report.raise_errors()
    notes = _Notes(list(tables.report.history))
    entities = entities_of(tables.frame("crosswalk")) if "crosswalk" in tables.tables else Entities()
    schools, scores, membership = _known_rows(tables, notes)
    chosen = _reference(schools, membership, entities, reference)
    standard = standardise_scores(scores, reference=chosen, too_few="leave_out")
    _check_reference(standard, reference, chosen)
    notes.drops += standard.history
    notes.warnings += [("scores", violation) for violation in standard.violations]

    marks, constant = _constant_entities(standard.scores, schools, entities, notes)
    constant = _join_scores(constant, marks, incomplete, notes)
    window = baseline or _default_baseline(schools, membership)
    spells = membership_of(membership, entities)
    frame = _with_membership(constant, spells, entities, notes)
    frame = _fixed_columns(frame, notes)
    frame = _flag_new_schools(frame, window, notes)
    report = replace(
        tables.report,
        violations=(*tables.report.violations, *(violation for _, violation in notes.warnings)),
        tables=(*tables.report.tables, *(name for name, _ in notes.warnings)),
    )
    ids = np.array(sorted(set(scores["school_id"])), dtype=object) if isinstance(chosen, str) else chosen
    return SchoolData(frame, spells, marks, standard.exams, ids, window, report, tuple(notes.drops))


def _known_rows(tables: SchoolTables, notes: _Notes) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rows of schools that the schools file or the crosswalk knows."""
    schools = tables.frame("schools")
    known = set(schools["school_id"])
    if "crosswalk" in tables.tables:
        known |= set(tables.frame("crosswalk")["old_id"].dropna()) | set(tables.frame("crosswalk")["new_id"].dropna())
    out = []
    for name in ("scores", "membership"):
        frame = tables.frame(name)
        unknown = ~frame["school_id"].isin(known)
        if unknown.any():
            names = sorted(set(frame.loc[unknown, "school_id"]))
            notes.drops.append(
                Drop(
                    f"read {name}",
                    "schools that are not in schools",
                    rows=int(unknown.sum()),
                    units=len(names),
                    examples=tuple(names[:3]),
                )
            )
        out.append(frame[~unknown])
    return schools, out[0], out[1]


def _reference(
    schools: pd.DataFrame, membership: pd.DataFrame, entities: Entities, given: Sequence[str] | str | None
) -> AnyArray | Literal["all"]:
    """Ids of the reference schools, under every id they ever had."""
    if isinstance(given, str):
        if given != "all":
            raise SpecError(f"reference is the text {given!r}.", hint='Give a sequence of school ids, or "all".')
        return "all"
    if given is not None:
        return np.array(sorted(given), dtype=object)
    by_entity = schools.assign(school_id=entities.of(schools["school_id"].to_numpy()))
    joined = membership.assign(school_id=entities.of(membership["school_id"].to_numpy()))
    whole = set(reference_schools(by_entity, joined))
    ids = schools["school_id"].drop_duplicates().to_numpy()
    return np.array(sorted(name for name in ids if entities.entity.get(name, name) in whole), dtype=object)


def _check_reference(standard: StandardisedScores, given: object, chosen: AnyArray | str) -> None:
    if not standard.exams["refused"].all():
        return
    many = "all" if isinstance(chosen, str) else str(len(chosen))
    raise PanelError(
        f"The reference population ({many} schools) is too small to standardise a single exam.",
        violations=standard.violations,
        hint=(
            'Every school is in a group or weak: give reference="all", or the ids of schools that joined last.'
            if given is None
            else "Give a larger reference population."
        ),
    )


def _join_scores(
    schools: pd.DataFrame, scores: pd.DataFrame, incomplete: Literal["average", "leave_out"], notes: _Notes
) -> pd.DataFrame:
    """Schools file with the school-year scores beside it."""
    yearly, history = school_year_scores(scores, incomplete=incomplete)
    notes.drops += history
    keys = ["school_id", "year"]
    here = schools[keys].assign(_here=True)
    without = yearly.merge(here, on=keys, how="left")["_here"].isna().to_numpy()
    if without.any():
        names = tuple(str(name) for name in list(dict.fromkeys(yearly.loc[without, "school_id"]))[:3])
        reason = "school-years with scores that are not in schools"
        notes.drops.append(Drop("read_school_files", reason, rows=int(without.sum()), examples=names))
    joined = schools.merge(yearly, on=keys, how="left")
    for name in ("n_cells", "n_cells_expected"):
        joined[name] = joined[name].fillna(0).astype(int)
    return joined.assign(year=joined["year"].astype(int), complete=joined["complete"].eq(True))


def _constant_entities(
    scores: pd.DataFrame, schools: pd.DataFrame, entities: Entities, notes: _Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both files by entity: standard scores weighted by pupils tested, means of schools by pupils enrolled."""
    means = [*_named(scores, "mean"), "z", *(name for name in ("va_mean",) if name in scores.columns)]
    marks, history = apply_crosswalk(
        scores, entities, by=EXAM, weight="n_tested", means=means, sums=_named(scores, "sum")
    )
    merged = np.isin(marks["school_id"].to_numpy().astype(str), list(entities.merged))
    for name in ("mean", "sd"):  # of the school that goes on, on the scale of its own exam: not those of the entity
        marks[name] = marks[name].where(~merged)
    notes.drops += [drop for drop in history if drop.rows]
    whole, history = apply_crosswalk(
        schools, entities, weight="enrol", means=_named(schools, "mean"), sums=_named(schools, "sum")
    )
    notes.drops += history
    return marks, whole


def _named(frame: pd.DataFrame, total: str) -> list[str]:
    """Columns of the schema that are put together in one way."""
    fields = [item for table in (TABLES["schools"], TABLES["scores"]) for item in table.fields]
    return [item.name for item in fields if item.total == total and item.name in frame.columns]


def _default_baseline(schools: pd.DataFrame, membership: pd.DataFrame) -> tuple[int, int]:
    """Years before the scores that schools were picked on; see :func:`read_school_files`."""
    years = schools["year"].to_numpy(dtype=float)
    first = int(years.min())
    for table in (membership, schools):
        if "designation_window" in table.columns:
            windows = table["designation_window"].dropna().unique()
            starts = [int(found[0]) for text in windows if (found := re.search(r"\d{4}", str(text)))]
            if starts:
                return first, min(starts) - 1
    for table in (membership, schools):
        if "designated_weak_year" in table.columns and table["designated_weak_year"].notna().any():
            return first, int(table["designated_weak_year"].min()) - _SELECTION_YEARS
    joined = membership["join_year"].dropna()
    return first, int(joined.min()) - 1 if len(joined) else int(years.max())


def _with_membership(frame: pd.DataFrame, spells: pd.DataFrame, entities: Entities, notes: _Notes) -> pd.DataFrame:
    """Membership over all years beside every row; the year's own membership becomes ``in_group``."""
    first, mixed, history = first_spells(spells, entities)
    notes.drops += history
    weak = frame.groupby("school_id")["designated_weak_year"].min() if "designated_weak_year" in frame.columns else None
    compensated = frame["compensated"] if "compensated" in frame.columns else None
    out = frame.drop(columns=[name for name in _OF_MEMBERSHIP if name in frame.columns])
    out = out.merge(first, on="school_id", how="left")
    if "compensated" not in first.columns and compensated is not None:
        out["compensated"] = compensated.to_numpy()
    out["role"] = out["role"].fillna("none")
    if weak is not None:
        own = out["school_id"].map(weak).astype(float)
        told = out["designated_weak_year"] if "designated_weak_year" in first.columns else None
        out["designated_weak_year"] = own if told is None else np.fmin(own, told.astype(float))
    leave = out["exit_year"].fillna(np.inf)
    out["in_group"] = (out["year"] >= out["join_year"]) & (out["year"] < leave)
    out["mixed_membership"] = out["school_id"].isin(mixed)
    return out


def _fixed_columns(frame: pd.DataFrame, notes: _Notes) -> pd.DataFrame:
    """Columns that describe a school once: its first known value in every row."""
    out = frame.sort_values(["school_id", "year"], ignore_index=True)
    for name in [name for name in _FIXED if name in out.columns]:
        first = out.groupby("school_id")[name].transform("first")
        changed = out[name].notna() & (out[name] != first)
        if changed.any():
            names = sorted(set(out.loc[changed, "school_id"]))
            reason = f"{name!r} changes within a school: its first value is used"
            notes.drops.append(
                Drop("read_school_files", reason, rows=int(changed.sum()), examples=tuple(str(x) for x in names[:3]))
            )
        out[name] = first
    return out


def _flag_new_schools(frame: pd.DataFrame, window: tuple[int, int], notes: _Notes) -> pd.DataFrame:
    """Mark schools without a score in the baseline, and those that opened after it or are called new."""
    in_window = frame["year"].between(*window)
    ids = frame["school_id"]
    has_score = set(ids[in_window & frame["score"].notna()])
    opened_later = ~ids.isin(set(ids[frame["year"] <= window[1]]))
    said = frame["new_school"].isin([True]) if "new_school" in frame.columns else opened_later & False
    new = ids.isin(set(ids[said | opened_later])).to_numpy(dtype=bool)
    if new.any():
        names = sorted(set(ids[new]))
        reason = f"newly built, without years in the baseline {window[0]}-{window[1]}: marked new_school"
        notes.drops.append(
            Drop("read_school_files", f"{len(names)} schools {reason}", examples=tuple(str(x) for x in names[:3]))
        )
    return frame.assign(new_school=new, has_baseline=ids.isin(has_score).to_numpy(dtype=bool))
