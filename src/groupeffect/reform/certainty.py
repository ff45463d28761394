"""How sure can we be? A label with every deduction written out.

Adapts the padlocks of the Education Endowment Foundation and the wording of GRADE. The label is about the security of a
finding, not about its sign or size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from groupeffect.errors import SpecError
from groupeffect.reform.effects import FEW_GROUPS, RoleEffect

__all__ = ["Certainty", "CertaintyLabel", "Check", "StudyDesign", "certainty", "certainty_label", "grade"]

StudyDesign: TypeAlias = Literal["randomised", "regression_discontinuity", "staggered", "matching", "before_after"]
CertaintyLabel: TypeAlias = Literal["high", "moderate", "low", "very_low"]

START: Final[dict[str, int]] = {
    "randomised": 5,
    "regression_discontinuity": 4,
    "staggered": 3,
    "matching": 2,
    "before_after": 0,
}
"""Points that a study design starts with."""

MAX_MDE: Final = 0.20
"""Largest minimum detectable effect (SD) without deduction."""

INTAKE_SHARE: Final = 0.5
"""An intake change of more than this share of the effect counts as of the same order."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that can cost a point.

    Parameters
    ----------
    name : str
    passed : bool or None
        None = not assessed: costs nothing, but bars the extra point.
    detail : str
        What was found, in numbers.
    """

    name: str
    passed: bool | None
    detail: str

    @property
    def points(self) -> int:
        """-1 if the check failed, else 0."""
        return -1 if self.passed is False else 0


@dataclass(frozen=True, slots=True)
class Certainty:
    """Certainty of one finding.

    Parameters
    ----------
    score : int
        0 to 5.
    label : {"high", "moderate", "low", "very_low"}
        5-4, 3, 2, at most 1.
    design : str
        Study design.
    start : int
        Points of the design, the extra point included.
    checks : tuple of Check
        Everything looked at.
    """

    score: int
    label: CertaintyLabel
    design: StudyDesign
    start: int
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Details of the checks that cost a point."""
        return tuple(check.detail for check in self.checks if check.passed is False)

    @property
    def not_assessed(self) -> tuple[str, ...]:
        """Names of the checks that were not made."""
        return tuple(check.name for check in self.checks if check.passed is None)


def certainty_label(score: int) -> CertaintyLabel:
    """Label of a score: 5-4 high, 3 moderate, 2 low, at most 1 very low."""
    if score >= 4:
        return "high"
    return {3: "moderate", 2: "low"}.get(score, "very_low")  # type: ignore[return-value]


def grade(design: StudyDesign, checks: tuple[Check, ...], *, two_comparisons_agree: bool = False) -> Certainty:
    """Certainty from a study design and its checks.

    Parameters
    ----------
    design : {"randomised", "regression_discontinuity", "staggered", "matching", "before_after"}
        Start with 5, 4, 3, 2, 0 points. A staggered roll-out starts with 4 if every check passed and two comparison
        groups agree.
    checks : tuple of Check
        Each failed one takes a point.
    two_comparisons_agree : bool, default False

    Returns
    -------
    Certainty

    Raises
    ------
    SpecError
        If the design is unknown.
    """
    if design not in START:
        raise SpecError(f"design={design!r} is unknown.", hint=f"Use one of {', '.join(START)}.")
    start = START[design]
    if design == "staggered" and two_comparisons_agree and all(check.passed for check in checks):
        start += 1
    score = max(0, start + sum(check.points for check in checks))
    return Certainty(score, certainty_label(score), design, start, checks)


def certainty(
    effect: RoleEffect,
    *,
    declared: bool = False,
    intake: float | None = None,
    sensitivity: bool | None = None,
    design: StudyDesign = "staggered",
) -> Certainty:
    """Certainty of the effect on one role.

    Parameters
    ----------
    effect : RoleEffect
    declared : bool, default False
        Whether the specification was written down (and hashed) before outcomes were read.
    intake : float, optional
        Part of the effect that a changed intake explains, outcome units. Not assessed if not given.
    sensitivity : bool, optional
        Whether the conclusion survives a violation of parallel trends of half the largest one before treatment, from a
        sensitivity analysis. By default the interval is widened by half the placebo estimate; see Notes.
    design : StudyDesign, default "staggered"

    Returns
    -------
    Certainty

    Notes
    -----
    Checks, each worth a point: `comparison` (baseline difference at most 0.25 SD, and like schools among the
    comparison), `pre_trend` (a violation as large as the margin excluded), `attrition` (within the cautious boundary),
    `power` (at least ten school_groups, minimum detectable effect at most 0.20), `intake` (less than half the effect),
    `sensitivity`, `declared`. The default sensitivity check applies to intervals that exclude zero: it fails if the
    interval, moved towards zero by half the absolute placebo estimate, includes it.
    """
    checks = (
        _comparison(effect),
        _pre_trend(effect),
        _attrition(effect),
        _power(effect),
        _intake(effect, intake),
        _sensitivity(effect, sensitivity),
        Check("declared", declared, f"specification {'' if declared else 'not '}declared in advance"),
    )
    agree = effect.agreement is not None and effect.agreement.agrees
    return grade(design, checks, two_comparisons_agree=agree)


def _comparison(effect: RoleEffect) -> Check:
    outcome = effect.balance[0]
    unlike = effect.pool in ("all_never", "weak_vs_never", "core_vs_never")
    text = f"baseline difference {outcome.g:+.2f} SD (limit 0.25)"
    if unlike:
        text += "; compared only with schools of another kind"
    return Check("comparison", outcome.category != "not_satisfied" and not unlike, text)


def _pre_trend(effect: RoleEffect) -> Check:
    shown = effect.pre_trend.equivalence
    if shown is None:
        return Check("pre_trend", False, "no difference before the reform could be estimated")
    text = f"differences before the reform shown to be below {shown.smallest_margin:.3f} (margin {shown.margin:g})"
    return Check("pre_trend", shown.equivalent, text)


def _attrition(effect: RoleEffect) -> Check:
    lost = effect.attrition
    text = f"{lost.overall:.1%} of outcomes missing, {lost.differential:.1%} apart (allowed {lost.allowed:.1%})"
    return Check("attrition", lost.low, text)


def _power(effect: RoleEffect) -> Check:
    text = f"{effect.n_groups} school_groups, smallest detectable effect {effect.mde:.3f}"
    return Check("power", effect.n_groups >= FEW_GROUPS and effect.mde <= MAX_MDE, text)


def _intake(effect: RoleEffect, intake: float | None) -> Check:
    if intake is None:
        return Check("intake", None, "change of intake not assessed")
    text = f"change of intake explains {intake:+.3f} of {effect.estimate:+.3f}"
    return Check("intake", abs(intake) <= INTAKE_SHARE * abs(effect.estimate), text)


def _sensitivity(effect: RoleEffect, survives: bool | None) -> Check:
    if survives is not None:
        return Check("sensitivity", survives, "sensitivity analysis at half the largest violation before treatment")
    low, high = effect.interval
    if low <= 0 <= high:
        return Check("sensitivity", True, "the interval includes zero already; nothing to overturn")
    slack = 0.5 * effect.pre_trend.largest
    if np.isnan(slack):
        return Check("sensitivity", None, "no placebo estimate to compare with")
    nearest = low if low > 0 else -high
    text = f"distance of the interval from zero {nearest:.3f}, half the placebo estimate {slack:.3f}"
    return Check("sensitivity", nearest > slack, text)
