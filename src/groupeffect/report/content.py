"""What a study hands to the report: one frozen object, one JSON layout.

:class:`StudyResults` is the contract between the pipeline, which fills it, and everything this package writes: figures,
tables, the brief in both languages, the paper. It holds numbers, codes and short names; sentences are made later, in
:mod:`groupeffect.report.findings`, and only there.

The JSON layout is the object itself: ``StudyResults.to_json(path)`` and ``StudyResults.from_json(path)``; a fault in a
file is refused with its place in it. Every :class:`Estimate` names the results file and row it came from (``source``),
so that a number in a sentence can be traced to where it was computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from groupeffect.errors import ReportError
from groupeffect.report.pieces import (
    Certainty,
    Contrast,
    Estimate,
    Horizon,
    Luck,
    NonInferiority,
    RoleResults,
)
from groupeffect.report.plain import Language, Table, Text, from_json, to_json

if TYPE_CHECKING:
    import os


__all__ = [
    "Certainty",
    "Contrast",
    "Estimate",
    "Horizon",
    "Language",
    "Luck",
    "NonInferiority",
    "PaperContent",
    "PublicAnalysis",
    "PublicStudy",
    "RoleResults",
    "StudyInfo",
    "StudyResults",
    "Table",
    "Text",
]


@dataclass(frozen=True, slots=True)
class StudyInfo:
    """What was studied, on which data, under which declared rules.

    Parameters
    ----------
    name : str
        Short name for files.
    title, place, outcome : Text
        Names of the reform, the place and the outcome.
    data_kind : {"administrative", "public", "synthetic"}
        Where the data come from; synthetic data are announced on the first line of the brief.
    first_time, last_time : int
        First and last school year observed.
    first_join, last_join : int
        First and last year in which schools joined.
    baseline : tuple of int
        First and last year of the baseline window.
    designation : tuple of int, optional
        First and last year whose exams decided who was picked.
    sesoi : float, default 0.05
        Smallest effect of interest, declared beforehand, outcome units.
    spec_hash, data_hash, version : str
        Specification, data and package behind the numbers.
    next_update : Text, optional
        When the next data will be in.
    """

    name: str
    title: Text
    place: Text
    outcome: Text
    data_kind: Literal["administrative", "public", "synthetic"]
    first_time: int
    last_time: int
    first_join: int
    last_join: int
    baseline: tuple[int, int]
    designation: tuple[int, int] | None = None
    sesoi: float = 0.05
    spec_hash: str = ""
    data_hash: str = ""
    version: str = ""
    next_update: Text | None = None


@dataclass(frozen=True, slots=True)
class StudyResults:
    """Everything the brief and the exhibits are made from.

    Parameters
    ----------
    info : StudyInfo
        What was studied.
    member : RoleResults
        Effect on member schools.
    core : RoleResults, optional
        Effect on core schools.
    net : Estimate, optional
        Enrolment-weighted effect of a group, members and core school together.
    non_inferiority : NonInferiority, optional
        Verdict for the core schools; needs `core`.
    horizon : Horizon
        How far effects can be known.
    support : Table
        Of the members: ``Table.of(figures.support_map_frame(...))``.
    luck : Luck, optional
        Regression to the mean in the raw change of members.
    design_comparison : Table
        Columns role, analysis, estimate, conf_low, conf_high, n_treated, n_comparison; analysis one of "before_after",
        "last_year_base", "pre_designation".
    estimators, subgroups, outcomes : tuple of Estimate
        Further estimates with labels: other estimators, subgroups and models, other outcomes. All are shown.
    contrasts : tuple of Contrast
        Differences between two subgroups or models.
    net_certainty : Certainty, optional
        Needed with `net`.
    synthetic_path, effect_distribution, missingness : Table
        What the figures of the same names draw; empty if there is none.
    baseline, attrition : Table
        Annex: rows of ``diagnostics.baseline_balance`` and ``diagnostics.attrition``, their fields as columns, with a
        first column role; the counts of attrition are school-years and called cells_treated, cells_comparison.
    history : Table
        Columns step, reason, rows, units: what was left out.
    refuters : Table
        Columns refuter, new_estimate, p_value, verdict: attempts to refute the main estimate.
    refusals : tuple of Text
        What was asked for and refused, with the reason.
    truth : Table
        Synthetic data only. Columns key, value: the true value of estimates, by their key.
    """

    info: StudyInfo
    member: RoleResults
    horizon: Horizon
    core: RoleResults | None = None
    net: Estimate | None = None
    net_certainty: Certainty | None = None
    non_inferiority: NonInferiority | None = None
    support: Table = field(default_factory=Table)
    luck: Luck | None = None
    design_comparison: Table = field(default_factory=Table)
    estimators: tuple[Estimate, ...] = ()
    subgroups: tuple[Estimate, ...] = ()
    outcomes: tuple[Estimate, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    synthetic_path: Table = field(default_factory=Table)
    effect_distribution: Table = field(default_factory=Table)
    missingness: Table = field(default_factory=Table)
    baseline: Table = field(default_factory=Table)
    attrition: Table = field(default_factory=Table)
    history: Table = field(default_factory=Table)
    refuters: Table = field(default_factory=Table)
    refusals: tuple[Text, ...] = ()
    truth: Table = field(default_factory=Table)

    def __post_init__(self) -> None:
        keys = [estimate.key for estimate in self.estimates()]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ReportError(f"Two estimates have the same key: {', '.join(twice)}.")
        if self.non_inferiority is not None and self.core is None:
            raise ReportError("A non-inferiority verdict was given without an effect on core schools.")
        if self.net is not None and self.net_certainty is None:
            raise ReportError("The net effect has no certainty.", hint="Give `net_certainty`.")

    def estimates(self) -> tuple[Estimate, ...]:
        """Every estimate of the study."""
        roles = [role.overall for role in (self.member, self.core) if role is not None]
        net = [] if self.net is None else [self.net]
        differences = [contrast.difference for contrast in self.contrasts]
        others = [other for role in (self.member, self.core) if role is not None for other in role.alternatives]
        return (*roles, *others, *net, *self.estimators, *self.subgroups, *self.outcomes, *differences)

    def true_value(self, key: str) -> float | None:
        """Look up the true value of an estimate on synthetic data; None if it is not known."""
        return {str(name): float(value) for name, value in self.truth.rows}.get(key)  # type: ignore[arg-type]

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Give the whole object as JSON text; write it to `path` if given."""
        return to_json(self, path)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> StudyResults:
        """Study from a file written by :meth:`to_json`.

        Raises
        ------
        ReportError
            If the file does not have the layout; every fault is listed.
        """
        return from_json(cls, path)


