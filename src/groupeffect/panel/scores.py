"""Exam marks on one scale: standardised within subject x grade x year x exam authority on a fixed set of schools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray
from groupeffect.errors import MissingColumnError, PanelError, SpecError, Violation
from groupeffect.panel.panel import Drop
from groupeffect.panel.rules import plain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXAM", "StandardisedScores", "reference_schools", "school_year_scores", "standardise_scores"]

EXAM = ("subject", "grade", "year", "exam_authority")
"""What one exam is: marks are comparable within it and nowhere else."""

MIN_PUPILS = 30
MIN_SCHOOLS = 5


@dataclass(frozen=True, slots=True)
class StandardisedScores:
    """Marks in standard deviations, and the reference they were measured against.

    Parameters
    ----------
    scores : DataFrame
        The rows given, in their order, with a further column ``z`` (pupil-level SD; nan where the mark is missing or
        its exam was refused).
    exams : DataFrame
        One row per exam: the columns `by`, ``reference_mean`` and ``reference_sd`` (marks), ``within_sd``,
        ``between_sd`` (marks), ``n_schools`` and ``n_pupils`` of the reference, ``scale`` (factor from reference SD to
        the unit of ``z``) and ``refused``.
    violations : tuple of Violation
        The exams refused, as warnings (only with ``too_few="leave_out"``).
    history : tuple of Drop
        Rows without a standard score, with counts.
    """

    scores: pd.DataFrame
    exams: pd.DataFrame
    violations: tuple[Violation, ...] = ()
    history: tuple[Drop, ...] = ()


def reference_schools(schools: pd.DataFrame, membership: pd.DataFrame | None = None) -> AnyArray:
    """Schools never in a group, never designated weak and not newly built: the default reference population.

    Parameters
    ----------
    schools : DataFrame
        Column ``school_id``; ``designated_weak_year`` and ``new_school`` are used if they are there.
    membership : DataFrame, optional
        Column ``school_id``; rows with role ``none`` do not count. ``designated_weak_year`` is used if it is there.

    Returns
    -------
    ndarray of object
        Sorted school ids; empty if every school is in a group or weak.
    """
    excluded: set[object] = set()
    for table in (schools, membership):
        if table is not None and "designated_weak_year" in table.columns:
            excluded.update(table.loc[table["designated_weak_year"].notna(), "school_id"])
    if "new_school" in schools.columns:
        excluded.update(schools.loc[schools["new_school"].isin([True]), "school_id"])
    if membership is not None:
        role = membership["role"] if "role" in membership.columns else membership["school_id"]
        inside = role.notna() & role.ne("none")
        excluded.update(membership.loc[inside, "school_id"])
    return np.array(sorted(set(schools["school_id"]) - excluded), dtype=object)


def standardise_scores(
    scores: pd.DataFrame,
    *,
    reference: AnyArray | Sequence[str] | Literal["all"] | None = None,
    by: Sequence[str] = EXAM,
    scale_years: Sequence[int] = (),
    too_few: Literal["refuse", "leave_out"] = "refuse",
) -> StandardisedScores:
    r"""Marks as standard scores of a fixed reference population, exam by exam.

    Parameters
    ----------
    scores : DataFrame
        Columns ``school_id``, `by`, ``mean`` and ``sd`` (marks), ``n_tested`` (pupils).
    reference : sequence of school ids or "all", optional
        The schools whose pupils define mean and SD of each exam: the same schools in every year, not touched by the
        reform. By default :func:`reference_schools` of `scores`, which must then have the columns ``role`` or
        ``join_year`` that tell which schools are ever in a group.
    by : sequence of str, default ("subject", "grade", "year", "exam_authority")
        Columns that identify an exam.
    scale_years : sequence of int, default ()
        If given, the unit of ``z`` is the pupil-level SD of *all* schools, not of the reference schools: scores are
        multiplied by one constant per subject, the ratio of the two SDs in these years. Take years before the
        reform, so that the constant does not depend on it.
    too_few : {"refuse", "leave_out"}, default "refuse"
        What happens to exams with fewer than 30 reference pupils or 5 reference schools: an error that lists them, or
        empty standard scores with a warning. There is no other reference to fall back on.

    Returns
    -------
    StandardisedScores

    Raises
    ------
    MissingColumnError
        If a column is missing.
    PanelError
        If an exam has too few reference pupils or schools and ``too_few="refuse"``.

    Notes
    -----
    With :math:`n_i, m_i, s_i` the pupils tested, mean and SD of reference school i in an exam,

    .. math:: M = \frac{\sum_i n_i m_i}{\sum_i n_i}, \quad
              S^2 = \frac{\sum_i n_i s_i^2}{\sum_i n_i} + \frac{\sum_i n_i (m_i - M)^2}{\sum_i n_i}, \quad
              z = \frac{m - M}{S}:

    mean and SD of the pooled pupils, so that the reference has mean 0 and pupil-level SD 1 in every exam. Schools
    without an SD count in the mean and the second term only.
    """
    by = tuple(by)
    _need(scores, ("school_id", *by, "mean", "sd", "n_tested"))
    codes, exams = _exams(scores, by)
    inside = _reference_rows(scores, reference)
    moments = _moments(scores, codes, len(exams), inside)
    exams = exams.assign(**moments)
    exams["refused"] = (
        (exams["n_pupils"] < MIN_PUPILS) | (exams["n_schools"] < MIN_SCHOOLS) | ~(exams["reference_sd"] > 0)
    )
    exams["scale"] = _scale(scores, codes, exams, scale_years)
    violations = _refused(exams, by, too_few)
    centre = np.where(exams["refused"], np.nan, exams["reference_mean"])
    spread = np.where(exams["refused"], np.nan, exams["reference_sd"] / exams["scale"])
    mean = scores["mean"].to_numpy(dtype=float)
    standard = (mean - centre[codes]) / spread[codes]
    history = _score_history(scores, mean, exams["refused"].to_numpy()[codes])
    return StandardisedScores(scores.assign(z=standard), exams, violations, history)


def _need(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise MissingColumnError(
            f"The scores have no column {', '.join(map(repr, missing))}.",
            hint="Marks are standardised within subject, grade, year and exam authority; name all of them.",
        )


def _reference_rows(scores: pd.DataFrame, reference: AnyArray | Sequence[str] | None) -> BoolArray:
    if isinstance(reference, str):
        if reference != "all":
            raise SpecError(f"reference is the text {reference!r}.", hint='Give a sequence of school ids, or "all".')
        return np.ones(len(scores), dtype=bool)
    if reference is None:
        if not {"role", "join_year"} & set(scores.columns):
            raise SpecError(
                "No reference population was given, and the scores do not say which schools are ever in a group.",
                hint='Give reference=reference_schools(schools, membership), or "all".',
            )
        joined = scores[scores["join_year"].notna()] if "join_year" in scores.columns else scores
        reference = reference_schools(scores, joined)
    return scores["school_id"].isin(list(reference)).to_numpy(dtype=bool)


def _exams(scores: pd.DataFrame, by: tuple[str, ...]) -> tuple[AnyArray, pd.DataFrame]:
    """Exam of each row, and the table of exams (sorted)."""
    group = scores.groupby(list(by), sort=True, dropna=False)
    codes = group.ngroup().to_numpy()
    exams = group.size().reset_index()[list(by)]
    return codes, exams


def _moments(scores: pd.DataFrame, codes: AnyArray, n_exams: int, inside: BoolArray) -> dict[str, FloatArray]:
    """Mean and the two parts of the SD of the pupils in the rows `inside`, per exam."""
    pupils = scores["n_tested"].to_numpy(dtype=float)
    mean = scores["mean"].to_numpy(dtype=float)
    sd = scores["sd"].to_numpy(dtype=float)
    used = inside & np.isfinite(mean) & (pupils > 0)
    spread_known = used & np.isfinite(sd)

    def total(values: AnyArray, rows: BoolArray) -> FloatArray:
        return np.bincount(codes[rows], weights=values[rows], minlength=n_exams).astype(np.float64)

    with np.errstate(invalid="ignore", divide="ignore"):
        n_pupils = total(pupils, used)
        centre = total(pupils * mean, used) / n_pupils
        between = total(pupils * (mean - centre[codes]) ** 2, used) / n_pupils
        within = total(pupils * sd**2, spread_known) / total(pupils, spread_known)
    return {
        "reference_mean": centre,
        "reference_sd": np.sqrt(within + between),
        "within_sd": np.sqrt(within),
        "between_sd": np.sqrt(between),
        "n_schools": np.bincount(codes[used], minlength=n_exams).astype(float),
        "n_pupils": n_pupils,
    }


def _scale(scores: pd.DataFrame, codes: AnyArray, exams: pd.DataFrame, years: Sequence[int]) -> FloatArray:
    """Reference SD / SD of all pupils in the scale years, one constant per subject; 1 if no years are given."""
    if not len(years):
        return np.ones(len(exams))
    everyone = _moments(scores, codes, len(exams), np.ones(len(scores), dtype=bool))
    used = (exams["year"].isin(list(years)) & ~exams["refused"]).to_numpy()
    subject = exams["subject"].to_numpy()
    out = np.full(len(exams), np.nan)
    for name in dict.fromkeys(subject):
        rows = used & (subject == name)
        weight = everyone["n_pupils"][rows]
        ratio = (exams["reference_sd"].to_numpy()[rows] / everyone["reference_sd"][rows]) ** 2
        if weight.sum() > 0:
            out[subject == name] = np.sqrt((weight * ratio).sum() / weight.sum())
    if np.isnan(out).any():
        missing = sorted({str(name) for name in subject[np.isnan(out)]})
        raise PanelError(
            f"No exam in {', '.join(missing)} was held in the years {', '.join(map(str, years))} that set the scale.",
            hint="Choose scale_years in which every subject was examined, or leave scale_years empty.",
        )
    return out


def _refused(exams: pd.DataFrame, by: tuple[str, ...], too_few: str) -> tuple[Violation, ...]:
    refused = exams[exams["refused"]]
    if not len(refused):
        return ()
    rows = tuple(
        {
            **{name: plain(row[name]) for name in by},
            "n_schools": int(row["n_schools"]),
            "n_pupils": int(row["n_pupils"]),
        }
        for _, row in refused[:3].iterrows()
    )
    fault = Violation(
        "too_small_reference",
        f"{len(refused)} of {len(exams)} exams have fewer than {MIN_PUPILS} pupils or {MIN_SCHOOLS} schools of the "
        "reference population (or no spread), so their marks cannot be standardised.",
        len(refused),
        rows,
        "Choose a larger reference population, or leave these exams out.",
        "error" if too_few == "refuse" else "warning",
    )
    if too_few == "refuse":
        raise PanelError("The marks cannot be standardised.", violations=(fault,))
    return (fault,)


def _score_history(scores: pd.DataFrame, mean: FloatArray, refused: BoolArray) -> tuple[Drop, ...]:
    empty = ~np.isfinite(mean)
    ids = scores["school_id"].to_numpy()
    out = []
    if empty.any():
        out.append(Drop("standardise_scores", "no mark", rows=int(empty.sum()), examples=_names(ids[empty])))
    left = refused & ~empty
    if left.any():
        reason = "exam without a large enough reference population"
        out.append(Drop("standardise_scores", reason, rows=int(left.sum()), examples=_names(ids[left])))
    return tuple(out)


def _names(ids: AnyArray) -> tuple[str, ...]:
    return tuple(str(name) for name in list(dict.fromkeys(ids))[:3])


def school_year_scores(
    scores: pd.DataFrame, *, incomplete: Literal["average", "leave_out"] = "average"
) -> tuple[pd.DataFrame, tuple[Drop, ...]]:
    """School-year scores: the average over subjects of the average over grades of the standard scores.

    Every subject has the same weight, and within it every grade, whatever the number of pupils tested. Because each
    standard score is measured against the reference population of its own exam, a subject that is missing in one year
    does not shift the school's mean by the difficulty of that exam; the school's own strength in the subject still
    matters, which is why incomplete school-years are counted and can be left out.

    Parameters
    ----------
    scores : DataFrame
        Columns ``school_id``, ``year``, ``subject``, ``grade``, ``z``, ``n_tested`` and, if known, ``n_enrolled``: the
        ``scores`` of :func:`standardise_scores`.
    incomplete : {"average", "leave_out"}, default "average"
        School-years that lack one of the subject-grades that the school has in other years: average what is there, or
        leave the score empty.

    Returns
    -------
    frame : DataFrame
        One row per school and year: ``school_id``, ``year``, ``score`` (SD), one ``score_<subject>`` (SD) per subject,
        ``value_added`` (SD, averaged alike) if there is ``va_mean``, ``n_tested`` (pupils, average over subjects of
        the sum over grades), ``tested_share`` (tested / enrolled, nan if enrolment is not known), ``n_cells`` and
        ``n_cells_expected`` (subject-grades), ``complete``.
    history : tuple of Drop
        Incomplete school-years, with counts.
    """
    import pandas as pd

    seen = scores[scores["z"].notna()]
    by_subject = seen.pivot_table(index=["school_id", "year"], columns="subject", values="z", aggfunc="mean")
    names = {subject: f"score_{subject}" for subject in by_subject.columns}
    frame = by_subject.rename(columns=names)
    frame.columns = pd.Index(list(frame.columns))
    frame.insert(0, "score", by_subject.mean(axis=1))
    if "va_mean" in seen.columns:
        added = seen.pivot_table(index=["school_id", "year"], columns="subject", values="va_mean", aggfunc="mean")
        frame["value_added"] = added.mean(axis=1).reindex(frame.index)
    frame = frame.join(_pupils(seen)).reset_index()
    cells = seen.groupby(["school_id", "year"], sort=True).size().rename("n_cells").reset_index()
    frame = frame.merge(cells, on=["school_id", "year"], how="left")
    expected = seen.drop_duplicates(["school_id", "subject", "grade"]).groupby("school_id").size()
    frame["n_cells_expected"] = frame["school_id"].map(expected)
    frame["complete"] = frame["n_cells"].eq(frame["n_cells_expected"])
    lacking = ~frame["complete"].to_numpy(dtype=bool)
    if not lacking.any():
        return frame, ()
    words = "averaged over what is there" if incomplete == "average" else "left empty"
    if incomplete == "leave_out":
        frame.loc[lacking, "score"] = np.nan
    reason = f"school-years that lack a subject or grade of the school: {words}"
    return frame, (
        Drop(
            "school_year_scores",
            reason,
            rows=int(lacking.sum()),
            examples=_names(frame["school_id"].to_numpy()[lacking]),
        ),
    )


def _pupils(seen: pd.DataFrame) -> pd.DataFrame:
    """Pupils tested per school-year, and the share of those enrolled."""
    counts = [name for name in ("n_tested", "n_enrolled") if name in seen.columns]
    per_subject = seen.groupby(["school_id", "year", "subject"], sort=True)[counts].sum(min_count=1)
    out = per_subject.groupby(level=["school_id", "year"]).mean()
    known = seen[seen["n_enrolled"].notna()] if "n_enrolled" in counts else seen.iloc[:0]
    sums = known.groupby(["school_id", "year"])[counts].sum()
    share = sums["n_tested"] / sums["n_enrolled"] if "n_enrolled" in counts else np.nan
    return out[["n_tested"]].assign(tested_share=share)
