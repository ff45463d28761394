"""The net effect of a school_group: core school and members together, pupils counted once each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.design.aggregation import by_event_time, overall
from groupeffect.design.design import Design
from groupeffect.effects.effects import EffectIndex, Effects
from groupeffect.effects.influence import Influence, Shares
from groupeffect.errors import DesignError, NoComparisonError, SpecError
from groupeffect.fitting import Fit
from groupeffect.panel.panel import Panel
from groupeffect.reform.bands import ClusterBand
from groupeffect.reform.effects import RoleEffect
from groupeffect.reform.roles import row_means
from groupeffect.reform.spec import RoleSpec
from groupeffect.registry import EstimatorInfo
from groupeffect.result import Result

__all__ = ["NetEffect", "NetEstimator", "NetWeight", "net_effect"]

NetWeight: TypeAlias = Literal["enrolment", "school"]


@dataclass(frozen=True, slots=True)
class NetEstimator:
    r"""Cells of the effect on core schools and members together.

    Parameters
    ----------
    member, core : RoleSpec
        The two comparisons; each role is compared with its own pool.
    weight : {"enrolment", "school"}
        Each pupil of the base period counts once, or each school.

    Notes
    -----
    A cell is :math:`\theta_{gt} = s_g \theta^m_{gt} + (1 - s_g) \theta^c_{gt}` with the members' share :math:`s_g` of
    the weight of cohort g. Its influence is
    :math:`s_g \psi^m + (1 - s_g)\psi^c + (\theta^m - \theta^c)\psi^{s_g}`, rows matched by unit: the covariance of the
    two effects (shared reference schools, shared groups) and the estimated shares are part of it. Only cells that both
    roles identify exist.
    """

    member: RoleSpec
    core: RoleSpec
    weight: NetWeight

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="NetEstimator",
        label="net effect of core and member schools",
        reference="callaway2021",
        family="did",
        provides=frozenset({"influence", "refit"}),
        handles=frozenset({"staggered", "unbalanced", "unit_weight", "baseline_window"}),
    )

    def estimate(self, panel: Panel, design: Design) -> Effects:  # noqa: ARG002 - each role makes its own design
        """Net cells; the design only names the units, each role makes its own.

        Raises
        ------
        NoComparisonError
            If no cell is identified for both roles.
        """
        weighted = panel
        if self.weight == "enrolment":
            weighted = panel.with_unit_weight(panel.unit_weight * pupils(panel, self.member))
        sides = [_side(spec, weighted) for spec in (self.member, self.core)]
        return _combine(sides[0], sides[1], weighted)


@dataclass(frozen=True, slots=True)
class _Side:
    """One role: its cells and who is treated in which cohort."""

    effects: Effects
    cohort: FloatArray

    def rows(self) -> dict[tuple[float, float], int]:
        index = self.effects.index
        known = np.isfinite(self.effects.estimate) & ~index.is_reference
        return {(float(index.cohort[j]), float(index.time[j])): int(j) for j in np.flatnonzero(known)}


def _side(spec: RoleSpec, panel: Panel) -> _Side:
    design = spec.design(panel)
    return _Side(spec.full_estimator(panel).estimate(panel, design), design.cohort)


def pupils(panel: Panel, spec: RoleSpec) -> FloatArray:
    """Mean number of pupils per school in the base period, shape (n,); later years where that is not known.

    Raises
    ------
    SpecError
        If the panel has no sizes, or a school none at all.
    """
    if panel.cell_size is None:
        raise SpecError(
            "The panel does not say how many pupils a school has.",
            hint='Read it with Columns(..., cell_size="enrol"), or use weight="school".',
        )
    window = (panel.times >= spec.baseline.first) & (panel.times <= spec.baseline.last)
    base, ever = row_means(panel.cell_size[:, window]), row_means(panel.cell_size)
    size = np.where(np.isfinite(base), base, ever)
    unknown = ~(size > 0)
    if unknown.any():
        examples = ", ".join(str(unit) for unit in panel.unit_ids[unknown][:3])
        raise SpecError(
            f"{int(unknown.sum())} schools have no number of pupils in any year (first: {examples}).",
            hint='Complete the enrolment column, or use weight="school".',
        )
    return size


def _combine(member: _Side, core: _Side, panel: Panel) -> Effects:
    here, there = member.rows(), core.rows()
    shared = sorted(set(here) & set(there))
    if not any(time >= g for g, time in shared):
        raise NoComparisonError(
            "No cohort and year is identified for both members and core schools.",
            hint="Report the two effects apart.",
        )
    cohorts = np.unique([g for g, _ in shared])
    shares = {float(g): _member_share(member, core, float(g), panel.unit_weight) for g in cohorts}
    ours, theirs = member.effects, core.effects
    assert ours.influence is not None
    assert theirs.influence is not None
    ids = panel.unit_ids
    on_member, on_core = ours.influence.aligned(ids), theirs.influence.aligned(ids)
    estimate, values = np.empty(len(shared)), np.empty((len(ids), len(shared)))
    for k, key in enumerate(shared):
        i, j = here[key], there[key]
        share, movement = shares[key[0]]
        gap = ours.estimate[i] - theirs.estimate[j]
        estimate[k] = share * ours.estimate[i] + (1 - share) * theirs.estimate[j]
        values[:, k] = share * on_member[:, i] + (1 - share) * on_core[:, j] + gap * movement
    rows, matches = [here[key] for key in shared], [there[key] for key in shared]
    cohort = np.minimum(member.cohort, core.cohort)
    position = np.minimum(np.searchsorted(cohorts, cohort), len(cohorts) - 1)
    index = EffectIndex.build(
        term="net",
        cohort=np.array([g for g, _ in shared]),
        time=np.array([time for _, time in shared]),
        event_time=np.array([time - g for g, time in shared]),
        n_treated=ours.index.n_treated[rows] + theirs.index.n_treated[matches],
        n_comparison=np.minimum(ours.index.n_comparison[rows], theirs.index.n_comparison[matches]),
    )
    return Effects(
        index,
        estimate,
        influence=Influence(values, ids),
        shares=Shares(cohorts, np.where(cohorts[position] == cohort, position, -1), panel.unit_weight),
        unidentified=(*ours.unidentified, *theirs.unidentified),
        notes=tuple(dict.fromkeys([*ours.notes, *theirs.notes])),
    )


def _member_share(member: _Side, core: _Side, g: float, weight: FloatArray) -> tuple[float, FloatArray]:
    """Members' share of the weight of a cohort, and its influence, shape (n,)."""
    inside: BoolArray = member.cohort == g
    total = float(weight[inside | (core.cohort == g)].sum())
    share = float(weight[inside].sum()) / total
    direction = np.where(inside, 1.0 - share, np.where(core.cohort == g, -share, 0.0))
    return share, len(weight) * weight * direction / total


