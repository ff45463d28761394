"""Small panels with known truth, and the scenarios on which an estimator is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import numpy as np

from groupeffect._types import NEVER, AnyArray, Comparison, FloatArray
from groupeffect.design.baseline import BasePeriod, baseline_window
from groupeffect.design.design import Design, block_design, staggered_design
from groupeffect.panel.columns import Columns
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo

__all__ = [
    "EffectPath",
    "Scenario",
    "block_panel",
    "conditional_trend_panel",
    "constant_effect",
    "growing_effect",
    "main_scenario",
    "plain_design",
    "scenarios",
    "staggered_panel",
    "uneven_clusters",
]

EffectPath: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]
"""Effect as a function of cohort and event time (>= 0), outcome units."""

_COHORT_PATTERN = np.array([NEVER, 2003, 2005, NEVER, 2003, 2006, 2005, NEVER])
_FIRST = 2001.0


def constant_effect(cohort: FloatArray, event_time: FloatArray) -> FloatArray:
    """Return 0.5 for every treated unit-time."""
    return np.full(np.broadcast(cohort, event_time).shape, 0.5)


def growing_effect(cohort: FloatArray, event_time: FloatArray) -> FloatArray:
    """Effect that differs by cohort and grows with time since treatment."""
    return 0.3 + 0.1 * (cohort - _FIRST) + 0.2 * event_time


def staggered_panel(
    n_units: int = 48,
    *,
    noise: float = 1.0,
    effect: EffectPath = constant_effect,
    covariate: bool = False,
    weighted: bool = False,
    hole_share: float = 0.0,
    clusters: int | None = None,
) -> Panel:
    """Panel of units that join in 2003, 2005, 2006 or never, observed from 2001 to 2006.

    Parameters
    ----------
    n_units : int, default 48
        Units; 3 of 8 are never treated, 1 of 8 joins last.
    noise : float, default 1.0
        Standard deviation of the noise, outcome units; 0 gives unit effect + time effect + treatment effect exactly.
    effect : callable, default a constant effect of 0.5
        Effect by cohort and event time.
    covariate : bool, default False
        Add a covariate that varies over units and times, is higher among treated units and moves the outcome.
    weighted : bool, default False
        Unit weights between 0.5 and 2 instead of one.
    hole_share : float, default 0
        Share of outcomes that are not observed.
    clusters : int, optional
        Number of equal clusters in attribute ``"cluster"``; by default clusters of 1, 2, 3, ... units.

    Returns
    -------
    Panel
    """
    rng = np.random.default_rng(20030501)
    times = _FIRST + np.arange(6.0)
    adoption = np.resize(_COHORT_PATTERN, n_units)
    outcome = _unit_and_time(rng, n_units, len(times)) + noise * rng.normal(size=(n_units, len(times)))
    outcome += _effects(adoption, times, effect)
    x = rng.normal(size=(n_units, 1)) + 0.4 * np.isfinite(adoption)[:, None] + 0.5 * rng.normal(size=outcome.shape)
    if covariate:
        outcome = outcome + 0.3 * x * np.arange(len(times))
    weight = 2.0 ** rng.uniform(-1, 1, n_units) if weighted else np.ones(n_units)
    holes = rng.random(outcome.shape) < hole_share
    return Panel(
        np.where(holes, np.nan, outcome),
        np.arange(101, 101 + n_units),
        times=times,
        adoption=adoption,
        columns=_columns(covariate, weighted),
        unit_weight=weight,
        covariates=x[:, :, None] if covariate else np.empty((*outcome.shape, 0)),
        attributes={"cluster": _equal_clusters(n_units, clusters) if clusters else uneven_clusters(n_units)},
    )


def conditional_trend_panel(n_units: int = 24) -> Panel:
    """Noiseless panel in which trends are parallel only given a binary covariate at the base period.

    Half of the units join in 2004. The covariate changes from year to year; outcomes after 2003 grow by 1.5 a year
    where it was one in 2003, and treated units have it more often. The effect is 0.5. An estimator that takes the
    covariate at another time, or ignores it, misses the effect by a wide margin.

    Parameters
    ----------
    n_units : int, default 24
        Units; a multiple of 12.

    Returns
    -------
    Panel
    """
    rng = np.random.default_rng(4)
    times = _FIRST + np.arange(6.0)
    treated = np.arange(n_units) % 2 == 0
    adoption = np.where(treated, 2004.0, NEVER)
    rank = np.arange(n_units) // 2
    shifted = rank[:, None] + np.array([0, 2, 1, 3, 5, 4])[None, :]
    x = np.where(treated[:, None], shifted % 3 > 0, shifted % 3 == 0).astype(float)
    outcome = _unit_and_time(rng, n_units, len(times)) + 1.5 * x[:, 2:3] * np.maximum(times - 2003, 0)
    outcome += _effects(adoption, times, constant_effect)
    return Panel(
        outcome,
        np.arange(101, 101 + n_units),
        times=times,
        adoption=adoption,
        columns=_columns(covariate=True, weighted=False),
        covariates=x[:, :, None],
        attributes={"cluster": uneven_clusters(n_units)},
    )


def block_panel(
    n_donors: int = 14, n_treated: int = 3, *, noise: float = 0.3, effect: EffectPath = constant_effect
) -> Panel:
    """Panel of one block: units treated from 2009 on, and donors, observed from 2001 to 2012.

    Levels of the treated units lie within those of the donors, so that without noise a weighted mean of donors follows
    the treated path exactly.

    Parameters
    ----------
    n_donors, n_treated : int, default 14 and 3
        Units on either side.
    noise : float, default 0.3
        Standard deviation of the noise, outcome units.
    effect : callable, default a constant effect of 0.5
        Effect by cohort and event time.

    Returns
    -------
    Panel
    """
    rng = np.random.default_rng(1989)
    n_units, times = n_donors + n_treated, _FIRST + np.arange(12.0)
    treated = np.zeros(n_units, dtype=bool)
    treated[np.linspace(1, n_units - 2, n_treated).astype(int)] = True
    level = np.where(treated, rng.uniform(-0.5, 0.5, n_units), np.linspace(-2, 2, n_units))
    adoption = np.where(treated, 2009.0, NEVER)
    outcome = 5 + level[:, None] + np.sin(times / 2)[None, :] + _effects(adoption, times, effect)
    slope = rng.normal(size=(n_units, 1)) * np.linspace(-1, 1, len(times))
    return Panel(
        outcome + noise * (slope + rng.normal(size=outcome.shape)),
        np.arange(101, 101 + n_units),
        times=times,
        adoption=adoption,
        columns=_columns(covariate=False, weighted=False),
        attributes={"cluster": uneven_clusters(n_units)},
    )


def _unit_and_time(rng: np.random.Generator, n_units: int, n_times: int) -> FloatArray:
    return np.asarray(rng.normal(size=(n_units, 1)) + 0.2 * np.arange(n_times) + 0.3 * rng.normal(size=(1, n_times)))


def _effects(adoption: FloatArray, times: FloatArray, effect: EffectPath) -> FloatArray:
    elapsed = times[None, :] - adoption[:, None]
    cohort = np.broadcast_to(adoption[:, None], elapsed.shape)
    values = np.zeros(elapsed.shape)
    treated = elapsed >= 0
    values[treated] = effect(cohort[treated], elapsed[treated])
    return values


def _columns(covariate: bool, weighted: bool) -> Columns:
    return Columns(
        unit="unit",
        time="time",
        outcome="y",
        cohort="cohort",
        weight="weight" if weighted else None,
        covariates=("x",) if covariate else (),
        attributes=("cluster",),
    )


def _equal_clusters(n_units: int, number: int) -> AnyArray:
    return np.arange(n_units) * number // n_units


def uneven_clusters(n_units: int) -> AnyArray:
    """Labels of clusters with 1, 2, 3, ... units, shape (n,): sums and means over them differ a lot."""
    sizes = np.arange(1, n_units + 1)
    return np.repeat(sizes, sizes)[:n_units]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A panel and how to make the design on it (again after the panel was transformed).

    Parameters
    ----------
    name : str
        Name for reports.
    panel : Panel
        Data.
    make_design : callable
        Panel -> Design.
    """

    name: str
    panel: Panel
    make_design: Callable[[Panel], Design]

    @property
    def design(self) -> Design:
        """Design on the scenario's own panel."""
        return self.make_design(self.panel)


