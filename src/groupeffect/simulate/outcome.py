r"""The outcome without any reform.

On the pupil-SD scale, for school i, section m, subject s and school year t,

.. math:: Y_{ims,t}(0) = \alpha_{is} + \lambda_t + \kappa_{c,t} + \text{trend}_c t + \beta'(X_{it} - X_{i0}) + u_{it}
   + \varepsilon_{ims,t},

where :math:`\alpha` carries the intake at the start, :math:`\varepsilon` has variance :math:`(1 - ICC)/n_{imt}` and is
correlated over subjects because the same pupils sit them. Both the files and the fast panel come from here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import FloatArray, IntArray
from groupeffect.simulate.components import Streams, ar1
from groupeffect.simulate.parameters import SUBJECTS, Parameters
from groupeffect.simulate.population import Population, section_means

__all__ = ["BaseOutcome", "draw_base_outcome"]


@dataclass(frozen=True, slots=True)
class BaseOutcome:
    """Everything about scores and intake that the reform does not touch.

    Parameters
    ----------
    alpha : ndarray of shape (n, 3)
        School effect per subject, pupil SD.
    common : ndarray of shape (n, T)
        Shocks and drifts that all subjects share, pupil SD.
    noise : ndarray of shape (n_sections, T, 3)
        Sampling of pupils, pupil SD.
    n_tested : ndarray of shape (n_sections, T)
        Pupils tested.
    prior, disadvantaged : ndarray of shape (n, T)
        Intake attainment (SD) and share of disadvantaged pupils, without the reform.
    preference : ndarray of shape (n_counties,)
        How early-minded a county is.
    """

    alpha: FloatArray
    common: FloatArray
    noise: FloatArray
    n_tested: IntArray
    prior: FloatArray
    disadvantaged: FloatArray
    preference: FloatArray

    @property
    def mean(self) -> FloatArray:
        """School-year mean over subjects and grades without the reform and without sampling noise, shape (n, T)."""
        return np.asarray(self.alpha.mean(axis=1)[:, None] + self.common)

    @property
    def standing(self) -> FloatArray:
        """True school effect in school SD, shape (n,)."""
        level = self.alpha.mean(axis=1)
        return np.asarray((level - level.mean()) / level.std())

    def school_noise(self, population: Population) -> FloatArray:
        """Return the sampling noise of the school-year mean over subjects and grades, shape (n, T)."""
        return np.asarray(section_means(population, self.noise.mean(axis=2)))


def draw_base_outcome(parameters: Parameters, population: Population, years: IntArray, rngs: Streams) -> BaseOutcome:
    """Draw the outcome without the reform."""
    n, number = population.n, len(years)
    alpha = _school_effects(parameters, population, rngs["ability"])
    preference = rngs["counties"].standard_normal(population.n_counties)
    prior, disadvantaged, intake_shock = _intake(parameters, population, alpha, number, rngs["intake"])

    rng = rngs["shocks"]
    year_shock = parameters.year_sd * rng.standard_normal(number)
    county = parameters.county_year_sd * rng.standard_normal((population.n_counties, number))
    trend = parameters.county_trend_sd * rng.standard_normal(population.n_counties)
    county = county + trend[:, None] * (years - years[0])
    early = preference >= np.median(preference)
    county = county + parameters.co_reform_shift * early[:, None] * (years >= parameters.co_reform_year)
    shock = ar1(rng, n, number, parameters.school_year_sd, parameters.school_year_rho)
    common = year_shock + county[population.county] + shock + intake_shock

    n_tested = _tested(parameters, population, years, rngs["sizes"])
    noise = _pupil_noise(parameters, n_tested, rngs["pupils"])
    return BaseOutcome(alpha, common, noise, n_tested, prior, disadvantaged, preference)


def _school_effects(parameters: Parameters, population: Population, rng: np.random.Generator) -> FloatArray:
    county = np.sqrt(parameters.icc_county) * rng.standard_normal(population.n_counties)
    specific = parameters.icc * (1 - parameters.subject_correlation)
    shared = parameters.school_variance - specific
    if shared < 0:
        specific, shared = parameters.school_variance, 0.0
    level = county[population.county] + np.asarray(parameters.location_effect)[population.location]
    level = level + np.sqrt(shared) * rng.standard_normal(population.n)
    return np.asarray(level[:, None] + np.sqrt(specific) * rng.standard_normal((population.n, len(SUBJECTS))))


def _intake(
    parameters: Parameters, population: Population, alpha: FloatArray, number: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Intake attainment, disadvantaged share, and what their changes do to the school mean."""
    level = alpha.mean(axis=1)
    start = 0.6 * level + 0.15 * rng.standard_normal(population.n)
    share = (
        np.asarray((0.15, 0.25, 0.35))[population.location] - 0.10 * level + 0.05 * rng.standard_normal(population.n)
    )
    share = np.clip(share, 0.06, 0.90)
    prior_shock = 0.05 * rng.standard_normal((population.n, number))
    share_shock = np.clip(0.01 * rng.standard_normal((population.n, number)), -0.03, 0.03)
    effect = parameters.beta_prior * prior_shock + parameters.beta_disadvantage * share_shock
    return start[:, None] + prior_shock, share[:, None] + share_shock, effect


def _tested(parameters: Parameters, population: Population, years: IntArray, rng: np.random.Generator) -> IntArray:
    rural = population.location[population.section_school] == 2
    drift = np.where(rural[:, None], (1 + parameters.rural_drift) ** (years - years[0]), 1.0)
    wobble = np.exp(0.05 * rng.standard_normal((len(population.size), len(years))))
    size = np.rint(population.size[:, None] * drift * wobble)
    return np.clip(size, *parameters.size_bounds).astype(np.int64)


def _pupil_noise(parameters: Parameters, n_tested: IntArray, rng: np.random.Generator) -> FloatArray:
    shape = (*n_tested.shape, len(SUBJECTS))
    shared = np.sqrt(parameters.pupil_correlation) * rng.standard_normal(n_tested.shape)
    own = np.sqrt(1 - parameters.pupil_correlation) * rng.standard_normal(shape)
    sd = np.sqrt((1 - parameters.icc) / n_tested)
    return np.asarray(sd[..., None] * (shared[..., None] + own))
