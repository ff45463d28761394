"""Did members gain, did core schools lose? Each with its own comparison, on one panel."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from groupeffect._types import AnyArray, BoolArray, Comparison
from groupeffect.design.aggregation import by_event_time, overall
from groupeffect.design.baseline import BaselineWindow
from groupeffect.diagnostics.attrition import Attrition, attrition
from groupeffect.diagnostics.balance import BalanceRow, baseline_balance
from groupeffect.diagnostics.reliability import Reliability, reliability
from groupeffect.errors import DesignError, EstimationError, FewClustersWarning
from groupeffect.fitting import Fit, fit
from groupeffect.panel.panel import Panel
from groupeffect.protocols import Estimator
from groupeffect.reform.agreement import Agreement, compare_pools
from groupeffect.reform.bands import ClusterBand
from groupeffect.reform.noninferiority import NonInferiority, noninferiority
from groupeffect.reform.placebo import PreTrendReport, pre_trend_report
from groupeffect.reform.roles import (
    CorePool,
    MemberPool,
    Role,
    Roles,
    check_baseline,
    pre_designation_baseline,
)
from groupeffect.reform.spec import RoleSpec, prepare
from groupeffect.reform.support import SupportMap, support_map
from groupeffect.result import Result

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RoleEffect", "core_effect", "member_effect"]

MIN_GROUPS: Final = 5
"""Fewer school_groups with treated schools than this: no estimate."""

FEW_GROUPS: Final = 10
"""Fewer than this: an estimate with a warning, and a point off the certainty."""

MIN_RELIABILITY: Final = 0.4
"""Reliability of the baseline mean below which nothing is estimated."""


@dataclass(frozen=True, slots=True, repr=False)
class RoleEffect:
    """Effect of being in a school_group on schools of one role.

    Parameters
    ----------
    role : {"member", "core"}
    spec : RoleSpec
        The declared comparison.
    fit : Fit
        Cohort x time cells.
    event_study : Result
        Effects by time since joining, with pointwise intervals and a simultaneous band.
    overall : Result
        One effect over all identified school-years since joining.
    support : SupportMap
        Which effects the data can show.
    pre_trend : PreTrendReport
        Differences before schools were picked.
    balance : tuple of BalanceRow
        Baseline differences, the outcome first.
    attrition : Attrition
        Outcomes missing since joining.
    reliability : Reliability
        Of the outcome in the base period, over all schools.
    margin : float
        Difference that would not matter, outcome units: for the pre-trend and for harm.
    n_schools, n_groups, n_areas : int
        Treated schools behind the estimates, their school_groups, their areas (0 = not known).
    alternatives : tuple of RoleEffect
        The same question against other comparison pools.
    agreement : Agreement, optional
        Whether the first alternative tells the same story about the same schools.
    non_inferiority : NonInferiority, optional
        Verdict on harm; for core schools.
    notes : tuple of str
        What a reader must know.
    """

    role: Role
    spec: RoleSpec
    fit: Fit
    event_study: Result
    overall: Result
    support: SupportMap
    pre_trend: PreTrendReport
    balance: tuple[BalanceRow, ...]
    attrition: Attrition
    reliability: Reliability
    margin: float
    n_schools: int
    n_groups: int
    n_areas: int
    alternatives: tuple[RoleEffect, ...] = ()
    agreement: Agreement | None = None
    non_inferiority: NonInferiority | None = None
    notes: tuple[str, ...] = ()

    @property
    def pool(self) -> str:
        """Comparison pool."""
        return self.spec.pool

    @property
    def comparison(self) -> str:
        """Who is compared with whom, in words."""
        return self.spec.words

    @property
    def baseline(self) -> BaselineWindow:
        """Base period."""
        return self.spec.baseline

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

    @property
    def mde(self) -> float:
        """Smallest true effect found with a probability of 80 % at 5 %: 2.8 standard errors, outcome units."""
        return 2.8 * self.std_error

    @property
    def treated_ids(self) -> AnyArray:
        """Labels of the treated schools behind the estimates."""
        return np.asarray(self.fit.panel.unit_ids[_weights(self.fit).any(axis=1)])

    def used(self) -> pd.DataFrame:
        """Treated school-years behind the overall effect (``unit``, ``time``, ``cohort``), to look up a known truth."""
        import pandas as pd

        panel, cohort = self.fit.panel, self.fit.design.cohort
        rows, columns = np.nonzero(_weights(self.fit))
        return pd.DataFrame({"unit": panel.unit_ids[rows], "time": panel.times[columns], "cohort": cohort[rows]})

    def tidy(self) -> pd.DataFrame:
        """Event study and overall effect, here and of the alternatives, with ``role``, ``pool``, ``kind`` in front."""
        import pandas as pd

        parts = []
        for effect in (self, *self.alternatives):
            for kind, result in (("event_time", effect.event_study), ("overall", effect.overall)):
                part = result.tidy()
                part.insert(0, "kind", kind)
                part.insert(0, "pool", effect.pool)
                part.insert(0, "role", effect.role)
                parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def __repr__(self) -> str:
        low, high = self.interval
        lines = [
            f"{self.role} effect ({self.pool}): {self.estimate:+.4f}, {100 * self.overall.level:g} % interval "
            f"{low:+.4f} to {high:+.4f}; {self.n_schools} schools, {self.n_groups} school_groups",
            f"  {self.comparison}",
        ]
        if self.non_inferiority is not None:
            lines.append(f"  harm above {self.margin:g}: {self.non_inferiority.verdict}")
        lines += [
            f"  beside it ({other.pool}): {other.estimate:+.4f}, "
            f"interval {other.interval[0]:+.4f} to {other.interval[1]:+.4f}"
            for other in self.alternatives
        ]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def member_effect(
    panel: Panel,
    *,
    roles: Roles | None = None,
    baseline: BaselineWindow | None = None,
    comparison: Comparison = "not_yet_treated",
    pool: MemberPool = "weak",
    estimator: Estimator | None = None,
    by: str | None = "group_id",
    lo: float = -4,
    hi: float | None = None,
    anticipation: float | None = None,
    margin: float = 0.05,
    level: float = 0.95,
) -> RoleEffect:
    """Effect of joining a school_group on member schools.

    Core schools never serve as comparison. The default compares schools designated weak with schools designated weak
    that are not (yet) in a group, and reports next to it all members against all schools never in a group, which is
    more precise and rests on less alike schools. Common yearly shocks of the area are taken out by its schools never in
    a group (``Roles(area=None)`` turns that off).

    Parameters
    ----------
    panel : Panel
        Schools x years, with the attributes of `roles`; adoption is the first year in a group of members and cores.
    roles : Roles, optional
        Names of the attributes; the defaults of :class:`Roles`.
    baseline : BaselineWindow, optional
        Base period; by default all years before those whose scores were used to pick schools.
    comparison : {"not_yet_treated", "never_treated"}, default "not_yet_treated"
        Which schools of the pool compare at a given time. For pools of schools never in a group the two are the same.
    pool : {"weak", "all_never", "weak_vs_never"}, default "weak"
        ``"weak"``: weak members against weak schools; ``"all_never"``: all members against schools never in a group;
        ``"weak_vs_never"``: weak members against schools never in a group.
    estimator : Estimator, optional
        ``CallawaySantAnna(method="dr", unbalanced="pairs")`` by default, which adjusts for covariates of the panel.
    by : str or None, default "group_id"
        Cluster attribute. The default means: school_groups for schools inside, each school for itself outside.
        None = schools.
    lo, hi : float
        First and last time since joining in the event study, -4 and the last identified one by default.
    anticipation : float, optional
        Years before joining in which results may already move; schools that join within them do not compare. Default 1
        for the weak pool, whose schools all join sooner or later, and 0 for pools of schools never in a group.
    margin : float, default 0.05
        Difference that would not matter, outcome units.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    RoleEffect

    Raises
    ------
    NoPrePeriodError
        With fewer than two years before schools were picked.
    NoTreatedError, NoComparisonError
        If a side of the comparison is empty.
    BeyondSupportError
        If `hi` lies after the last event time with a comparison.
    DesignError
        With treated schools of fewer than five school_groups, or a reliability of the baseline mean below 0.4.
    """
    chosen = roles or Roles()
    window, source = _baseline(panel, chosen, baseline)
    never = pool in ("all_never", "weak_vs_never")
    ahead = anticipation if anticipation is not None else (0.0 if never else 1.0)
    prepared = prepare(panel, chosen, window)
    ask = _Ask(lo, hi, margin, level, (source,))
    spec = RoleSpec(
        role="member",
        pool=pool,
        baseline=window,
        comparison="never_treated" if never else comparison,
        anticipation=ahead,
        roles=chosen,
        by=_by(by, chosen),
        estimator=estimator or _default_estimator(),
    )
    main = _role_effect(prepared, spec, ask)
    if pool != "weak":
        return main
    wide = replace(spec, pool="all_never", comparison="never_treated", anticipation=0.0)
    same = replace(wide, pool="weak_vs_never")
    return _with_alternative(main, prepared, wide, same, replace(ask, hi=None))


def core_effect(
    panel: Panel,
    *,
    roles: Roles | None = None,
    baseline: BaselineWindow | None = None,
    comparison: Comparison = "not_yet_treated",
    pool: CorePool = "strong",
    estimator: Estimator | None = None,
    by: str | None = "group_id",
    lo: float = -4,
    hi: float | None = None,
    anticipation: float = 0,
    margin: float = 0.05,
    level: float = 0.95,
) -> RoleEffect:
    """Effect of leading a school_group on core schools, with a verdict on harm.

    Members never serve as comparison. The default compares with strong schools never in a group (see
    :func:`groupeffect.reform.strong_schools`) and with core schools of groups not yet founded, and reports next to it
    the latter alone.

    Parameters
    ----------
    panel, roles, baseline, comparison, estimator, by, lo, hi, level
        See :func:`member_effect`.
    pool : {"strong", "not_yet_core", "core_vs_never"}, default "strong"
        ``"core_vs_never"``: schools never in a group that were never designated weak.
    anticipation : float, default 0
        Years before founding in which results may already move; nobody is sent before a group exists.
    margin : float, default 0.05
        Largest accepted harm, outcome units, declared before outcomes are read.

    Returns
    -------
    RoleEffect
        With ``non_inferiority``.

    Raises
    ------
    NoPrePeriodError, NoTreatedError, NoComparisonError, BeyondSupportError, DesignError
        See :func:`member_effect`.
    """
    chosen = roles or Roles()
    window, source = _baseline(panel, chosen, baseline)
    prepared = prepare(panel, chosen, window)
    ask = _Ask(lo, hi, margin, level, (source,))
    spec = RoleSpec(
        role="core",
        pool=pool,
        baseline=window,
        comparison="never_treated" if pool == "core_vs_never" else comparison,
        anticipation=float(anticipation),
        roles=chosen,
        by=_by(by, chosen),
        estimator=estimator or _default_estimator(),
    )
    main = _role_effect(prepared, spec, ask)
    if pool != "strong":
        return main
    other = replace(spec, pool="not_yet_core", comparison="not_yet_treated")
    return _with_alternative(main, prepared, other, other, replace(ask, hi=None))


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is reported of a comparison."""

    lo: float
    hi: float | None
    margin: float
    level: float
    notes: tuple[str, ...] = ()


