"""Further aggregates of the truth: by subgroup, dose, group, neighbour, exit, money. All in the unit of the truth.

Every function says which school-years count and with which weight. "Pupils" is the fixed weight of a school
(`World.pupils`: mean enrolment before the designation years), so that an estimator can use the same unit weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from groupeffect._types import AnyArray, FloatArray
from groupeffect.errors import SpecError
from groupeffect.simulate.parameters import MECHANISMS, MODELS, SUBJECTS
from groupeffect.simulate.selection import MEMBER
from groupeffect.simulate.treatment import core_factor, dose_factor, mechanism_factor, member_multiplier
from groupeffect.simulate.truth import Truth

__all__ = [
    "att_by",
    "att_by_subject",
    "cost_effectiveness",
    "dose_curve",
    "exit_retention",
    "export_curve",
    "group_table",
    "net_effect",
    "optimal_targets",
    "regression_discontinuity",
    "ring_effect",
]

Attribute: TypeAlias = Literal["model", "stage", "location", "county_id", "remote", "weak", "compensated", "baseline"]


def att_by(truth: Truth, attribute: Attribute, role: str = "member") -> pd.DataFrame:
    """Effect since joining by subgroup of schools: the same cell weights as ``truth.overall`` within the subgroup.

    Parameters
    ----------
    truth : Truth
    attribute : {"model", "stage", "location", "county_id", "remote", "weak", "compensated", "baseline"}
        ``"remote"``: further from the core school than `remote_minutes`; ``"baseline"``: third of the true school
        effect among all schools.
    role : {"member", "core"}, default "member"

    Returns
    -------
    DataFrame
        ``attribute, level, estimate, n_treated``; levels without a treated school are left out.
    """
    values = _attribute(truth, attribute)
    rows = []
    for level in sorted({str(value) for value in values}):
        schools = truth.labels["school_id"][np.array([str(value) == level for value in values])]
        result = truth.overall(role, schools)
        if int(result["n_treated"].iloc[0]):
            rows.append((attribute, level, float(result["estimate"].iloc[0]), int(result["n_treated"].iloc[0])))
    return pd.DataFrame(rows, columns=["attribute", "level", "estimate", "n_treated"])


def _attribute(truth: Truth, attribute: Attribute) -> AnyArray:
    world = truth.world
    if attribute in ("model", "stage", "location", "county_id"):
        return truth.labels[attribute]
    if attribute == "remote":
        return np.asarray(np.nan_to_num(world.minutes) > world.parameters.remote_minutes)
    if attribute == "weak":
        return world.assignment.weak
    if attribute == "compensated":
        return world.staff.compensated
    if attribute == "baseline":
        third = np.searchsorted(np.quantile(world.base.standing, (1 / 3, 2 / 3)), world.base.standing)
        return np.asarray(("1 low", "2 middle", "3 high"), dtype=object)[third]
    raise SpecError(
        f"There is no attribute {attribute!r}.",
        hint="Use model, stage, location, county_id, remote, weak, compensated or baseline.",
    )


def att_by_subject(truth: Truth, role: str = "member") -> pd.DataFrame:
    """Effect since joining per subject, with the cell weights of ``truth.overall``.

    Returns
    -------
    DataFrame
        ``subject, estimate, n_treated``.
    """
    cells = truth.att_gt(role)
    used = truth.used(role) & (np.nan_to_num(truth.event_time, nan=-1.0) >= 0)
    load = _cell_load(truth, used, cells)
    values = [float((load * truth.tau_subject[:, :, k]).sum()) for k in range(len(SUBJECTS))]
    schools = int(used.any(axis=1).sum())
    return pd.DataFrame({"subject": list(SUBJECTS), "estimate": values, "n_treated": schools})


def _cell_load(truth: Truth, used: AnyArray, cells: pd.DataFrame) -> FloatArray:
    """Weight of every school-year in ``overall(over="cells")``; adds up to one."""
    load = np.zeros(used.shape)
    post = cells[cells["event_time"] >= 0]
    total = float(post["share"].sum())
    for cohort, time, share, count in zip(post["cohort"], post["time"], post["share"], post["n_treated"], strict=True):
        column = int(np.flatnonzero(truth.world.years == time)[0])
        mine = used[:, column] & (truth.world.assignment.cohort == cohort)
        load[mine, column] = share / total / count
    return load


def dose_curve(truth: Truth, doses: Sequence[float] | None = None, event_time: int = 3) -> pd.DataFrame:
    """Mean direct effect on members if all had the same dose, `event_time` years after joining.

    Every member of the panel counts once, at its own model, mechanism, stage, distance and standing; new ones too.

    Returns
    -------
    DataFrame
        ``dose, estimate, n``.
    """
    world, parameters = truth.world, truth.world.parameters
    grid = np.linspace(0.0, 0.4, 9) if doses is None else np.asarray(doses, dtype=float)
    member = world.assignment.role == MEMBER
    full = _undosed(truth, event_time) * np.nan_to_num(world.treatment.multiplier) * _direct_scale(truth)
    level = full[member].mean() if member.any() else float("nan")
    return pd.DataFrame({"dose": grid, "estimate": level * dose_factor(parameters, grid), "n": int(member.sum())})


def _undosed(truth: Truth, event_time: int) -> FloatArray:
    """Path and heterogeneity at an event time, without any multiplier, shape (n,), latent scale."""
    parameters = truth.world.parameters
    path = parameters.member_path[min(event_time, len(parameters.member_path) - 1)]
    peak = parameters.member_path[-1]
    growth = path / peak if peak else 0.0
    return np.asarray(path + parameters.baseline_heterogeneity * truth.world.base.standing * growth)


def _direct_scale(truth: Truth) -> FloatArray:
    """Return the unit of the truth per unit of a latent direct effect, at the last year, shape (n,)."""
    direct = truth.world.treatment.direct
    used = direct != 0.0
    ratio = np.divide(truth.direct, direct, out=np.full(direct.shape, np.nan), where=used)
    fallback = float(np.nanmean(ratio)) if used.any() else 1.0
    last = ratio[:, -1]
    return np.where(np.isnan(last), fallback, last)


def export_curve(truth: Truth, shares: Sequence[float] | None = None) -> pd.DataFrame:
    """Full effect on core schools (two years after joining or later) if all sent the same share of backbone teachers.

    Returns
    -------
    DataFrame
        ``export_share, compensated, estimate``: without and with compensation.
    """
    world, parameters = truth.world, truth.world.parameters
    grid = np.linspace(0.0, 0.4, 9) if shares is None else np.asarray(shares, dtype=float)
    core = world.assignment.groups.core
    scale = world.treatment.core_scale * (float(_direct_scale(truth)[core].mean()) if len(core) else 1.0)
    parts = []
    for paid in (False, True):
        value = core_factor(parameters, grid, np.full(len(grid), paid)) * scale
        parts.append(pd.DataFrame({"export_share": grid, "compensated": paid, "estimate": value}))
    return pd.concat(parts, ignore_index=True)


def net_effect(truth: Truth) -> pd.DataFrame:
    """Effect of a group as a whole: pupil-weighted mean over the school-years of its schools since joining.

    New schools are left out, as in ``truth.overall``. With pupils w and the school-years since joining,
    ``net = sum(w * tau) / sum(w)`` over members and core schools; `with_neighbours` adds the schools of the ring.

    Returns
    -------
    DataFrame
        ``term, time, estimate, pupils, n_treated``: terms ``net``, ``member``, ``core``, ``with_neighbours``; `time` is
        empty for all years together.
    """
    world = truth.world
    since = np.nan_to_num(truth.event_time, nan=-1.0) >= 0
    member, core = truth.used("member") & since, truth.used("core") & since
    ring = world.treatment.exposed & world.examined
    rows = []
    for term, used in (
        ("net", member | core),
        ("member", member),
        ("core", core),
        ("with_neighbours", member | core | ring),
    ):
        load = used * world.pupils[:, None]
        for time, part in [(None, load), *((int(y), load[:, [t]]) for t, y in enumerate(world.years))]:
            mass = float(part.sum())
            if mass > 0:
                value = truth.tau if time is None else truth.tau[:, [int(time - world.years[0])]]
                count = int((part > 0).any(axis=1).sum())
                rows.append((term, time, float((part * value).sum() / mass), mass, count))
    frame = pd.DataFrame(rows, columns=["term", "time", "estimate", "pupils", "n_treated"])
    return frame.astype({"time": "Int64"})


def ring_effect(truth: Truth) -> pd.DataFrame:
    """Mean effect over the exposed school-years (never in a group, a member of its stage within the ring).

    Returns
    -------
    DataFrame
        One row: ``term, estimate, n_exposed, n_never`` (schools).
    """
    exposed = truth.world.treatment.exposed & truth.world.examined
    value = float(truth.ring[exposed].mean()) if exposed.any() else float("nan")
    return pd.DataFrame(
        {
            "term": ["ring"],
            "estimate": [value],
            "n_exposed": [int(exposed.any(axis=1).sum())],
            "n_never": [int(truth.world.never_in_group.sum())],
        }
    )


def exit_retention(truth: Truth) -> pd.DataFrame:
    """Compute what members that left keep: mean direct effect by years since exit, and its share of the last inside.

    Returns
    -------
    DataFrame
        ``years_since_exit, estimate, before, retained, n``: school-years 0, 1, ... years after the exit year; `before`
        is the mean effect of the same schools in their last year inside.
    """
    world = truth.world
    leavers = np.flatnonzero(np.isfinite(world.assignment.exit))
    rows = []
    for gap in range(len(world.years)):
        column = (world.assignment.exit[leavers] + gap - world.years[0]).astype(np.int64)
        seen = column < len(world.years)
        schools, column = leavers[seen], column[seen]
        if not len(schools):
            break
        now = float(truth.direct[schools, column].mean())
        before = float(truth.direct[schools, column - gap - 1].mean())
        rows.append((gap, now, before, now / before if before else float("nan"), len(schools)))
    return pd.DataFrame(rows, columns=["years_since_exit", "estimate", "before", "retained", "n"])


def cost_effectiveness(truth: Truth, realised: FloatArray | None = None) -> pd.DataFrame:
    r"""Yuan per pupil for each 0.1 SD.

    The cost is planned spending per pupil and year of the model in each school-year inside a group (members); realised
    spending is that times the county's ratio. ``cost per 0.1 SD = sum(w * c) / sum(w * tau / 0.1)``, with pupils w and
    both sums over the members' school-years since joining; the net row adds the core schools' effect to the second sum.

    Parameters
    ----------
    truth : Truth
    realised : ndarray of shape (n_counties,), optional
        Realised / planned spending; one by default.

    Returns
    -------
    DataFrame
        ``term, spending, cost_per_pupil_year, effect, cost_per_tenth_sd``: all members, each model, and the net.
    """
    world = truth.world
    ratio = np.ones(world.population.n_counties) if realised is None else realised
    since = np.nan_to_num(truth.event_time, nan=-1.0) >= 0
    member, core = truth.used("member") & since, truth.used("core") & since
    model = world.assignment.groups.model[world.assignment.group]
    price = np.asarray(world.parameters.cost_per_pupil)[model][:, None] * world.treatment.inside
    rows = []
    for spending, factor in (("planned", np.ones(world.population.n)), ("realised", ratio[world.population.county])):
        selections = [("member", member)]
        selections += [(name, member & (model == code)[:, None]) for code, name in enumerate(MODELS)]
        for term, used in [*selections, ("net", member)]:
            load = used * world.pupils[:, None]
            gain_load = (used | core) * world.pupils[:, None] if term == "net" else load
            if not load.any():
                continue
            cost = float((load * price * factor[:, None]).sum())
            gain = float((gain_load * truth.tau).sum())
            tenth = cost / (gain / 0.1) if gain else float("nan")
            rows.append((term, spending, cost / load.sum(), gain / gain_load.sum(), tenth))
    return pd.DataFrame(rows, columns=["term", "spending", "cost_per_pupil_year", "effect", "cost_per_tenth_sd"])


def optimal_targets(truth: Truth, budget: float, event_time: int = 3) -> pd.DataFrame:
    """Which schools to admit under a yearly budget, if true effects were known.

    Candidates are all established schools that are no core school. Each would run its county's model at the reference
    dose and average mechanisms, near its core school unless its true distance is known. Schools are ranked by effect
    per yuan and taken until the budget is spent: the best choice up to the last school (a divisible knapsack).
    Schools that would lose are never taken.

    Parameters
    ----------
    truth : Truth
    budget : float
        Yuan per year.
    event_time : int, default 3
        Years after joining at which the effect is valued.

    Returns
    -------
    DataFrame
        ``school_id, effect, pupils, cost, pupil_sd, cumulative_cost, chosen``, best first; the value of a choice is the
        sum of ``pupil_sd = effect * pupils``.
    """
    world, parameters = truth.world, truth.world.parameters
    models = _county_models(truth)[world.population.county]
    factor = member_multiplier(
        parameters,
        world.population,
        model=models,
        mechanism=np.full((world.population.n, len(MECHANISMS)), 0.5),
        minutes=world.minutes,
    )
    effect = _undosed(truth, event_time) * factor * _direct_scale(truth)
    cost = np.asarray(parameters.cost_per_pupil)[models] * world.pupils
    candidate = ~world.population.is_new & (truth.labels["role"] != "core")
    order = np.flatnonzero(candidate)
    order = order[np.argsort(-(effect * world.pupils / cost)[order], kind="stable")]
    running = np.cumsum(cost[order])
    return pd.DataFrame(
        {
            "school_id": truth.labels["school_id"][order],
            "effect": effect[order],
            "pupils": world.pupils[order],
            "cost": cost[order],
            "pupil_sd": (effect * world.pupils)[order],
            "cumulative_cost": running,
            "chosen": (running <= budget) & (effect[order] > 0),
        }
    )


def _county_models(truth: Truth) -> AnyArray:
    """Model that each county runs; loose where it has no group."""
    groups = truth.world.assignment.groups
    models = np.full(truth.world.population.n_counties, len(MODELS) - 1)
    models[groups.county] = groups.model
    return models


def regression_discontinuity(truth: Truth, bandwidth: float = 0.10, event_time: int = 0) -> pd.DataFrame:
    """Effect at the designation cut-off (selection "cutoff"): members just below it, triangular kernel.

    Parameters
    ----------
    truth : Truth
    bandwidth : float, default 0.10
        Distance below the cut-off, in the unit of the score the designation looked at (latent pupil SD).
    event_time : int, default 0
        Years since joining.

    Returns
    -------
    DataFrame
        ``stage, cutoff, estimate, n``; stages without a member within the bandwidth are left out.
    """
    world = truth.world
    assignment = world.assignment
    below = assignment.cutoff[world.population.stage] - assignment.score
    kernel = np.where((below >= 0) & (below < bandwidth), 1 - below / bandwidth, 0.0)
    rows = []
    for code, name in enumerate(("primary", "junior", "nine_year")):
        column = assignment.cohort + event_time - world.years[0]
        near = (kernel > 0) & assignment.weak & (assignment.role == MEMBER) & (world.population.stage == code)
        near &= column < len(world.years)
        if near.any():
            value = truth.tau[np.flatnonzero(near), column[near].astype(np.int64)]
            rows.append(
                (name, assignment.cutoff[code], float(np.average(value, weights=kernel[near])), int(near.sum()))
            )
    return pd.DataFrame(rows, columns=["stage", "cutoff", "estimate", "n"])


def group_table(truth: Truth) -> pd.DataFrame:
    """School groups: founding year, model, size, true mechanism indices, and mean effect on members since joining.

    Returns
    -------
    DataFrame
        ``group_id, county_id, core_id, wave, model, n_members, mech_org, mech_comm, mech_inc, mech_share, mech_exit,
        mechanism_factor, member_effect, core_effect``; school-years since joining count equally.
    """
    world = truth.world
    groups, group = world.assignment.groups, world.assignment.group
    counties = {int(code): name for code, name in zip(world.population.county, truth.labels["county_id"], strict=True)}
    since = np.nan_to_num(truth.event_time, nan=-1.0) >= 0
    frame = pd.DataFrame(
        {
            "group_id": truth.labels["group_id"][groups.core],
            "county_id": [counties[int(code)] for code in groups.county],
            "core_id": truth.labels["school_id"][groups.core],
            "wave": groups.wave,
            "model": truth.labels["model"][groups.core],
        }
    )
    member = world.assignment.role == MEMBER
    frame["n_members"] = np.bincount(group[member], minlength=groups.n)
    for k, name in enumerate(MECHANISMS):
        frame[f"mech_{name}"] = groups.mechanism[:, k]
    frame["mechanism_factor"] = mechanism_factor(world.parameters, groups.mechanism)
    for term, used in (
        ("member", truth.used("member", include_new=True) & since),
        ("core", truth.used("core") & since),
    ):
        rows = np.flatnonzero(used.any(axis=1))
        count = np.bincount(group[rows], weights=used[rows].sum(axis=1), minlength=groups.n)
        total = np.bincount(group[rows], weights=(used * truth.tau)[rows].sum(axis=1), minlength=groups.n)
        frame[f"{term}_effect"] = np.divide(total, count, out=np.full(groups.n, np.nan), where=count > 0)
    return frame
