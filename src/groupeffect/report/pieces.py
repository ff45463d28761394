"""The pieces a study is made of: estimates, certainty, verdicts, horizons, what was found for a role."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from groupeffect.errors import ReportError
from groupeffect.reform.certainty import certainty_label
from groupeffect.report.plain import Table, Text

if TYPE_CHECKING:
    from groupeffect.reform.certainty import Certainty as ReformCertainty
    from groupeffect.reform.effects import RoleEffect
    from groupeffect.reform.noninferiority import NonInferiority as ReformNonInferiority
    from groupeffect.reform.support import SupportMap
    from groupeffect.result import Result

__all__ = ["Certainty", "Contrast", "Estimate", "Horizon", "Luck", "NonInferiority", "RoleResults"]

Verdict: TypeAlias = Literal["not_harmed_beyond_margin", "harm_not_excluded", "harmed"]


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
