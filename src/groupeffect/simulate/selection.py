"""Who is picked, when, and into which group: the selection that the estimators have to survive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import NEVER, BoolArray, FloatArray, IntArray
from groupeffect.simulate.components import Streams, match_by_label, quotas, rank_share
from groupeffect.simulate.outcome import BaseOutcome
from groupeffect.simulate.parameters import MECHANISMS, MODELS, Parameters
from groupeffect.simulate.population import Population, plane_km

__all__ = ["CORE", "MEMBER", "NONE", "Assignment", "Groups", "assign_schools", "travel_minutes"]

NONE, MEMBER, CORE = 0, 1, 2
_MINUTES_PER_KM = (1.5, 1.2, 1.2)
_LARGE_CORES = 2.0


@dataclass(frozen=True, slots=True)
class Groups:
    """School groups.

    Parameters
    ----------
    core : ndarray of shape (n_groups,)
        Core school of each group.
    county, wave, model : ndarray of shape (n_groups,)
        County of the core school, founding year, code of the model (order of `MODELS`).
    mechanism : ndarray of shape (n_groups, 5)
        True indices 0-1 (order of `MECHANISMS`).
    """

    core: IntArray
    county: IntArray
    wave: IntArray
    model: IntArray
    mechanism: FloatArray

    @property
    def n(self) -> int:
        """Number of groups."""
        return len(self.core)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Role of every school.

    Parameters
    ----------
    groups : Groups
        The groups founded.
    role : ndarray of shape (n,)
        0 none, 1 member, 2 core: the role at any time in the panel.
    group : ndarray of shape (n,)
        Group of the school; -1 = none.
    cohort, exit : ndarray of shape (n,)
        First year in the group, first year out of it; inf = never.
    weak : ndarray of shape (n,)
        Designated weak.
    score : ndarray of shape (n,)
        What the designation looked at; nan for schools not yet open.
    cutoff : ndarray of shape (3,)
        Designation cut-off per stage: schools below it are weak.
    """

    groups: Groups
    role: IntArray
    group: IntArray
    cohort: FloatArray
    exit: FloatArray
    weak: BoolArray
    score: FloatArray
    cutoff: FloatArray


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round of founding groups works with."""

    parameters: Parameters
    population: Population
    preference: FloatArray
    score: FloatArray
    open: BoolArray
    weak: BoolArray
    waves: IntArray


def assign_schools(
    parameters: Parameters, population: Population, base: BaseOutcome, years: IntArray, rngs: Streams
) -> Assignment:
    """Designate weak schools, pick core schools, found groups, let some members leave."""
    n = population.n
    scale = n / parameters.reference_schools
    group = np.full(n, -1, dtype=np.int64)
    core, wave = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    established = ~population.is_new
    if parameters.pilot_groups:
        score = _score(
            parameters, population, base, years, (parameters.pilot_year - 2, parameters.pilot_year - 1), rngs
        )
        largest = int(np.bincount(population.county).argmax())
        here = established & (population.county == largest)
        founded = np.full(max(1, round(parameters.pilot_groups * scale)), parameters.pilot_year)
        pilot = _Round(
            parameters,
            population,
            base.preference,
            score,
            here,
            here & _bottom(parameters, population, score, here),
            founded,
        )
        core, wave, group = _found(pilot, rngs["pilot"], rngs["pilot"], is_pilot=True)

    free = group < 0
    score = _score(parameters, population, base, years, parameters.designation_years, rngs)
    weak = _bottom(parameters, population, score, established & free)
    cutoff = _cutoffs(population, score, established & free, weak)
    counts = quotas(max(1, round(sum(c for _, c in parameters.waves) * scale)), [c for _, c in parameters.waves])
    founded = np.repeat([year for year, _ in parameters.waves], counts)
    main = _Round(parameters, population, base.preference, score, free, weak, founded)
    new_core, new_wave, new_group = _found(main, rngs["cores"], rngs["members"], is_pilot=False)
    group = np.where(new_group >= 0, new_group + len(core), group)
    core, wave = np.r_[core, new_core], np.r_[wave, new_wave]
    return _finish(parameters, population, core, wave, group, weak, score, cutoff, years, rngs)


def _score(
    parameters: Parameters,
    population: Population,
    base: BaseOutcome,
    years: IntArray,
    window: tuple[int, ...],
    rngs: Streams,
) -> FloatArray:
    """Return what the selection looks at, shape (n,)."""
    if parameters.selection == "latent":
        return np.asarray(base.alpha.mean(axis=1))
    if parameters.selection == "random":
        return rngs["designation"].standard_normal(population.n)
    sat = np.isin(years, window) & ~np.isin(years, parameters.missing_years)
    observed = base.mean + base.school_noise(population)
    return np.asarray(observed[:, sat].mean(axis=1))


def _bottom(parameters: Parameters, population: Population, score: FloatArray, among: BoolArray) -> BoolArray:
    weak = np.zeros(population.n, dtype=bool)
    weak[among] = rank_share(population.stage[among], score[among]) < parameters.weak_share
    return weak


def _cutoffs(population: Population, score: FloatArray, among: BoolArray, weak: BoolArray) -> FloatArray:
    """Half-way between the best weak and the worst other school of each stage; nan if the stage lacks either."""
    cutoff = np.full(3, np.nan)
    for stage in range(3):
        below = score[weak & (population.stage == stage)]
        above = score[among & ~weak & (population.stage == stage)]
        if len(below) and len(above):
            cutoff[stage] = (below.max() + above.min()) / 2
    return cutoff


def _found(
    work: _Round, rng_core: np.random.Generator, rng_member: np.random.Generator, *, is_pilot: bool
) -> tuple[IntArray, IntArray, IntArray]:
    """Core schools, founding years, and the group of every school (-1 = none)."""
    parameters, population = work.parameters, work.population
    core = _pick_cores(work, rng_core)
    wave = _order_waves(work, core, rng_core)
    order = np.lexsort((core, population.county[core], wave))
    core, wave = core[order], wave[order]
    places = np.minimum(1 + rng_member.poisson(parameters.member_poisson, len(core)), parameters.member_max)
    takers = _pick_members(work, core, places, rng_member, is_pilot=is_pilot)
    if parameters.universal and not is_pilot:
        places = quotas(len(takers), np.ones(len(core)).tolist())
    elif parameters.selection == "cutoff":
        places = quotas(len(takers), places.tolist())
    priority = work.score[takers] + parameters.priority_noise * rng_member.standard_normal(len(takers))
    unordered = population.is_new[takers] | (parameters.selection in ("random", "cutoff"))
    priority = np.where(unordered, rng_member.permutation(priority), priority)
    group = np.full(population.n, -1, dtype=np.int64)
    group[takers] = _match(population, core, wave, places, takers, priority)
    group[core] = np.arange(len(core))
    return core, wave, group


def _pick_cores(work: _Round, rng: np.random.Generator) -> IntArray:
    """Core schools: large ones from the top of their stage or county, more where weak schools are many."""
    parameters, population = work.parameters, work.population
    usable = work.open & ~work.weak & ~population.is_new
    largest = np.zeros(population.n)
    np.maximum.at(largest, population.section_school, population.size)
    top = np.zeros(population.n, dtype=bool)
    among = work.open & ~population.is_new
    in_stage = rank_share(population.stage[among], work.score[among])
    in_county = rank_share(population.county[among], work.score[among])
    top[among] = np.maximum(in_stage, in_county) >= 1 - parameters.core_share
    fit = usable & top & (largest > parameters.core_min_tested)
    need = np.bincount(population.county[work.weak], minlength=population.n_counties) + 1.0
    supply = np.bincount(population.county[fit], minlength=population.n_counties) + 1.0
    gumbel = rng.gumbel(size=population.n)
    key = np.log(need / supply)[population.county] + _LARGE_CORES * np.log(largest) + gumbel
    key = np.where(fit, key, -1e6 + 1e3 * (largest > parameters.core_min_tested) + work.score)
    number = min(len(work.waves), int(usable.sum()))
    pool = np.flatnonzero(usable)
    return np.sort(pool[np.argsort(-key[pool], kind="stable")[:number]])


def _order_waves(work: _Round, core: IntArray, rng: np.random.Generator) -> IntArray:
    """Founding years: early-minded counties first, with noise."""
    preference = work.preference[work.population.county[core]]
    late = rng.standard_normal(len(core)) - work.parameters.county_preference * preference
    wave = np.empty(len(core), dtype=np.int64)
    wave[np.argsort(late, kind="stable")] = np.sort(work.waves)[: len(core)]
    return wave


def _pick_members(
    work: _Round, core: IntArray, places: IntArray, rng: np.random.Generator, *, is_pilot: bool
) -> IntArray:
    """Weak schools and new schools first, ordinary schools for the places left."""
    population, parameters = work.population, work.parameters
    is_core = np.zeros(population.n, dtype=bool)
    is_core[core] = True
    first = work.open & ~is_core & (work.weak | (population.is_new & (not is_pilot)))
    ordinary = np.flatnonzero(work.open & ~is_core & ~first & ~population.is_new)
    ordinary = rng.permutation(ordinary)
    if parameters.universal and not is_pilot:
        return np.sort(np.r_[np.flatnonzero(first), ordinary])
    if parameters.selection == "cutoff":
        return np.flatnonzero(first)
    room = max(int(places.sum()) - int(first.sum()), 0)
    return np.sort(np.r_[np.flatnonzero(first), ordinary[:room]])


def _match(
    population: Population, core: IntArray, wave: IntArray, places: IntArray, takers: IntArray, priority: FloatArray
) -> IntArray:
    """Group of each taker: in its own county if there is a place, else in its prefecture, else anywhere; -1 = none."""
    slot_group = np.repeat(np.arange(len(core)), places)
    county = population.county[core][slot_group]
    group = np.full(len(takers), -1, dtype=np.int64)
    left = np.ones(len(slot_group), dtype=bool)
    levels = (
        (county, population.county[takers]),
        (population.prefecture[county], population.prefecture[population.county[takers]]),
        (np.zeros_like(county), np.zeros_like(takers)),
    )
    for slot_label, taker_label in levels:
        waiting, vacant = np.flatnonzero(group < 0), np.flatnonzero(left)
        if not len(waiting) or not len(vacant):
            break
        place = match_by_label(
            slot_label[vacant], wave[slot_group[vacant]].astype(float), taker_label[waiting], priority[waiting]
        )
        served = place >= 0
        group[waiting[served]] = slot_group[vacant[place[served]]]
        left[vacant[place[served]]] = False
    return group


def _finish(
    parameters: Parameters,
    population: Population,
    core: IntArray,
    wave: IntArray,
    group: IntArray,
    weak: BoolArray,
    score: FloatArray,
    cutoff: FloatArray,
    years: IntArray,
    rngs: Streams,
) -> Assignment:
    """Add models, mechanisms and exits; forget groups founded after the panel."""
    keep = wave <= years[-1]
    renumber = np.where(keep, np.cumsum(keep) - 1, -1)
    group = np.where(group >= 0, renumber[group], -1)
    models = rngs["models"].permutation(
        np.repeat(np.arange(len(MODELS)), quotas(population.n_counties, parameters.model_shares))
    )
    mechanism = _mechanisms(rngs["mechanisms"], len(core))
    county = population.county[core]
    groups = Groups(core[keep], county[keep], wave[keep], models[county][keep], mechanism[keep])
    in_group = group >= 0
    role = np.where(in_group, MEMBER, NONE)
    role[groups.core] = CORE
    cohort = np.full(population.n, NEVER)
    cohort[in_group] = groups.wave[group[in_group]]
    leaves = (rngs["exits"].random(population.n) < parameters.exit_share) & (role == MEMBER)
    leaves &= cohort + parameters.exit_after <= years[-1]
    exit_year = np.where(leaves, cohort + parameters.exit_after, NEVER)
    known = np.where(population.is_new, np.nan, score)
    return Assignment(groups, role, group, cohort, exit_year, weak, known, cutoff)


def _mechanisms(rng: np.random.Generator, n_groups: int) -> FloatArray:
    """Five indices between 0.1 and 0.9 per group, correlated 0.5 on the normal scale."""
    from scipy.special import ndtr

    shared = rng.standard_normal((n_groups, 1))
    own = rng.standard_normal((n_groups, len(MECHANISMS)))
    return np.asarray(0.1 + 0.8 * ndtr(np.sqrt(0.5) * (shared + own)))


def travel_minutes(population: Population, assignment: Assignment) -> FloatArray:
    """Minutes from each school in a group to its core school; nan for others."""
    inside = assignment.group >= 0
    minutes = np.full(population.n, np.nan)
    spot = plane_km(population.lon, population.lat)
    core = assignment.groups.core[assignment.group[inside]]
    distance = np.linalg.norm(spot[inside] - spot[core], axis=1)
    pace = np.asarray(_MINUTES_PER_KM)[population.location[inside]]
    minutes[inside] = np.where(assignment.role[inside] == CORE, 0.0, np.round(5 + 1.3 * distance * pace, 1))
    return minutes
