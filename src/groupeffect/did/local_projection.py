"""Local projections difference-in-differences of Dube, Girardi, Jorda and Taylor (2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.design import Design
from groupeffect.did._projection import Projection, Stack, project
from groupeffect.did._requests import refuse_exits, refuse_window
from groupeffect.effects.effects import EffectIndex, Effects, ImpliedWeights, Unidentified
from groupeffect.effects.influence import Influence
from groupeffect.errors import NoComparisonError, SpecError
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register, staggered_features

__all__ = ["LocalProjection"]

PreMean: TypeAlias = int | Literal["all"]


@register
@dataclass(frozen=True, slots=True)
class LocalProjection:
    r"""Effects by time since joining, each from its own regression on newly treated and clean units.

    For each horizon the change of the outcome since the time before joining is regressed on joining, with an effect of
    each date, among units that join at the date and units untreated until the outcome is taken.

    Parameters
    ----------
    weighting : {"variance", "equal"}, default "variance"
        How cohorts are averaged at a horizon. ``"variance"``: as least squares does, by the variance of treatment at
        the date; all weights are positive, but they are not the cohorts' shares. ``"equal"``: each treated unit counts
        once (with its weight), the average effect on the treated.
    kind : {"event_study", "pooled"}, default "event_study"
        A row for each horizon, or one regression of the mean outcome over all horizons from 0 on.
    window : tuple of (int, int), optional
        First and last horizon. By default all that can be estimated; for ``kind="pooled"`` and
        ``composition="fixed"`` up to the last horizon at which every cohort is observed.
    pre_mean : int or "all", default 1
        Number of times before joining (before anticipation) whose mean outcome is the base, or all of them. Units in
        which one of them is not observed take no part at that date.
    composition : {"changing", "fixed"}, default "changing"
        ``"fixed"``: the same units at all horizons, cohorts that are observed until the last horizon and comparison
        units that stay untreated until then.
    covariates : {"base", "none"}, default "base"
        The panel's covariates at the last base time as linear controls, with a slope at each horizon that is common to
        all dates; or none.
    convention : {"clean", "lpdid"}, default "clean"
        ``"lpdid"`` is for comparison with the R package of that name (0.6.1); see the notes.

    Notes
    -----
    Rows are means over cohorts from one regression, so there are no cells to aggregate: use ``kind="pooled"`` for one
    number. Without covariates equal weighting is ``ge.by_event_time()`` of `CallawaySantAnna` in a balanced panel.

    The influence is the exact derivative in the unit weights, the weights of the dates included; ``ClusterRobust()``
    makes no small-sample correction. With ``convention="lpdid"``: the influence of each row is scaled by the square
    root of the small-sample factor of its regression with units as clusters, for ``ClusterRobust(correction="none")``,
    and the weights of dates are taken as known; dates at which nobody joins stay in regressions (they matter for the
    slopes of covariates and for that factor); pooled regressions compare with units that are untreated at the date but
    may join before the last horizon, which contaminates the comparison; and ``composition="fixed"`` drops cohorts whose
    last horizon is the last time.

    ``base_period`` makes no difference, since the base is the time before joining; with anticipation it moves back and
    comparison units join later. Baseline windows and units that leave treatment are refused.

    References
    ----------
    .. [1] Dube, A., Girardi, D., Jorda, O. and Taylor, A. M. (2025). A local projections approach to
       difference-in-differences. Journal of Applied Econometrics 40, 741-758.
    """

    weighting: Literal["variance", "equal"] = "variance"
    kind: Literal["event_study", "pooled"] = "event_study"
    window: tuple[int, int] | None = None
    pre_mean: PreMean = 1
    composition: Literal["changing", "fixed"] = "changing"
    covariates: Literal["base", "none"] = "base"
    convention: Literal["clean", "lpdid"] = "clean"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="LocalProjection",
        label="Local projections (LP-DiD)",
        reference="dube2025",
        family="did",
        provides=frozenset({"influence", "refit", "weights"}),
        handles=staggered_features("block", "covariates"),
        unbiased_under=("constant_effects", "parallel_trends", "covariate_trends", "anticipation", "unbalanced"),
        exact_tol=1e-9,
    )

    def __post_init__(self) -> None:
        choices = {
            "weighting": ("variance", "equal"),
            "kind": ("event_study", "pooled"),
            "composition": ("changing", "fixed"),
            "covariates": ("base", "none"),
            "convention": ("clean", "lpdid"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise SpecError(f"{name}={getattr(self, name)!r} is unknown.", hint=f"Use one of {', '.join(known)}.")
        length = str(self.pre_mean)
        if length != "all" and (not length.isdigit() or length == "0"):
            raise SpecError(f"pre_mean={self.pre_mean!r} is not a number of times.", hint="Use 1, 2, ... or 'all'.")
        if self.window is not None:
            given: tuple[int, ...] = tuple(self.window)  # a specification file gives a list
            if len(given) != 2 or given[0] > given[1] or given[1] < 0:
                raise SpecError(f"window={self.window!r} is no range around joining.", hint="Use, say, (-3, 3).")
            object.__setattr__(self, "window", given)

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Coefficients of joining; see the class.

        Raises
        ------
        NoComparisonError
            If no horizon from 0 on has newly treated and clean units.
        DesignError
            If the design has a baseline window, or treated units leave treatment.
        SingularDesignError
            If covariates are collinear, or explain joining.
        """
        setup = _setup(self, panel, design)
        rows = list(_rows(self, panel, setup))
        if not any(row.horizon >= 0 for row in rows):
            raise NoComparisonError(
                "No horizon from 0 on has newly treated units and units untreated until then.",
                hint="Widen the comparison pool, shorten the window, or use composition='changing'.",
            )
        lpdid = self.convention == "lpdid"
        scale = np.array([np.sqrt(row.fit.small_sample) if lpdid else 1.0 for row in rows])
        single = self.kind == "pooled"
        reference = np.array([row.reference for row in rows])
        values = panel.n_units * np.column_stack([row.fit.score for row in rows]) * scale
        estimate = np.array([row.fit.coefficient for row in rows])
        values[:, reference], estimate[reference] = 0.0, 0.0
        lost = _unidentified(setup, rows)
        return Effects(
            EffectIndex.build(
                term="att",
                event_time=None if single else np.array([row.horizon for row in rows]),
                n_treated=np.array([row.fit.n_treated for row in rows]),
                n_comparison=np.array([row.fit.n_comparison for row in rows]),
                is_reference=reference,
            ),
            estimate,
            influence=Influence(values, panel.unit_ids),
            weights=ImpliedWeights(partial(_implied_weights, self, panel, design)),
            unidentified=lost,
            notes=_notes(self, panel, setup, lost),
        )