@dataclass(frozen=True, slots=True)
class PublicAnalysis:
    """One analysis of a public table.

    Parameters
    ----------
    name : str
        Short name, for files and references.
    title : Text
        What was studied.
    overall : Estimate
        Average effect.
    path : Table
        Event-time rows with the columns of ``Result.tidy()``.
    others : tuple of Estimate
        The same effect by other estimators, with labels.
    caveat : str
        What limits it most.
    """

    name: str
    title: Text
    overall: Estimate
    path: Table
    others: tuple[Estimate, ...] = ()
    caveat: str = ""


@dataclass(frozen=True, slots=True)
class PublicStudy:
    """The second study of the paper, on a public table.

    Parameters
    ----------
    source : str
        Where the table comes from.
    outcome, outcome_unit : str
        Outcome in words and its unit.
    n_units, first_time, last_time : int
        Units and years.
    analyses : tuple of PublicAnalysis
        The analyses, in the order of the text.
    refusals : tuple of Text
        What was refused and why.
    """

    source: str
    outcome: str
    outcome_unit: str
    n_units: int
    first_time: int
    last_time: int
    analyses: tuple[PublicAnalysis, ...]
    refusals: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True)
class PaperContent:
    """Everything the working paper is made from.

    Parameters
    ----------
    study : StudyResults
        The synthetic reform.
    size : Table
        One row per scenario x role x analysis, truth zero: columns scenario, role, analysis, draws, mean_estimate,
        sd_estimate, mean_std_error, rejection (share of draws with zero outside the 95 % interval).
    recovery : Table
        One row per scenario x role x event time: columns scenario, role, event_time, draws, truth, mean_estimate, bias,
        mc_error, coverage.
    public : PublicStudy
        The study on public data.
    """

    study: StudyResults
    size: Table
    recovery: Table
    public: PublicStudy

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Give the whole object as JSON text; write it to `path` if given."""
        return to_json(self, path)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> PaperContent:
        """Content from a file written by :meth:`to_json`; see :meth:`StudyResults.from_json`."""
        return from_json(cls, path)
