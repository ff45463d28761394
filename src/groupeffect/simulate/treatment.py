r"""What the reform does to scores, school by school and year by year.

The effect of membership on a member, ``e`` years after joining, is

.. math:: \tau = \bigl(p(e) + h z \, p(e)/p_{max}\bigr) \cdot m_{model} \cdot m_{mechanism} \cdot m_{stage} \cdot
   m_{remote} \cdot (0.5 + 0.5\sqrt{d/d_0}),

with the true standing z in school SD, the heterogeneity h, and the dose d. Core schools lose
``slope * max(0, export - threshold) * min(1, (e + 1)/2) * (1 - compensation * compensated)``.
After an exit a member keeps `retention` of its last effect inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.simulate.components import Streams
from groupeffect.simulate.parameters import Parameters
from groupeffect.simulate.population import Population, plane_km
from groupeffect.simulate.selection import CORE, MEMBER, NONE, Assignment
from groupeffect.simulate.staff import Staff

__all__ = ["Treatment", "core_factor", "dose_factor", "draw_treatment", "member_multiplier", "path_value"]


@dataclass(frozen=True, slots=True)
class Treatment:
    """True effects on the latent pupil-SD scale; all arrays have shape (n, T) unless said otherwise.

    Parameters
    ----------
    direct : ndarray
        Effect on learning, averaged over subjects (the subject multipliers have mean one).
    intake : ndarray
        Effect through a changed intake.
    ring : ndarray
        Effect of member neighbours on schools never in a group.
    inside : ndarray of bool
        In its group in that year.
    exposed : ndarray of bool
        Never in a group, with a member of its stage within `ring_km`.
    prior_shift, disadvantage_shift : ndarray
        Change of intake attainment (SD) and of the disadvantaged share.
    satisfaction : ndarray
        Effect on satisfaction, points.
    export : ndarray
        Export share of core schools.
    dose : ndarray
        Dose of members.
    multiplier : ndarray of shape (n,)
        Product of all multipliers of a member effect except the dose; nan for schools that are not members.
    core_scale : float
        Factor on core effects that brings their mean to `Parameters.core_mean`; one without that target.
    """

    direct: FloatArray
    intake: FloatArray
    ring: FloatArray
    inside: BoolArray
    exposed: BoolArray
    prior_shift: FloatArray
    disadvantage_shift: FloatArray
    satisfaction: FloatArray
    export: FloatArray
    dose: FloatArray
    multiplier: FloatArray
    core_scale: float

    @property
    def total(self) -> FloatArray:
        """Whole effect on the school mean, averaged over subjects."""
        return np.asarray(self.direct + self.intake + self.ring)


def path_value(path: tuple[float, ...], event_time: FloatArray) -> FloatArray:
    """Value of a path at event times; zero before joining, the last value after the end."""
    known = np.isfinite(event_time) & (event_time >= 0)
    step = np.clip(np.where(known, event_time, 0), 0, len(path) - 1).astype(np.int64)
    return np.where(known, np.asarray(path, dtype=float)[step], 0.0)


def dose_factor(parameters: Parameters, dose: FloatArray) -> FloatArray:
    """Factor of the member effect at a dose; one at the reference dose."""
    return np.asarray(0.5 + 0.5 * np.sqrt(dose / parameters.dose_reference))


def core_factor(parameters: Parameters, export: FloatArray, compensated: BoolArray) -> FloatArray:
    """Full core effect at an export share, before the ramp over the first two years."""
    loss = parameters.core_slope * np.maximum(0.0, export - parameters.core_threshold)
    return np.asarray(0.0 - loss * (1 - parameters.core_compensation * compensated))


def mechanism_factor(parameters: Parameters, mechanism: FloatArray) -> FloatArray:
    """Factor of the member effect from the five indices of the group; one on average."""
    return np.asarray(0.5 + mechanism @ np.asarray(parameters.mechanism_loading))


def member_multiplier(
    parameters: Parameters,
    population: Population,
    *,
    model: IntArray,
    mechanism: FloatArray,
    minutes: FloatArray,
) -> FloatArray:
    """Product of the multipliers of a member effect except the dose, shape (n,).

    Parameters
    ----------
    parameters : Parameters
    population : Population
    model : ndarray of shape (n,)
        Code of the model.
    mechanism : ndarray of shape (n, 5)
        Indices of the group.
    minutes : ndarray of shape (n,)
        Travel time to the core school; nan counts as near.
    """
    remote = np.where(np.nan_to_num(minutes) > parameters.remote_minutes, parameters.remote_multiplier, 1.0)
    factor = np.asarray(parameters.model_multiplier)[model] * np.asarray(parameters.stage_multiplier)[population.stage]
    return np.asarray(factor * mechanism_factor(parameters, mechanism) * remote)


def draw_treatment(
    parameters: Parameters,
    population: Population,
    assignment: Assignment,
    staff: Staff,
    *,
    standing: FloatArray,
    minutes: FloatArray,
    years: IntArray,
    rngs: Streams,
) -> Treatment:
    """Compute the true effects of the reform."""
    event = np.where(np.isfinite(assignment.cohort)[:, None], years - assignment.cohort[:, None], -np.inf)
    inside = (event >= 0) & (years < assignment.exit[:, None])
    member, core = assignment.role == MEMBER, assignment.role == CORE
    # years inside: after an exit the effect is frozen at its last year inside and then fades
    stay = np.full(population.n, np.inf)
    stay[member] = assignment.exit[member] - assignment.cohort[member] - 1
    frozen = np.minimum(event, stay[:, None])
    kept = _retention(parameters, assignment, years) * member[:, None]

    multiplier = _actual_multiplier(parameters, population, assignment, minutes)
    path = path_value(parameters.member_path, frozen)
    peak = parameters.member_path[-1]
    growth = path / peak if peak else np.zeros_like(path)
    member_effect = (path + parameters.baseline_heterogeneity * standing[:, None] * growth) * kept
    member_effect = member_effect * (np.nan_to_num(multiplier) * dose_factor(parameters, staff.dose))[:, None]
    member_effect = member_effect + _anticipation(parameters, event, member & ~population.is_new, rngs["anticipation"])

    export = np.zeros(event.shape)
    sent = _sent_by_core(assignment, staff, inside & member[:, None])
    export[assignment.groups.core] = sent / staff.backbone[assignment.groups.core][:, None]
    ramp = np.clip((event + 1) / 2, 0.0, 1.0) * core[:, None]
    core_effect = core_factor(parameters, export, staff.compensated[:, None]) * ramp
    core_effect, core_scale = _core_target(parameters, core_effect, core[:, None] & (event >= 0))

    length = np.maximum(frozen, 0.0) * member[:, None] * (event >= 0)
    prior_shift, share_shift = parameters.intake_prior * length, parameters.intake_disadvantage * length
    intake = parameters.beta_prior * prior_shift + parameters.beta_disadvantage * share_shift
    exposed = _exposed(parameters, population, assignment, years)
    satisfaction = parameters.satisfaction_member * kept * (event >= 0) + parameters.satisfaction_core * 10 * export
    return Treatment(
        direct=member_effect + core_effect,
        intake=intake,
        ring=np.asarray(parameters.ring_effect * exposed, dtype=float),
        inside=inside,
        exposed=exposed,
        prior_shift=prior_shift,
        disadvantage_shift=share_shift,
        satisfaction=np.asarray(satisfaction),
        export=export,
        dose=staff.dose[:, None] * (inside & member[:, None]),
        multiplier=multiplier,
        core_scale=core_scale,
    )


def _actual_multiplier(
    parameters: Parameters, population: Population, assignment: Assignment, minutes: FloatArray
) -> FloatArray:
    member = assignment.role == MEMBER
    if not assignment.groups.n:
        return np.full(population.n, np.nan)
    model, mechanism = assignment.groups.model[assignment.group], assignment.groups.mechanism[assignment.group]
    factor = member_multiplier(parameters, population, model=model, mechanism=mechanism, minutes=minutes)
    return np.where(member, factor, np.nan)


def _retention(parameters: Parameters, assignment: Assignment, years: IntArray) -> FloatArray:
    """Share of the last effect inside that is left: one inside, `retention` 0, 1, ... years after the exit year."""
    gone = years - assignment.exit[:, None]
    out = gone >= 0
    step = np.clip(np.where(out, gone, 0), 0, len(parameters.retention) - 1).astype(np.int64)
    return np.where(out, np.asarray(parameters.retention)[step], 1.0)


def _anticipation(parameters: Parameters, event: FloatArray, member: BoolArray, rng: np.random.Generator) -> FloatArray:
    early = member & (rng.random(len(member)) < parameters.anticipation_share)
    effect = np.zeros(event.shape)
    for lead, value in enumerate(parameters.anticipation, start=1):
        effect += value * ((event == -lead) & early[:, None])
    return effect


def _sent_by_core(assignment: Assignment, staff: Staff, receiving: AnyArray) -> FloatArray:
    total = np.zeros((assignment.groups.n, receiving.shape[1]))
    inside = assignment.group >= 0
    np.add.at(total, assignment.group[inside], (staff.received[:, None] * receiving)[inside])
    return total


def _core_target(parameters: Parameters, effect: FloatArray, post: BoolArray) -> tuple[FloatArray, float]:
    """Rescale core effects to the mean asked for, over all core school-years since joining."""
    if parameters.core_mean is None or not post.any():
        return effect, 1.0
    mean = float(effect[post].mean())
    if mean == 0.0:
        return np.where(post, parameters.core_mean, effect), 1.0
    scale = parameters.core_mean / mean
    return effect * scale, scale


def _exposed(parameters: Parameters, population: Population, assignment: Assignment, years: IntArray) -> BoolArray:
    """Schools never in a group with a member of an overlapping stage within the ring, by year."""
    from scipy.spatial import KDTree

    spot = plane_km(population.lon, population.lat)
    never = assignment.role == NONE
    exposed = np.zeros((population.n, len(years)), dtype=bool)
    for junior in (False, True):
        teaches = (population.stage != 0) if junior else (population.stage != 1)
        outside = np.flatnonzero(never & teaches)
        for year in np.unique(assignment.cohort[np.isfinite(assignment.cohort)]):
            joined = teaches & (assignment.role == MEMBER) & (assignment.cohort == year)
            if not joined.any() or not len(outside):
                continue
            near = np.isfinite(KDTree(spot[joined]).query(spot[outside], distance_upper_bound=parameters.ring_km)[0])
            exposed[outside[near]] |= years >= year
    return exposed