@dataclass(frozen=True, slots=True)
class _Setup:
    """What all horizons share.

    Parameters
    ----------
    dates : ndarray of shape (E,)
        Times at which units (may) join.
    base_weight : ndarray of shape (n, E, T)
        Weights of the base times of each unit-date; zero where the base is not observed.
    base : ndarray of shape (n, E)
        Base outcome; nan where it is not observed.
    last_base : ndarray of int, shape (E,)
        Last base time.
    cohort, pool : ndarray of shape (n,)
        First treated time, and whether the unit may be compared with.
    covariates : ndarray of shape (n, E, p)
        Covariates at the last base time.
    """

    dates: FloatArray
    base_weight: FloatArray
    base: FloatArray
    last_base: IntArray
    times: FloatArray
    cohort: FloatArray
    pool: BoolArray
    anticipation: float
    window: tuple[float, float]
    covariates: FloatArray


@dataclass(frozen=True, slots=True)
class _Row:
    horizon: float
    fit: Projection
    stack: Stack
    target: FloatArray  # (E, T): weights of the times whose outcome is taken
    reference: bool


def _setup(estimator: LocalProjection, panel: Panel, design: Design) -> _Setup:
    name = estimator.info.name
    refuse_window(name, design, "the time before joining")
    refuse_exits(name, panel, design, design.treated() | design.comparison_pool)
    dates = np.unique(design.cohort[design.treated()])
    if estimator.convention == "lpdid":
        dates = np.union1d(dates, panel.times)
    length = 1 if estimator.pre_mean == "all" else estimator.pre_mean
    before = [np.flatnonzero(panel.times + design.anticipation < g) for g in dates]
    kept = [j for j, positions in enumerate(before) if len(positions) >= length]
    dates, before = dates[kept], [before[j] for j in kept]
    observed = np.isfinite(panel.outcome)
    outcome = np.where(observed, panel.outcome, 0.0)
    base_weight = np.zeros((panel.n_units, len(dates), panel.n_times))
    for j, positions in enumerate(before):
        chosen = positions if estimator.pre_mean == "all" else positions[-length:]
        seen = observed[:, chosen].astype(float)
        seen *= seen.all(axis=1, keepdims=True)
        base_weight[:, j, chosen] = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1.0)
    base = np.einsum("net,nt->ne", base_weight, outcome)
    base[base_weight.sum(axis=2) == 0] = np.nan
    last_base = np.array([positions[-1] for positions in before], dtype=np.int64)
    pool = design.comparison_pool & (np.isinf(design.cohort) | (design.comparison == "not_yet_treated"))
    p = panel.covariates.shape[2] if estimator.covariates == "base" else 0
    return _Setup(
        dates,
        base_weight,
        base,
        last_base,
        panel.times,
        design.cohort,
        pool,
        design.anticipation,
        _window(estimator, dates[np.isin(dates, design.cohorts)], panel.times),
        panel.covariates[:, last_base, :p],
    )