def _default_estimator() -> Estimator:
    from groupeffect.did.callaway_santanna import CallawaySantAnna

    return CallawaySantAnna(method="dr", unbalanced="pairs")


def _by(by: str | None, roles: Roles) -> str | None:
    """Take the default label for the school_group attribute, whatever its name."""
    return roles.school_group if by == "group_id" else by


def _baseline(panel: Panel, roles: Roles, declared: BaselineWindow | None) -> tuple[BaselineWindow, str]:
    if declared is None:
        return pre_designation_baseline(panel, roles)
    inside = panel.times[(panel.times >= declared.first) & (panel.times <= declared.last)]
    check_baseline(panel, inside, f"baseline {declared} as declared")
    return declared, f"baseline {declared} as declared"


def _role_effect(prepared: Panel, spec: RoleSpec, ask: _Ask) -> RoleEffect:
    design = spec.design(prepared)
    found = fit(spec.full_estimator(prepared), prepared, design)
    treated: BoolArray = np.asarray(_weights(found).any(axis=1))
    groups = _count(prepared, spec.roles.school_group, treated)
    notes = [*ask.notes, *_check_groups(groups, spec)]
    known = reliability(prepared.outcome[:, _window(prepared, spec.baseline)], _areas(prepared, spec.roles))
    _check_reliability(known)
    support = support_map(found, spec.pool)
    if support.horizon:
        notes.append(support.horizon)
    if spec.roles.area is not None and spec.roles.area not in prepared.attributes:
        notes.append(f"the panel has no attribute {spec.roles.area!r}: common shocks of areas are not taken out")
    event = found.aggregate(by_event_time(ask.lo, ask.hi))
    single = found.aggregate(overall()).infer(ClusterBand(spec.cluster), level=ask.level)
    return RoleEffect(
        role=spec.role,
        spec=spec,
        fit=found,
        event_study=event.infer(ClusterBand(spec.cluster), level=ask.level),
        overall=single,
        support=support,
        pre_trend=pre_trend_report(found, spec.baseline, spec.cluster, ask.margin),
        balance=baseline_balance(prepared, design, sd=1.0 if prepared.columns.outcome_unit == "sd" else None),
        attrition=attrition(prepared, design),
        reliability=known,
        margin=ask.margin,
        n_schools=int(treated.sum()),
        n_groups=groups,
        n_areas=0 if spec.roles.area is None else _count(prepared, spec.roles.area, treated),
        non_inferiority=noninferiority(single, ask.margin) if spec.role == "core" else None,
        notes=tuple(dict.fromkeys([*notes, *single.notes])),
    )