def plain_design(info: EstimatorInfo) -> Callable[[Panel], Design]:
    """How to make the simplest design that an estimator takes: staggered if it can, else one block."""
    return _staggered(info) if "staggered" in info.handles else _block


def _staggered(
    info: EstimatorInfo, *, anticipation: float = 0, universal: bool = False, window: bool = False
) -> Callable[[Panel], Design]:
    comparison: Comparison = "not_yet_treated" if "not_yet_treated" in info.handles else "never_treated"

    def make(panel: Panel) -> Design:
        base: BasePeriod = "universal" if universal else "varying"
        if window:
            base = baseline_window(panel.times[0], panel.times[1])
        return staggered_design(panel, comparison=comparison, anticipation=anticipation, base_period=base)

    return make


def _never_treated(panel: Panel) -> Design:
    return staggered_design(panel, comparison="never_treated")


def _block(panel: Panel) -> Design:
    """Block design from the panel's adoption times."""
    treated = np.isfinite(panel.adoption)
    return block_design(panel, treated=panel.unit_ids[treated].tolist(), start=float(panel.adoption[treated].min()))


def main_scenario(info: EstimatorInfo, *, noise: float = 1.0, effect: EffectPath = constant_effect) -> Scenario:
    """Plainest panel and design of an estimator; estimators of heterogeneity always get a covariate."""
    if "staggered" in info.handles:
        panel = staggered_panel(noise=noise, effect=effect, covariate=info.family == "hte" and noise > 0)
        return Scenario("plain", panel, plain_design(info))
    return Scenario("plain", block_panel(noise=0.3 * noise, effect=effect), _block)