def _window(estimator: LocalProjection, cohorts: FloatArray, times: FloatArray) -> tuple[float, float]:
    if estimator.window is not None:
        return float(estimator.window[0]), float(estimator.window[1])
    if estimator.kind == "pooled" or estimator.composition == "fixed":
        return -np.inf, float(times[-1] - cohorts.max()) if len(cohorts) else 0.0
    return -np.inf, np.inf


def _rows(estimator: LocalProjection, panel: Panel, setup: _Setup) -> Iterator[_Row]:
    lo, hi = setup.window
    if estimator.kind == "pooled":
        horizons = np.array([0.0])
    else:
        horizons = np.unique(setup.times[:, None] - setup.dates[None, :])
        horizons = horizons[(horizons >= lo) & (horizons <= hi)]
    for horizon in horizons:
        found = _row(estimator, panel, setup, float(horizon))
        if found is not None:
            yield found


def _row(estimator: LocalProjection, panel: Panel, setup: _Setup, horizon: float) -> _Row | None:
    """Regression of one horizon (all from 0 to the last, if pooled); None if nobody can be compared."""
    elapsed = setup.times[None, :] - setup.dates[:, None]
    pooled = estimator.kind == "pooled"
    taken = (elapsed >= 0) & (elapsed <= setup.window[1]) if pooled else elapsed == horizon
    reaches = setup.dates + setup.window[1] <= setup.times[-1]
    followed = taken.any(axis=1) & (reaches if pooled or estimator.composition == "fixed" else True)
    where = np.flatnonzero(followed)
    if not len(where):
        return None
    target = taken[where] / taken[where].sum(axis=1, keepdims=True)
    observed = np.isfinite(panel.outcome)
    outcome = np.where(observed, panel.outcome, 0.0) @ target.T
    complete = observed.astype(float) @ target.T > 1 - 1e-9
    joins = setup.cohort[:, None] == setup.dates[where]
    if estimator.composition == "fixed" and estimator.convention == "lpdid":
        joins &= setup.dates[where] + setup.window[1] < setup.times[-1]
    until = _clean_until(estimator, setup, where, horizon)
    clean = setup.pool[:, None] & (setup.cohort[:, None] > until) & (setup.cohort[:, None] > setup.dates[where])
    used = (joins | clean) & complete & np.isfinite(setup.base[:, where])
    used &= np.isfinite(setup.covariates[:, where]).all(axis=2)
    stack = Stack(outcome - np.where(used, setup.base[:, where], 0.0), joins, used, setup.covariates[:, where], where)
    lpdid = estimator.convention == "lpdid"
    fit = project(stack, panel.unit_weight, equal=estimator.weighting == "equal", known_weights=lpdid, idle_dates=lpdid)
    if fit is None:
        return None
    at_base = (taken[where, setup.last_base[where]]) & (estimator.pre_mean == 1)
    return _Row(horizon, fit, stack, target, bool(at_base.all()) and not pooled)


