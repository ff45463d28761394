"""Every number of the synthetic reform, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from groupeffect.errors import SpecError

__all__ = ["GRADES_PER_SECTION", "LOCATIONS", "MECHANISMS", "MODELS", "STAGES", "SUBJECTS", "Parameters", "Selection"]

Selection: TypeAlias = Literal["observed", "latent", "random", "cutoff"]
ExamAuthority: TypeAlias = Literal["province", "county"]

STAGES: Final = ("primary", "junior", "nine_year")
LOCATIONS: Final = ("urban", "town", "rural")
MODELS: Final = ("intensive", "composite", "loose")
SUBJECTS: Final = ("chinese", "math", "english")
MECHANISMS: Final = ("org", "comm", "inc", "share", "exit")
GRADES_PER_SECTION: Final = (6, 3)
"""Grades in a primary and in a junior section; one grade of each section sits the exam."""

_SHARES: Final = (
    *("new_share", "weak_share", "core_share", "icc", "icc_county", "subject_correlation", "pupil_correlation"),
    *("compensated_share", "anticipation_share", "exit_share", "core_backbone_share", "mnar_rate", "fault_missing"),
    *("fault_merge", "fault_rename", "fault_duplicate", "fault_wrong_group"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Parameters of the data-generating process. Effects are in pupil-level SD of the whole population of pupils.

    Counts that belong to a province of `reference_schools` schools (waves, pilot) are scaled to the number asked for.

    Parameters
    ----------
    n_counties : int
        Counties; their sizes are Dirichlet with `county_concentration` per county.
    stage_shares, location_shares : tuple of float
        Shares of primary, junior, nine-year schools; of urban, town, rural schools.
    new_share : float
        Share of schools built as members of a group; they have no row before they open.
    waves : tuple of (int, int)
        (year, groups founded) for `reference_schools` schools.
    pilot_groups, pilot_year : int
        Groups of an early pilot in the largest county (0 = no pilot), picked on the two years before it.
    member_poisson, member_max : float, int
        A group has ``min(1 + Poisson(member_poisson), member_max)`` members.
    universal : bool
        Every school that is not a core school joins by the last wave.
    selection : {"observed", "latent", "random", "cutoff"}
        Schools are picked on the observed mean of `designation_years`, on the true school effect, at random, or on the
        observed mean with exactly the schools below the cut-off joining (wave independent of the score).
    designation_years : tuple of int
        School years whose exams decide who is weak.
    weak_share, core_share : float
        Weak = bottom share within stage; core schools come from the top share within stage.
    core_min_tested : int
        A core school tests more pupils per grade than this.
    priority_noise : float
        SD of the noise added to the score that orders members (weaker joins earlier), in pupil SD.
    county_preference : float
        How strongly early-minded counties get early groups, in SD of the random order.
    model_shares : tuple of float
        Shares of counties that run intensive, composite, loose groups.
    icc, icc_county, location_effect, subject_correlation : float, float, tuple, float
        Variance share between schools, the part of it between counties, the location effects, the correlation of the
        school effects of two subjects.
    pupil_correlation : float
        Correlation of one pupil's residuals in two subjects.
    school_year_sd, school_year_rho : float
        Stationary SD and autocorrelation of the school-year shock u.
    county_year_sd, county_trend_sd, year_sd : float
        SD of county-year shocks, of county trends per year, of common year shocks.
    co_reform_shift, co_reform_year : float, int
        Level shift in the more early-minded half of the counties from that year on.
    size_medians, size_log_sd : tuple of float
        Median pupils tested per grade (urban, town, rural, junior) and SD of the log.
    size_bounds, rural_drift : tuple of int, float
        Limits of pupils tested per grade; relative yearly change of rural enrolment.
    beta_prior, beta_disadvantage : float
        Effect of one SD of intake attainment, and of the disadvantaged share 0 to 1, on the school mean.
    member_path : tuple of float
        Effect of membership 0, 1, 2, ... years after joining; the last value stays.
    subject_multiplier, model_multiplier, stage_multiplier : tuple of float
        Factors of the effect per subject, model and stage.
    mechanism_loading : tuple of float
        Loadings of the five mechanism indices; the factor is ``0.5 + sum(loading * index)``.
    dose_reference, dose_shape : float
        Dose at which the dose factor ``0.5 + 0.5 sqrt(dose / reference)`` is one; shape of the Gamma dose.
    baseline_heterogeneity : float
        Change of the full member effect per +1 school SD of the true school effect.
    remote_minutes, remote_multiplier : float
        Members further from their core school than this get this factor.
    core_slope, core_threshold, core_compensation : float
        Core effect ``-slope * max(0, export - threshold) * min(1, (e + 1) / 2) * (1 - compensation * compensated)``.
    core_mean : float, optional
        If given, core effects are rescaled so that their mean over all core school-years since joining is this.
    compensated_share, export_beta, core_backbone_share, backbone_share : float, tuple, float, float
        Share of core schools paid for sending; Beta of the export share; share of backbone teachers among the teachers
        of core schools and of average other schools.
    anticipation, anticipation_share : tuple of float, float
        Effect 1, 2, ... years before joining, for this share of members.
    intake_prior, intake_disadvantage : float
        Change of intake attainment (SD) and disadvantaged share per year of membership.
    ring_km, ring_effect : float
        Schools never in a group with a member of the same stage within this distance get this effect.
    exit_share, exit_after, retention : float, int, tuple of float
        Share of members that leave, after how many years, and what is kept of the last effect 1, 2, ... years later.
    satisfaction_member, satisfaction_core : float
        Points (0-100) for members; for core schools per 0.1 export share.
    cost_per_pupil, cost_beta : tuple of float
        Yuan per pupil and year by model; Beta of realised / planned spending by county.
    mnar_rate, mnar_below : float
        Probability that a school-year score is withheld if its transitory part is below `mnar_below` SD.
    hidden_rescale : tuple of float, optional
        (shift, factor, first year): more early-minded counties sit an own paper from that year on, recorded as the
        provincial one: the score on file is ``shift + factor * Y``.
    exam_authority : {"province", "county"}
        Whose exam it is: one scale per year and subject, or one per county, year and subject.
    missing_years : tuple of int
        Years without exam (the pandemic).
    fault_missing, fault_merge, fault_rename, fault_duplicate, fault_wrong_group, tested_range : float or tuple
        Rates of the data faults; range of tested / enrolled.

    Raises
    ------
    SpecError
        If shares are not shares, or sequences have the wrong length.
    """

    reference_schools: int = 1500
    n_counties: int = 18
    county_concentration: float = 3.0
    stage_shares: tuple[float, float, float] = (0.75, 0.20, 0.05)
    location_shares: tuple[float, float, float] = (0.25, 0.35, 0.40)
    new_share: float = 0.04
    waves: tuple[tuple[int, int], ...] = ((2022, 50), (2023, 60), (2024, 50), (2025, 29))
    pilot_groups: int = 0
    pilot_year: int = 2019
    member_poisson: float = 2.6
    member_max: int = 12
    universal: bool = False

    selection: Selection = "observed"
    designation_years: tuple[int, ...] = (2020, 2021)
    weak_share: float = 0.30
    core_share: float = 0.25
    core_min_tested: int = 40
    priority_noise: float = 0.15
    county_preference: float = 1.0
    model_shares: tuple[float, float, float] = (0.25, 0.30, 0.45)

    icc: float = 0.22
    icc_county: float = 0.04
    location_effect: tuple[float, float, float] = (0.30, 0.0, -0.20)
    subject_correlation: float = 0.8
    pupil_correlation: float = 0.75
    school_year_sd: float = 0.10
    school_year_rho: float = 0.5
    county_year_sd: float = 0.04
    county_trend_sd: float = 0.01
    year_sd: float = 0.05
    co_reform_shift: float = 0.0
    co_reform_year: int = 2022
    size_medians: tuple[float, float, float, float] = (110.0, 60.0, 22.0, 150.0)
    size_log_sd: tuple[float, float, float, float] = (0.5, 0.6, 0.7, 0.5)
    size_bounds: tuple[int, int] = (6, 900)
    rural_drift: float = -0.01
    beta_prior: float = 0.30
    beta_disadvantage: float = -0.30

    member_path: tuple[float, ...] = (0.03, 0.07, 0.10, 0.12)
    subject_multiplier: tuple[float, float, float] = (0.8, 1.2, 1.0)
    model_multiplier: tuple[float, float, float] = (1.4, 1.2, 0.4)
    stage_multiplier: tuple[float, float, float] = (1.2, 0.8, 1.0)
    mechanism_loading: tuple[float, float, float, float, float] = (0.2, 0.2, 0.3, 0.3, 0.0)
    dose_reference: float = 0.12
    dose_shape: float = 4.0
    baseline_heterogeneity: float = -0.03
    remote_minutes: float = 60.0
    remote_multiplier: float = 0.6
    core_slope: float = 0.6
    core_threshold: float = 0.10
    core_compensation: float = 0.5
    core_mean: float | None = None
    compensated_share: float = 0.5
    export_beta: tuple[float, float] = (3.0, 14.0)
    core_backbone_share: float = 0.60
    backbone_share: float = 0.15
    anticipation: tuple[float, ...] = (0.02,)
    anticipation_share: float = 0.5
    intake_prior: float = 0.02
    intake_disadvantage: float = -0.01
    ring_km: float = 5.0
    ring_effect: float = 0.0
    exit_share: float = 0.05
    exit_after: int = 2
    retention: tuple[float, ...] = (0.5, 0.25)
    satisfaction_member: float = 3.0
    satisfaction_core: float = -1.5
    cost_per_pupil: tuple[float, float, float] = (900.0, 600.0, 200.0)
    cost_beta: tuple[float, float] = (6.0, 3.0)

    mnar_rate: float = 0.0
    mnar_below: float = -0.10
    hidden_rescale: tuple[float, float, int] | None = None
    exam_authority: ExamAuthority = "province"
    missing_years: tuple[int, ...] = ()
    fault_missing: float = 0.04
    fault_merge: float = 0.02
    fault_rename: float = 0.015
    fault_duplicate: float = 0.01
    fault_wrong_group: float = 0.02
    tested_range: tuple[float, float] = (0.93, 1.00)

    def __post_init__(self) -> None:
        found = [*self._wrong_shares(), *self._wrong_lengths()]
        if self.selection not in ("observed", "latent", "random", "cutoff"):
            found.append(f"selection is {self.selection!r}, not observed, latent, random or cutoff")
        if self.exam_authority not in ("province", "county"):
            found.append(f"exam_authority is {self.exam_authority!r}, not province or county")
        if self.n_counties < 1:
            found.append(f"n_counties is {self.n_counties}")
        if abs(sum(self.subject_multiplier) / 3 - 1) > 1e-9:
            found.append("subject_multiplier does not average one, so effects would not be means over subjects")
        if self.school_variance <= 0:
            found.append("icc is not above icc_county plus the variance of location_effect")
        if found:
            raise SpecError(
                "These parameters of the generator are wrong: " + "; ".join(found) + ".",
                hint="Change them with dataclasses.replace(Parameters(), ...).",
            )

    def _wrong_shares(self) -> list[str]:
        wrong = [
            f"{name} is {getattr(self, name)}, not in 0-1" for name in _SHARES if not 0 <= getattr(self, name) <= 1
        ]
        return wrong + [
            f"{name} do not add up to one"
            for name in ("stage_shares", "location_shares", "model_shares")
            if min(getattr(self, name)) < 0 or abs(sum(getattr(self, name)) - 1) > 1e-9
        ]

    def _wrong_lengths(self) -> list[str]:
        lengths = {
            "subject_multiplier": 3,
            "model_multiplier": 3,
            "stage_multiplier": 3,
            "mechanism_loading": 5,
            "location_effect": 3,
            "size_medians": 4,
            "size_log_sd": 4,
            "cost_per_pupil": 3,
        }
        wrong = [
            f"{name} has {len(getattr(self, name))} values, not {size}"
            for name, size in lengths.items()
            if len(getattr(self, name)) != size
        ]
        empty = ("waves", "member_path", "designation_years", "retention")
        return wrong + [f"{name} is empty" for name in empty if not getattr(self, name)]

    @property
    def location_variance(self) -> float:
        """Variance between schools due to their location."""
        mean = sum(p * x for p, x in zip(self.location_shares, self.location_effect, strict=True))
        return sum(p * (x - mean) ** 2 for p, x in zip(self.location_shares, self.location_effect, strict=True))

    @property
    def school_variance(self) -> float:
        """Variance between schools of one county and location."""
        return self.icc - self.icc_county - self.location_variance

    @property
    def grades(self) -> tuple[str, str]:
        """The grades that sit the exam, in primary and in junior sections."""
        return ("6", "9")
