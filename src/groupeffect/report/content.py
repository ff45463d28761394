"""What a study hands to the report: one frozen object, one JSON layout.

:class:`StudyResults` is the contract between the pipeline, which fills it, and everything this package writes: figures,
tables, the brief in both languages, the paper. It holds numbers, codes and short names; sentences are made later, in
:mod:`groupeffect.report.findings`, and only there.

The JSON layout is the object itself: ``StudyResults.to_json(path)`` and ``StudyResults.from_json(path)``; a fault in a
file is refused with its place in it. Every :class:`Estimate` names the results file and row it came from (``source``),
so that a number in a sentence can be traced to where it was computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from groupeffect.errors import ReportError
from groupeffect.reform.certainty import certainty_label
from groupeffect.report.plain import Language, Table, Text, from_json, to_json

if TYPE_CHECKING:
    import os

    from groupeffect.reform.certainty import Certainty as ReformCertainty
    from groupeffect.reform.effects import RoleEffect
    from groupeffect.reform.noninferiority import NonInferiority as ReformNonInferiority
    from groupeffect.reform.support import SupportMap
    from groupeffect.result import Result

Verdict: TypeAlias = Literal["not_harmed_beyond_margin", "harm_not_excluded", "harmed"]

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
class Estimate:
    """One estimate with its interval.

    Parameters
    ----------
    key : str
        Unique name within the study, for example ``"member.overall"``.
    value, low, high : float
        Estimate and interval, in units of the outcome.
    level : float, default 0.95
        Confidence level of the interval.
    std_error : float, optional
        Standard error.
    n_treated, n_comparison, n_clusters : int, optional
        Schools on either side, independent clusters.
    n_pupils : int, optional
        Pupils behind the estimate; fewer than 10 are never shown.
    label : Text, optional
        Name for tables (a subgroup, a model, an estimator).
    source : str
        Results file and row, for example ``"results/member_overall.json#0"``.
    """

    key: str
    value: float
    low: float
    high: float
    level: float = 0.95
    std_error: float | None = None
    n_treated: int | None = None
    n_comparison: int | None = None
    n_clusters: int | None = None
    n_pupils: int | None = None
    label: Text | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ReportError(
                f"Estimate {self.key!r} is {self.value} with interval {self.low} to {self.high}.",
                hint="Leave out what could not be estimated and say so in `refusals`.",
            )
        if not self.low <= self.value <= self.high:
            raise ReportError(f"Estimate {self.key!r}: {self.value} is not between {self.low} and {self.high}.")

    @classmethod
    def of(
        cls,
        result: Result,
        key: str,
        *,
        row: int = 0,
        source: str = "",
        label: Text | None = None,
        n_pupils: int | None = None,
    ) -> Estimate:
        """Estimate of one row of a result.

        Parameters
        ----------
        result : Result
            Where it stands.
        key : str
            Name of the estimate in the study.
        row : int, default 0
            Row of ``result.tidy()``.
        source : str
            Path of the results file; the row is added.
        label : Text, optional
            Name for tables.
        n_pupils : int, optional
            Pupils behind it.
        """
        u = result.uncertainty
        low, high = u.interval[row]
        return cls(
            key,
            float(result.estimate[row]),
            float(low),
            float(high),
            level=result.level,
            std_error=None if u.std_error is None else float(u.std_error[row]),
            n_treated=int(result.index.n_treated[row]),
            n_comparison=int(result.index.n_comparison[row]),
            n_clusters=u.n_clusters,
            n_pupils=n_pupils,
            label=label,
            source=f"{source}#{row}" if source else "",
        )


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure one can be of an estimate, with the reasons as codes; their words stand in the locale files.

    Parameters
    ----------
    design : str
        Study design that the score starts from, for example ``"staggered"``.
    start : int
        Points of the design, an extra point included.
    failed, passed, not_assessed : tuple of str
        Names of the checks that cost a point each, that cost none, and that were not made.
    """

    design: str
    start: int
    failed: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    not_assessed: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: ReformCertainty) -> Certainty:
        """Take over a certainty of :func:`groupeffect.reform.certainty.certainty`."""
        failed, passed, unknown = (
            tuple(check.name for check in found.checks if check.passed is outcome) for outcome in (False, True, None)
        )
        return cls(found.design, found.start, failed, passed, unknown)

    @property
    def score(self) -> int:
        """Points left, 0 to 5."""
        return max(0, min(5, self.start - len(self.failed)))

    @property
    def label(self) -> Literal["high", "moderate", "low", "very_low"]:
        """5 and 4 high, 3 moderate, 2 low, 1 and 0 very low."""
        return certainty_label(self.score)