def _with_alternative(main: RoleEffect, prepared: Panel, other: RoleSpec, same: RoleSpec, ask: _Ask) -> RoleEffect:
    """Put another pool beside the main effect, and the difference of the two on the same schools and cells."""
    try:
        beside = _role_effect(prepared, other, ask)
        like = beside.fit if same == other else fit(same.full_estimator(prepared), prepared, same.design(prepared))
    except (DesignError, EstimationError) as error:
        text = f"the second comparison ({other.pool}) cannot be made: {error.message}"
        return replace(main, notes=(*main.notes, text))
    if _same_comparison(main.fit, like):
        text = f"the second comparison ({other.pool}) has the same schools on both sides as the first"
        return replace(main, notes=(*main.notes, text))
    agreement = compare_pools(main.fit, like, main.spec.cluster, ask.margin, ask.level)
    return replace(main, alternatives=(beside,), agreement=agreement)


def _same_comparison(first: Fit, second: Fit) -> bool:
    pairs = ((first.design.cohort, second.design.cohort), (first.design.comparison_pool, second.design.comparison_pool))
    return all(np.array_equal(one, other) for one, other in pairs)


def _weights(found: Fit) -> BoolArray:
    """Mark the treated school-years that carry weight in the overall effect, shape (n, T)."""
    panel, cohort, effects = found.panel, found.design.cohort, found.effects
    after = np.asarray(panel.times >= cohort[:, None])
    weights = found.aggregate(overall()).effects.weights
    if weights is not None:
        return np.asarray(after & (weights.dense()[0] > 0))
    known = effects.index.cohort[np.isfinite(effects.estimate) & (effects.index.time >= effects.index.cohort)]
    return np.asarray(after & np.isfinite(panel.outcome) & np.isin(cohort, known)[:, None])


