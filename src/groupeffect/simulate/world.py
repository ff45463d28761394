"""One draw of the synthetic province, as arrays: what the files, the fast panel and the truth are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.errors import SpecError
from groupeffect.simulate.components import Streams, streams
from groupeffect.simulate.outcome import BaseOutcome, draw_base_outcome
from groupeffect.simulate.parameters import LOCATIONS, MODELS, STAGES, Parameters
from groupeffect.simulate.population import Population, draw_population, section_sums
from groupeffect.simulate.selection import NONE, Assignment, assign_schools, travel_minutes
from groupeffect.simulate.staff import Staff, draw_staff
from groupeffect.simulate.treatment import Treatment, draw_treatment

__all__ = ["ROLES", "World", "build_world"]

ROLES = ("none", "member", "core")
_FEWEST_SCHOOLS = 60


@dataclass(frozen=True, slots=True)
class World:
    """Everything drawn, before any file is written.

    Parameters
    ----------
    parameters : Parameters
    seed : int
    years : ndarray of shape (T,)
        School years (start year).
    population, base, assignment, staff, treatment
        The parts; see their classes.
    minutes : ndarray of shape (n,)
        Travel time to the core school; nan outside groups.
    open_year : ndarray of shape (n,)
        First school year.
    withheld : ndarray of shape (n, T)
        School-year scores that are not handed in because they are bad.
    """

    parameters: Parameters
    seed: int
    years: IntArray
    population: Population
    base: BaseOutcome
    assignment: Assignment
    staff: Staff
    treatment: Treatment
    minutes: FloatArray
    open_year: IntArray
    withheld: BoolArray

    @property
    def present(self) -> BoolArray:
        """Whether the school exists in that year, shape (n, T)."""
        return np.asarray(self.years >= self.open_year[:, None])

    @property
    def examined(self) -> BoolArray:
        """Whether an exam was held and its score handed in, shape (n, T)."""
        return np.asarray(self.present & ~np.isin(self.years, self.parameters.missing_years) & ~self.withheld)

    @property
    def enrol(self) -> IntArray:
        """Pupils of the school, shape (n, T)."""
        grades = self.population.section_grades[:, None]
        return np.asarray(section_sums(self.population, self.base.n_tested * grades))

    @property
    def pupils(self) -> FloatArray:
        """Fixed weight: mean enrolment before the designation years, of new schools their first; shape (n,)."""
        enrol = self.enrol
        before = self.years < min(self.parameters.designation_years)
        weight = enrol[:, before].mean(axis=1)
        opening = np.clip(np.searchsorted(self.years, self.open_year), 0, len(self.years) - 1)
        return np.where(self.population.is_new, enrol[np.arange(len(enrol)), opening], weight)

    @property
    def early_county(self) -> BoolArray:
        """The more early-minded half of the counties, shape (n_counties,)."""
        return np.asarray(self.base.preference >= np.median(self.base.preference))

    @property
    def never_in_group(self) -> BoolArray:
        """Schools that are in no group at any time in the panel, shape (n,)."""
        return np.asarray(self.assignment.role == NONE)

    @property
    def reference(self) -> BoolArray:
        """The fixed reference population of standardisation: never in a group and never designated weak, shape (n,)."""
        return np.asarray(self.never_in_group & ~self.assignment.weak & ~self.population.is_new)

    def rescale(self) -> tuple[FloatArray, FloatArray]:
        """Hidden (shift, factor) of the recorded score, both of shape (n, T); zero and one if nothing is hidden."""
        shape = (self.population.n, len(self.years))
        if self.parameters.hidden_rescale is None:
            return np.zeros(shape), np.ones(shape)
        shift, factor, first = self.parameters.hidden_rescale
        hit = self.early_county[self.population.county][:, None] & (self.years >= first)
        return np.where(hit, shift, 0.0), np.where(hit, factor, 1.0)

    def school_scores(self) -> FloatArray:
        """Observed school-year mean over subjects and grades, pupil SD of the whole population, shape (n, T)."""
        score = self.base.mean + self.treatment.total + self.base.school_noise(self.population)
        shift, factor = self.rescale()
        return np.asarray(shift + factor * score)

    def section_scores(self) -> FloatArray:
        """Observed mean per section, year and subject, pupil SD of the whole population, shape (n_sections, T, 3)."""
        school = self.population.section_school
        subject = np.asarray(self.parameters.subject_multiplier)
        common = self.base.common + self.treatment.intake + self.treatment.ring
        level = common[:, :, None] + self.treatment.direct[:, :, None] * subject + self.base.alpha[:, None, :]
        shift, factor = self.rescale()
        return np.asarray(shift[school][..., None] + factor[school][..., None] * (level[school] + self.base.noise))

    def labels(self) -> dict[str, AnyArray]:
        """Text labels per school: ids, county, prefecture, location, stage, role, model, group."""
        population, assignment = self.population, self.assignment
        names = _names
        in_group = assignment.group >= 0
        county = names("C{:02d}", population.n_counties)[population.county]
        prefecture = names("P{}", 3)[population.prefecture[population.county]]
        group = np.full(population.n, None, dtype=object)
        model = np.full(population.n, None, dtype=object)
        chosen = assignment.group[in_group]
        group[in_group] = names("G{:04d}", assignment.groups.n)[chosen]
        model[in_group] = np.asarray(MODELS, dtype=object)[assignment.groups.model[chosen]]
        return {
            "school_id": names("S{:05d}", population.n),
            "county_id": county,
            "prefecture_id": prefecture,
            "location": np.asarray(LOCATIONS, dtype=object)[population.location],
            "stage": np.asarray(STAGES, dtype=object)[population.stage],
            "role": np.asarray(ROLES, dtype=object)[assignment.role],
            "group_id": group,
            "model": model,
        }


def _names(pattern: str, number: int) -> AnyArray:
    return np.array([pattern.format(i + 1) for i in range(number)], dtype=object)


def build_world(parameters: Parameters, *, n_schools: int, years: tuple[int, int], seed: int) -> tuple[World, Streams]:
    """Draw a province.

    Parameters
    ----------
    parameters : Parameters
    n_schools : int
        At least 60.
    years : tuple of int
        First and last school year, both included.
    seed : int
        The draw is a function of this and the arguments above.

    Returns
    -------
    world : World
    rngs : dict of Generator
        The streams, for the components that come later (marks, files, faults).

    Raises
    ------
    SpecError
        If there are too few schools, or no year before the designation or no year of the first wave.
    """
    _check(parameters, n_schools, years)
    rngs = streams(seed)
    span = np.arange(years[0], years[1] + 1)
    population = draw_population(parameters, n_schools, rngs)
    base = draw_base_outcome(parameters, population, span, rngs)
    assignment = assign_schools(parameters, population, base, span, rngs)
    minutes = travel_minutes(population, assignment)
    staff = draw_staff(parameters, population, assignment, base.standing, rngs)
    treatment = draw_treatment(
        parameters, population, assignment, staff, standing=base.standing, minutes=minutes, years=span, rngs=rngs
    )
    opened = np.where(assignment.role == NONE, parameters.waves[0][0], assignment.cohort)
    open_year = np.where(population.is_new, opened, span[0]).astype(np.int64)
    withheld = _withheld(parameters, population, base, rngs["withheld"])
    world = World(parameters, seed, span, population, base, assignment, staff, treatment, minutes, open_year, withheld)
    return world, rngs


def _check(parameters: Parameters, n_schools: int, years: tuple[int, int]) -> None:
    if n_schools < max(_FEWEST_SCHOOLS, 3 * parameters.n_counties):
        raise SpecError(
            f"{n_schools} schools in {parameters.n_counties} counties are too few for groups of core and members.",
            hint=f"Ask for at least {max(_FEWEST_SCHOOLS, 3 * parameters.n_counties)} schools, or fewer counties.",
        )
    first_wave = parameters.waves[0][0]
    earliest = min(parameters.designation_years)
    if parameters.pilot_groups:
        earliest = min(earliest, parameters.pilot_year - 2)
    if years[0] >= earliest or years[1] < first_wave:
        raise SpecError(
            f"The years {years[0]}-{years[1]} hold no year before {earliest}, when schools are first picked, or none "
            f"of the first wave ({first_wave}).",
            hint=f"Start before {earliest} and end in {first_wave} or later.",
        )


def _withheld(parameters: Parameters, population: Population, base: BaseOutcome, rng: np.random.Generator) -> BoolArray:
    draw = rng.random(base.common.shape)
    if not parameters.mnar_rate:
        return np.zeros(base.common.shape, dtype=bool)
    passing = base.common - base.common.mean(axis=1, keepdims=True) + base.school_noise(population)
    return np.asarray((passing < parameters.mnar_below) & (draw < parameters.mnar_rate))
