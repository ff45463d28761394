"""Counties and schools: where they are, how large they are, which grades sit the exam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.simulate.components import Streams, quotas
from groupeffect.simulate.parameters import GRADES_PER_SECTION, Parameters

__all__ = ["Population", "draw_population", "plane_km", "section_means", "section_sums"]

_LON, _LAT = (108.75, 110.95), (18.35, 19.95)
_SPREAD_DEGREES = (0.04, 0.10, 0.17)
_KM_PER_DEGREE = 110.57
_COS_LATITUDE = float(np.cos(np.deg2rad(19.2)))


@dataclass(frozen=True, slots=True)
class Population:
    """Schools and what is fixed about them.

    Sections are the parts of schools that sit an exam: one per primary or junior school, two per nine-year school;
    they are ordered by school.

    Parameters
    ----------
    county, location, stage : ndarray of shape (n,)
        Codes; the order of `LOCATIONS` and `STAGES`.
    prefecture : ndarray of shape (n_counties,)
        Prefecture code of each county.
    is_new : ndarray of shape (n,)
        Built as a member of a group.
    lon, lat : ndarray of shape (n,)
        Degrees.
    size : ndarray of shape (n_sections,)
        Pupils tested per grade in the first year (not rounded).
    section_school : ndarray of shape (n_sections,)
        School of each section.
    section_junior : ndarray of shape (n_sections,)
        Whether it is a junior section.
    """

    county: IntArray
    location: IntArray
    stage: IntArray
    prefecture: IntArray
    is_new: BoolArray
    lon: FloatArray
    lat: FloatArray
    size: FloatArray
    section_school: IntArray
    section_junior: BoolArray

    @property
    def n(self) -> int:
        """Number of schools."""
        return len(self.county)

    @property
    def n_counties(self) -> int:
        """Number of counties."""
        return len(self.prefecture)

    @property
    def section_grades(self) -> IntArray:
        """Grades that a section has, per section."""
        return np.where(self.section_junior, GRADES_PER_SECTION[1], GRADES_PER_SECTION[0])


def plane_km(lon: FloatArray, lat: FloatArray) -> FloatArray:
    """Kilometres east and north, shape (n, 2): flat is good enough on one island."""
    return np.column_stack([lon * _KM_PER_DEGREE * _COS_LATITUDE, lat * _KM_PER_DEGREE])


def draw_population(parameters: Parameters, n_schools: int, rngs: Streams) -> Population:
    """Draw counties, schools and sections."""
    county, centre, prefecture = _counties(parameters, n_schools, rngs["counties"])
    rng = rngs["schools"]
    location = _assign(rng, n_schools, parameters.location_shares)
    stage = _assign(rng, n_schools, parameters.stage_shares)
    is_new = np.zeros(n_schools, dtype=bool)
    is_new[rng.permutation(n_schools)[: round(parameters.new_share * n_schools)]] = True
    spread = np.asarray(_SPREAD_DEGREES)[location]
    offset = np.clip(rng.standard_normal((n_schools, 2)), -2.5, 2.5) * spread[:, None]
    lon = np.round(centre[county, 0] + offset[:, 0], 5)
    lat = np.round(centre[county, 1] + offset[:, 1], 5)

    copies = np.where(stage == 2, 2, 1)
    section_school = np.repeat(np.arange(n_schools), copies)
    second = np.r_[False, section_school[1:] == section_school[:-1]]
    section_junior = (stage[section_school] == 1) | second
    kind = np.where(stage[section_school] == 1, 3, location[section_school])
    log_size = np.log(np.asarray(parameters.size_medians))[kind] + np.asarray(parameters.size_log_sd)[kind] * rngs[
        "sizes"
    ].standard_normal(len(section_school))
    size = np.clip(np.exp(log_size), *parameters.size_bounds)
    return Population(county, location, stage, prefecture, is_new, lon, lat, size, section_school, section_junior)


def _counties(
    parameters: Parameters, n_schools: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray, IntArray]:
    """County of each school (sorted), county centres in degrees, prefecture of each county."""
    number = parameters.n_counties
    shares = rng.dirichlet(np.full(number, parameters.county_concentration))
    spare = quotas(max(n_schools - number, 0), shares) if n_schools > number else np.zeros(number, dtype=np.int64)
    county = np.repeat(np.arange(number), spare + 1)[:n_schools]
    # the R2 low-discrepancy sequence spreads the centres evenly over the island
    step = np.arange(1, number + 1)[:, None] * np.array([0.7548776662466927, 0.5698402909980532])
    spot = (0.5 + step + 0.02 * rng.standard_normal((number, 2))) % 1.0
    low, high = np.array([_LON[0], _LAT[0]]), np.array([_LON[1], _LAT[1]])
    centre = low + spot * (high - low)
    prefecture = np.empty(number, dtype=np.int64)
    prefecture[np.argsort(centre[:, 0], kind="stable")] = np.arange(number) * 3 // number
    return county, centre, prefecture


def _assign(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> IntArray:
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")


def section_sums(population: Population, values: AnyArray) -> AnyArray:
    """Sum over the sections of each school, along the first axis."""
    starts = np.flatnonzero(np.r_[True, population.section_school[1:] != population.section_school[:-1]])
    return np.asarray(np.add.reduceat(values, starts, axis=0))


def section_means(population: Population, values: AnyArray) -> AnyArray:
    """Plain mean over the sections of each school, along the first axis."""
    count = np.bincount(population.section_school).reshape(-1, *([1] * (values.ndim - 1)))
    return np.asarray(section_sums(population, values) / count)