def _clean_until(estimator: LocalProjection, setup: _Setup, where: IntArray, horizon: float) -> FloatArray:
    """Time until which comparison units of each date must be untreated, anticipation included."""
    dates, last = setup.dates[where], setup.window[1]
    if estimator.composition == "fixed":
        return np.asarray(dates + last + setup.anticipation)
    if estimator.kind == "pooled":
        return np.asarray(dates + (0.0 if estimator.convention == "lpdid" else last) + setup.anticipation)
    return np.asarray(np.maximum(dates + horizon, setup.times[setup.last_base[where]]) + setup.anticipation)


def _implied_weights(estimator: LocalProjection, panel: Panel, design: Design) -> FloatArray:
    """Weights on outcomes that reproduce the rows, shape (k, n, T)."""
    setup = _setup(estimator, panel, design)
    out = []
    for row in _rows(estimator, panel, setup):
        weights = row.fit.weights @ row.target
        weights = weights - np.einsum("ne,net->nt", row.fit.weights, setup.base_weight[:, row.stack.dates])
        out.append(np.zeros_like(weights) if row.reference else weights)
    return np.array(out)


def _unidentified(setup: _Setup, rows: list[_Row]) -> tuple[Unidentified, ...]:
    """Observed treated cells within the window that no row uses."""
    used: set[tuple[float, float]] = set()
    for row in rows:
        at_work = np.abs(np.where(row.stack.joins, row.fit.weights, 0.0)).sum(axis=0) > 0
        for date, target in zip(setup.dates[row.stack.dates[at_work]], row.target[at_work], strict=True):
            used |= {(float(date), float(time)) for time in setup.times[target > 0]}
    treated = np.unique(setup.cohort[setup.cohort <= setup.times[-1]])
    return tuple(
        Unidentified(float(g), float(time), "no unit is untreated until then, or none is observed at base and time")
        for g in treated
        for time in setup.times[(setup.times >= g) & (setup.times - g <= setup.window[1])]
        if (float(g), float(time)) not in used
    )


def _notes(estimator: LocalProjection, panel: Panel, setup: _Setup, lost: tuple[Unidentified, ...]) -> tuple[str, ...]:
    notes = []
    if estimator.weighting == "variance" and len(np.unique(setup.cohort[setup.cohort <= setup.times[-1]])) > 1:
        notes.append("cohorts are averaged by the variance of treatment at their date, not by their share")
    if estimator.convention == "lpdid":
        notes.append("standard errors hold a small-sample factor with units as clusters (convention='lpdid')")
        if estimator.kind == "pooled":
            notes.append("units that join before the last horizon serve as comparison (convention='lpdid')")
    if estimator.covariates == "none" and panel.columns.covariates:
        notes.append(f"covariates are not used: {', '.join(panel.columns.covariates)}")
    holes = int((~np.isfinite(panel.outcome)).sum())
    if holes:
        notes.append(
            f"{holes} of {panel.outcome.size} unit-times are not observed; each regression uses the units observed at "
            "its base and its time"
        )
    if lost:
        notes.append(f"{len(lost)} treated cohort-times take no part ({lost[0].reason})")
    return tuple(notes)