@cache
def scenarios(info: EstimatorInfo) -> tuple[Scenario, ...]:
    """Noisy scenarios for everything an estimator says it handles.

    Parameters
    ----------
    info : EstimatorInfo
        Its ``handles`` choose the scenarios.

    Returns
    -------
    tuple of Scenario
        The first is the plain one.
    """
    plain = main_scenario(info)
    more = _staggered_scenarios if "staggered" in info.handles else _block_scenarios
    return (plain, *more(info, plain))


def _block_scenarios(info: EstimatorInfo, plain: Scenario) -> list[Scenario]:
    made = []
    if "anticipation" in info.handles:
        made.append(Scenario("anticipation", plain.panel, _block_with_anticipation))
    if "unit_weight" in info.handles:
        weight = np.linspace(0.5, 2, plain.panel.n_units)
        made.append(Scenario("weights", plain.panel.with_unit_weight(weight), _block))
    return made


def _staggered_scenarios(info: EstimatorInfo, plain: Scenario) -> list[Scenario]:
    with_x = "covariates" in info.handles
    made = {
        "never_treated": (plain.panel, _never_treated, {"never_treated", "not_yet_treated"}),
        "universal": (plain.panel, _staggered(info, universal=True), {"universal_base"}),
        "window": (plain.panel, _staggered(info, window=True), {"baseline_window"}),
        "anticipation": (plain.panel, _staggered(info, anticipation=1), {"anticipation"}),
        "covariates": (staggered_panel(covariate=True), _staggered(info), {"covariates"}),
        "covariates window": (
            staggered_panel(covariate=True),
            _staggered(info, window=True),
            {"covariates", "baseline_window"},
        ),
        "weights": (staggered_panel(weighted=True, covariate=with_x), _staggered(info), {"unit_weight"}),
        "holes": (staggered_panel(hole_share=0.06, covariate=with_x), _staggered(info), {"unbalanced"}),
    }
    return [Scenario(name, panel, make) for name, (panel, make, needs) in made.items() if needs <= info.handles]


def _block_with_anticipation(panel: Panel) -> Design:
    return replace(_block(panel), anticipation=1)