def _window(panel: Panel, baseline: BaselineWindow) -> BoolArray:
    return np.asarray((panel.times >= baseline.first) & (panel.times <= baseline.last))


def _areas(panel: Panel, roles: Roles) -> AnyArray | None:
    return None if roles.area is None else panel.attributes.get(roles.area)


def _count(panel: Panel, name: str, mask: BoolArray) -> int:
    if name not in panel.attributes:
        return 0
    return len({str(value) for value in panel.attributes[name][mask].tolist()})


def _check_groups(groups: int, spec: RoleSpec) -> list[str]:
    if groups < MIN_GROUPS:
        raise DesignError(
            f"Only {groups} school_groups have {spec.role} schools whose effect can be estimated; {MIN_GROUPS} are "
            "needed for any statement about chance.",
            hint="Wait for more groups, use a pool with more support, or study single groups with a synthetic control.",
        )
    if groups >= FEW_GROUPS:
        return []
    text = f"only {groups} school_groups behind the {spec.role} effect: standard errors are probably too small"
    warnings.warn(text, FewClustersWarning, stacklevel=4)
    return [text]


def _check_reliability(known: Reliability) -> None:
    if known.window_mean < MIN_RELIABILITY:
        raise DesignError(
            f"The baseline mean has a reliability of {known.window_mean:.2f}: most of the differences between schools "
            "are noise of single years, so changes of schools cannot be told from luck.",
            hint="Use a longer baseline, larger units, or an outcome based on more pupils.",
        )
