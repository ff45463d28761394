r"""Sampling variance of the reference designs, from the known variance components, and what they can detect.

A difference-in-differences estimate is linear in the school-year scores, :math:`\sum_{it} a_{it} Y_{it}`. Given who is
in which cohort, its exact variance under the data-generating process is

.. math:: \sum_i a_i' (\sigma_u^2 R + D_i) a_i + \sum_c A_c' (\sigma_\kappa^2 I + \sigma_\gamma^2 t t') A_c,
   \qquad A_c = \sum_{i \in c} a_i,

with the AR(1) correlation R, the sampling variance of the pupils and of the yearly intake on the diagonal of
:math:`D_i`, county-year shocks :math:`\kappa` and county trends :math:`\gamma`. The minimum detectable effect at 80 %
power and a two-sided 5 % test is 2.8 times its root.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from groupeffect._types import FloatArray
from groupeffect.errors import SpecError
from groupeffect.simulate.population import section_sums
from groupeffect.simulate.selection import CORE, MEMBER
from groupeffect.simulate.world import World

__all__ = ["MDE_FACTOR", "contrast", "mde_table", "sampling_variance"]

MDE_FACTOR: Final = 2.8
Design: TypeAlias = Literal["members_vs_never", "weak_vs_not_yet", "cores_vs_never"]
Base: TypeAlias = Literal["before_designation", "last_before"]


def contrast(world: World, design: Design = "members_vs_never", base: Base = "before_designation") -> FloatArray:
    """Weights a_it of the reference estimate: every cell (g, t) since joining, weighted by the size of its cohort.

    Parameters
    ----------
    world : World
    design : {"members_vs_never", "weak_vs_not_yet", "cores_vs_never"}
        Established members (core schools) against established schools never in a group; or weak members against weak
        schools that join later.
    base : {"before_designation", "last_before"}
        Mean of all years before the designation years, or the year before joining.

    Returns
    -------
    ndarray of shape (n, T)
        Zero sum over the years of each school; post-treatment weights of the treated add up to one.

    Raises
    ------
    SpecError
        If the design is unknown or has no cell.
    """
    assignment, years = world.assignment, world.years
    established = ~world.population.is_new
    role = {"members_vs_never": MEMBER, "weak_vs_not_yet": MEMBER, "cores_vs_never": CORE}.get(design)
    if role is None:
        raise SpecError(
            f"There is no design {design!r}.", hint="Use members_vs_never, weak_vs_not_yet or cores_vs_never."
        )
    within = established & (assignment.weak if design == "weak_vs_not_yet" else np.ones(world.population.n, dtype=bool))
    treated = within & (assignment.role == role)
    weights = np.zeros((world.population.n, len(years)))
    mass = 0.0
    for cohort in np.unique(assignment.cohort[treated]):
        mine = treated & (assignment.cohort == cohort)
        before = (
            years < min(world.parameters.designation_years) if base == "before_designation" else years == cohort - 1
        )
        before = before & (years < cohort)
        for t in np.flatnonzero(years >= cohort):
            if design == "weak_vs_not_yet":
                others = treated & (assignment.cohort > years[t])
            else:
                others = established & world.never_in_group
            if not others.any() or not before.any():
                continue
            row = -before.astype(float) / before.sum()
            row[t] += 1.0
            weights += mine[:, None] * row - (mine.sum() / others.sum()) * others[:, None] * row
            mass += float(mine.sum())
    if mass == 0.0:
        raise SpecError(f"The design {design!r} has no treated cell with a comparison.", hint="Choose another design.")
    return weights / mass


def sampling_variance(world: World, weights: FloatArray) -> float:
    """Exact variance of ``sum(weights * score)`` given the assignment, latent scale."""
    parameters, years = world.parameters, world.years
    steps = np.arange(len(years))
    correlation = parameters.school_year_rho ** np.abs(steps[:, None] - steps[None, :])
    shocks = parameters.school_year_sd**2 * float(np.einsum("it,ts,is->", weights, correlation, weights))
    diagonal = float((weights**2 * _idiosyncratic(world)).sum())
    county = np.zeros((world.population.n_counties, len(years)))
    np.add.at(county, world.population.county, weights)
    common = parameters.county_year_sd**2 * float((county**2).sum())
    trend = parameters.county_trend_sd**2 * float(((county @ (years - years[0])) ** 2).sum())
    return shocks + diagonal + common + trend


def _idiosyncratic(world: World) -> FloatArray:
    """Variance of pupils sampled and of the yearly intake, shape (n, T)."""
    parameters = world.parameters
    subjects = (1 + 2 * parameters.pupil_correlation) / 3
    sections = np.bincount(world.population.section_school)[:, None]
    pupils = section_sums(world.population, (1 - parameters.icc) / world.base.n_tested) * subjects / sections**2
    intake = (parameters.beta_prior * 0.05) ** 2 + (parameters.beta_disadvantage * 0.01) ** 2
    return np.asarray(pupils + intake)


def mde_table(world: World, unit: float = 1.0) -> pd.DataFrame:
    """Compute the sampling SD and minimum detectable effect of the reference designs.

    Parameters
    ----------
    world : World
    unit : float, default 1.0
        Unit of the truth per latent SD.

    Returns
    -------
    DataFrame
        ``design, base, sampling_sd, mde, n_treated, n_comparison``; designs without any cell are left out.
    """
    rows = []
    designs: tuple[Design, ...] = ("members_vs_never", "weak_vs_not_yet", "cores_vs_never")
    bases: tuple[Base, ...] = ("before_designation", "last_before")
    for design in designs:
        treated, others = _schools(world, design)
        if not treated or not others:
            continue
        for base in bases:
            variance = sampling_variance(world, contrast(world, design, base))
            sd = unit * float(np.sqrt(variance))
            rows.append((design, base, sd, MDE_FACTOR * sd, treated, others))
    return pd.DataFrame(rows, columns=["design", "base", "sampling_sd", "mde", "n_treated", "n_comparison"])


def _schools(world: World, design: Design) -> tuple[int, int]:
    """Treated and comparison schools of a design."""
    assignment, established = world.assignment, ~world.population.is_new
    if design == "weak_vs_not_yet":
        joined = assignment.cohort[assignment.weak & established & (assignment.role == MEMBER)]
        return int((joined < joined.max(initial=0)).sum()), int((joined > joined.min(initial=np.inf)).sum())
    role = MEMBER if design == "members_vs_never" else CORE
    treated = established & (assignment.role == role)
    return int(treated.sum()), int((established & world.never_in_group).sum())