@dataclass(frozen=True, slots=True, repr=False)
class NetEffect:
    """Effect of school_groups on all their schools together.

    Parameters
    ----------
    weight : {"enrolment", "school"}
        What `overall` and `event_study` count.
    overall : Result
        One effect over all school-years since joining that are identified for both roles.
    event_study : Result
        By time since joining.
    by_weight : mapping of str to Result
        ``overall`` with each weight that the panel allows, side by side.
    member_share : float
        Share of members in the weight of the groups.
    fit : Fit
        Cells.
    words : str
        What is counted, in words.
    notes : tuple of str
        What a reader must know.
    """

    weight: NetWeight
    overall: Result
    event_study: Result
    by_weight: dict[str, Result]
    member_share: float
    fit: Fit
    words: str
    notes: tuple[str, ...] = ()

    @property
    def estimate(self) -> float:
        """Overall effect, outcome units."""
        return float(self.overall.estimate[0])

    @property
    def std_error(self) -> float:
        """Standard error of the overall effect, outcome units."""
        error = self.overall.uncertainty.std_error
        assert error is not None
        return float(error[0])

    @property
    def interval(self) -> tuple[float, float]:
        """Pointwise interval of the overall effect, outcome units."""
        low, high = self.overall.uncertainty.interval[0]
        return float(low), float(high)

    def __repr__(self) -> str:
        lines = [f"net effect of school_groups, members {self.member_share:.0%} of the weight ({self.weight})"]
        for kind, result in self.by_weight.items():
            low, high = result.uncertainty.interval[0]
            lines.append(f"  per {kind}: {result.estimate[0]:+.4f}, interval {low:+.4f} to {high:+.4f}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def net_effect(member: RoleEffect, core: RoleEffect, *, weight: NetWeight = "enrolment") -> NetEffect:
    """Net effect of school_groups over their core schools and members.

    Parameters
    ----------
    member, core : RoleEffect
        From :func:`member_effect` and :func:`core_effect` on the same panel. If the member effect is about weak members
        only and has an alternative about all members, the alternative is used: a group has all its schools.
    weight : {"enrolment", "school"}, default "enrolment"
        Each pupil of the base period counts once, or each school.

    Returns
    -------
    NetEffect

    Raises
    ------
    DesignError
        If the two were estimated on different schools.
    SpecError
        With ``weight="enrolment"`` if the panel has no sizes.
    NoComparisonError
        If no cohort and year is identified for both.
    """
    if weight not in ("enrolment", "school"):
        raise SpecError(f"weight={weight!r} is unknown.", hint="Use 'enrolment' or 'school'.")
    whole = next((effect for effect in (member, *member.alternatives) if effect.pool == "all_never"), member)
    panel = whole.fit.panel
    if not np.array_equal(panel.unit_ids, core.fit.panel.unit_ids):
        raise DesignError("Member and core effects are about different schools.", hint="Estimate both on one panel.")
    level, cluster = whole.overall.level, whole.spec.cluster
    design = _joint_design(whole.fit.design, core.fit.design)
    fits: dict[str, Fit] = {}
    for kind in _weights(panel, weight):
        estimator = NetEstimator(whole.spec, core.spec, kind)
        fits[kind] = Fit(estimator, panel, design, estimator.estimate(panel, design))
    strategy = ClusterBand(cluster)
    single = {kind: found.aggregate(overall()).infer(strategy, level=level) for kind, found in fits.items()}
    main = fits[weight]
    notes = () if whole.pool == "all_never" else ("only members designated weak are counted among the members",)
    return NetEffect(
        weight=weight,
        overall=single[weight],
        event_study=main.aggregate(by_event_time(0)).infer(ClusterBand(cluster), level=level),
        by_weight=single,
        member_share=_overall_share(main, whole.fit.design, core.fit.design),
        fit=main,
        words=f"members: {whole.comparison}; core schools: {core.comparison}",
        notes=notes,
    )


def _weights(panel: Panel, asked: NetWeight) -> tuple[NetWeight, ...]:
    return ("school",) if panel.cell_size is None and asked == "school" else ("enrolment", "school")


def _joint_design(member: Design, core: Design) -> Design:
    """Everybody treated in either role, everybody who compares in either."""
    return replace(
        member,
        cohort=np.minimum(member.cohort, core.cohort),
        comparison_pool=member.comparison_pool | core.comparison_pool,
        notes=tuple(dict.fromkeys([*member.notes, *core.notes])),
    )


def _overall_share(net: Fit, member: Design, core: Design) -> float:
    shares = net.effects.shares
    assert shares is not None
    weight = np.where(shares.unit_cohort >= 0, shares.unit_weight, 0.0)
    inside, all_schools = np.isfinite(member.cohort), np.isfinite(member.cohort) | np.isfinite(core.cohort)
    return float(weight[inside].sum() / weight[all_schools].sum())
