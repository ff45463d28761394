"""Whether harm above a declared margin can be ruled out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from groupeffect.errors import SpecError
from groupeffect.inference.critical import lower_bound_p, one_sided_value
from groupeffect.result import Result

__all__ = ["NonInferiority", "Verdict", "noninferiority"]

Verdict: TypeAlias = Literal["not_harmed_beyond_margin", "harm_not_excluded", "harmed"]


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Verdict on harm.

    Parameters
    ----------
    verdict : {"not_harmed_beyond_margin", "harm_not_excluded", "harmed"}
        ``"not_harmed_beyond_margin"``: the lower bound lies above ``-margin``.
        ``"harmed"``: it does not, and the upper bound lies below zero.
        ``"harm_not_excluded"``: neither.
    estimate : float
        Effect, outcome units (negative = harm).
    lower, upper : float
        One-sided bounds, each at `level`.
    margin : float
        Largest harm that is accepted, declared before outcomes are read.
    level : float
        Confidence level of each bound.
    p_value : float
        One-sided, of harm of the margin or more.
    """

    verdict: Verdict
    estimate: float
    lower: float
    upper: float
    margin: float
    level: float
    p_value: float

    @property
    def harm_shown(self) -> bool:
        """Whether the upper bound is below zero: some harm, however small."""
        return self.upper < 0

    @property
    def harm_beyond_margin(self) -> bool:
        """Whether the upper bound is below ``-margin``."""
        return self.upper < -self.margin


def noninferiority(result: Result, margin: float = 0.05, level: float = 0.95) -> NonInferiority:
    """Test that an effect is not below ``-margin``.

    Parameters
    ----------
    result : Result
        One estimate with a standard error, for example the overall effect on core schools.
    margin : float, default 0.05
        Largest accepted harm, outcome units; a choice of the people responsible, not of the data.
    level : float, default 0.95
        Confidence level of the one-sided bounds.

    Returns
    -------
    NonInferiority

    Raises
    ------
    SpecError
        If the result has more than one row or no standard error, or the margin is not positive.
    """
    if not margin > 0:
        raise SpecError(f"margin={margin} is not positive.", hint="Give the largest harm that would be accepted.")
    if not 0.5 < level < 1:
        raise SpecError(f"level={level} is not between 0.5 and 1.", hint="Use 0.95.")
    error = result.uncertainty.std_error
    if len(result.estimate) != 1 or error is None or not np.isfinite(error[0]):
        raise SpecError(
            f"Non-inferiority needs one estimate with a standard error; there are {len(result.estimate)} rows.",
            hint="Aggregate with ge.overall() and infer with ClusterRobust.",
        )
    estimate, df = float(result.estimate[0]), result.uncertainty.df
    reach = one_sided_value(level, df) * float(error[0])
    lower, upper = estimate - reach, estimate + reach
    verdict: Verdict = "harm_not_excluded"
    if lower > -margin:
        verdict = "not_harmed_beyond_margin"
    elif upper < 0:
        verdict = "harmed"
    p_value = lower_bound_p(estimate, float(error[0]), -margin, df)
    return NonInferiority(verdict, estimate, lower, upper, margin, level, p_value)