@dataclass(frozen=True, slots=True)
class RoleResults:
    """What was found for one role.

    Parameters
    ----------
    role : {"member", "core"}
        The role.
    overall : Estimate
        Average effect on the schools of the role while comparisons exist.
    path : Table
        Event-time rows with the columns of ``Result.tidy()``.
    certainty : Certainty
        Certainty of `overall`.
    comparison : str
        Code of the comparison schools; words in the locale files under ``comparison``.
    n_schools, n_comparison, n_groups, n_counties : int
        Treated schools, schools compared with, school groups, counties.
    n_pupils : int, optional
        Pupils behind the effect.
    alternatives : tuple of Estimate
        The same effect against other comparison schools; the label is left empty and the key ends in the code of the
        comparison, for example ``"member.all_never"``.
    within_area : bool
        Whether common shocks of areas are taken out.
    """

    role: Literal["member", "core"]
    overall: Estimate
    path: Table
    certainty: Certainty
    comparison: str
    n_schools: int
    n_comparison: int
    n_groups: int
    n_counties: int
    n_pupils: int | None = None
    alternatives: tuple[Estimate, ...] = ()
    within_area: bool = False

    @classmethod
    def of(
        cls, effect: RoleEffect, certainty: Certainty, *, source: str = "", n_pupils: int | None = None
    ) -> RoleResults:
        """Take over an effect of :func:`groupeffect.reform.member_effect` or ``core_effect``.

        Parameters
        ----------
        effect : RoleEffect
            The effect.
        certainty : Certainty
            Certainty of its overall estimate.
        source : str
            Folder of the results files; ``{role}_overall.json`` and so on are added.
        n_pupils : int, optional
            Pupils behind it.
        """
        role, area = effect.role, effect.spec.roles.area
        after = [cell.n_comparison for cell in effect.support.cells if cell.phase == "after" and cell.identified]
        place = f"{source}/" if source else ""
        others = tuple(
            Estimate.of(other.overall, f"{role}.{other.pool}", source=f"{place}{role}_{other.pool}.json")
            for other in effect.alternatives
        )
        return cls(
            role,
            Estimate.of(effect.overall, f"{role}.overall", source=f"{place}{role}_overall.json", n_pupils=n_pupils),
            Table.of(effect.event_study.tidy()),
            certainty,
            effect.pool,
            n_schools=effect.n_schools,
            n_comparison=max(after, default=0),
            n_groups=effect.n_groups,
            n_counties=effect.n_areas,
            n_pupils=n_pupils,
            alternatives=others,
            within_area=area is not None and area in effect.fit.panel.attributes,
        )


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Verdict on whether the core schools were harmed by more than the declared margin.

    Parameters
    ----------
    verdict : {"not_harmed_beyond_margin", "harm_not_excluded", "harmed"}
        As in :class:`groupeffect.reform.noninferiority.NonInferiority`.
    margin : float
        Declared margin, positive, outcome units.
    lower, upper : float
        One-sided bounds, each at `level`.
    level : float, default 0.95
        Level of each bound.
    source : str
        Where it was computed.
    """

    verdict: Verdict
    margin: float
    lower: float
    upper: float
    level: float = 0.95
    source: str = ""

    @classmethod
    def of(cls, found: ReformNonInferiority, *, source: str = "") -> NonInferiority:
        """Take over a verdict of :func:`groupeffect.reform.noninferiority.noninferiority`."""
        return cls(found.verdict, found.margin, found.lower, found.upper, found.level, source)


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far effects can be known.

    Parameters
    ----------
    last_event_time : float
        Longest time since joining at which members could be compared.
    last_time : float
        Last calendar time at which they could.
    exhausted_from : float, optional
        First calendar time of the data without any comparable school outside; None if there is none.
    pool : str, default "weak"
        Comparison pool that is exhausted.
    source : str
        Where it was computed.
    """

    last_event_time: float
    last_time: float
    exhausted_from: float | None = None
    pool: str = "weak"
    source: str = ""

    @classmethod
    def of(cls, support: SupportMap, *, source: str = "") -> Horizon:
        """Take over the end of a support map."""
        ends = support.exhausted_from
        return cls(support.last_event_time, support.last_time, None if math.isnan(ends) else ends, support.pool, source)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Difference between two subgroups or models.

    Parameters
    ----------
    difference : Estimate
        First less second.
    first, second : Text
        Their names, as they stand in a sentence.
    """

    difference: Estimate
    first: Text
    second: Text


@dataclass(frozen=True, slots=True)
class Luck:
    """How much of a raw rise chance alone would give schools that started so low.

    Parameters
    ----------
    observed : float
        Raw change, outcome units (positive: a rise).
    expected : float
        Change expected without any effect.
    source : str
        Where it was computed.
    """

    observed: float
    expected: float
    source: str = ""


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
