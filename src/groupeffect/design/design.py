"""The design: who is treated when, who may serve as comparison, against which base period."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from groupeffect._types import NEVER, AnyArray, BoolArray, Comparison, FloatArray
from groupeffect.design.baseline import BaselineWindow, BasePeriod
from groupeffect.errors import (
    AlreadyTreatedError,
    DesignError,
    DroppedUnitsWarning,
    NoComparisonError,
    NoPrePeriodError,
    NoTreatedError,
    SpecError,
)
from groupeffect.panel.panel import Panel

__all__ = ["Design", "block_design", "check_usable", "staggered_design"]


@dataclass(frozen=True, slots=True)
class Design:
    """A comparison, as arrays that match the rows of a panel.

    Parameters
    ----------
    cohort : ndarray of shape (n,)
        First treated time in this design; inf = not treated in it.
    comparison_pool : ndarray of bool, shape (n,)
        Units that may serve as comparison while untreated. A unit that is neither treated nor in the pool takes no
        part, but keeps its row (of zeros) in influence functions, so that two designs on one panel share labels.
    unit_ids : ndarray of shape (n,)
        Labels of the rows.
    times : ndarray of shape (T,)
        Times of the panel.
    comparison : {"not_yet_treated", "never_treated"}
        Which members of the pool compare at a given time.
    anticipation : float
        Number of time units before treatment in which outcomes may already react.
    baseline : {"varying", "universal"} or BaselineWindow
        Base period.
    fit_times, effect_times : ndarray of bool, shape (T,)
        Times used to fit and times at which effects are reported (conformal inference refits on all of them).
    notes : tuple of str
        What was left out and why.
    """

    cohort: FloatArray
    comparison_pool: BoolArray
    unit_ids: AnyArray = field(kw_only=True)
    times: FloatArray = field(kw_only=True)
    comparison: Comparison = field(default="not_yet_treated", kw_only=True)
    anticipation: float = field(default=0, kw_only=True)
    baseline: BasePeriod = field(default="varying", kw_only=True)
    fit_times: BoolArray = field(default=cast("BoolArray", None), kw_only=True)
    effect_times: BoolArray = field(default=cast("BoolArray", None), kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        n = len(self.unit_ids)
        if self.cohort.shape != (n,) or self.comparison_pool.shape != (n,):
            raise DesignError(
                f"cohort {self.cohort.shape} and comparison_pool {self.comparison_pool.shape} need the shape ({n},)."
            )
        for name in ("fit_times", "effect_times"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.ones(len(self.times), dtype=bool))
        for name in ("cohort", "comparison_pool", "unit_ids", "times", "fit_times", "effect_times"):
            view = np.asarray(getattr(self, name)).view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    @property
    def last_comparison(self) -> float:
        """First treated time of the last unit of the comparison pool; inf if one is never treated."""
        pool = self.comparison_pool
        if self.comparison == "never_treated":
            pool = pool & np.isinf(self.cohort)
        return float(self.cohort[pool].max()) if pool.any() else -NEVER

    @property
    def cohorts(self) -> FloatArray:
        """Distinct first treated times, ascending, of the cohorts whose effects can be estimated.

        A cohort that joins when, or after, the last comparison unit joins only serves as comparison, as in R's ``did``.
        """
        values = np.unique(self.cohort[np.isfinite(self.cohort)])
        return np.asarray(values[(values <= self.times[-1]) & (values < self.last_comparison)])

    def treated(self) -> BoolArray:
        """Units treated at some time within the panel."""
        return np.asarray(self.cohort <= self.times[-1])

    def take_units(self, rows: AnyArray) -> Design:
        """Design of some units (boolean mask or positions), in the order given."""
        return replace(
            self,
            cohort=self.cohort[rows],
            comparison_pool=self.comparison_pool[rows],
            unit_ids=self.unit_ids[rows],
        )

    def reassign(self, cohort: FloatArray, comparison_pool: BoolArray | None = None) -> Design:
        """Design with other first treated times of shape (n,): placebo and randomisation draws."""
        pool = self.comparison_pool if comparison_pool is None else comparison_pool
        return replace(self, cohort=np.asarray(cohort, dtype=float), comparison_pool=pool)

    def refit_on(self, times: BoolArray) -> Design:
        """Design whose weights are fitted on the times marked in a mask of shape (T,)."""
        return replace(self, fit_times=np.asarray(times, dtype=bool))

    def __repr__(self) -> str:
        pool = int(self.comparison_pool.sum())
        return (
            f"Design({int(self.treated().sum())} treated units in {len(self.cohorts)} cohorts, {pool} units in the "
            f"comparison pool ({self.comparison}), base {self.baseline}, anticipation {self.anticipation:g})"
        )


def staggered_design(
    panel: Panel,
    *,
    comparison: Comparison = "not_yet_treated",
    anticipation: float = 0,
    base_period: BasePeriod = "varying",
    cohort: FloatArray | None = None,
    comparison_pool: BoolArray | None = None,
) -> Design:
    """Design for units that join at different times and stay treated.

    Parameters
    ----------
    panel : Panel
        The validated panel.
    comparison : {"not_yet_treated", "never_treated"}, default "not_yet_treated"
        Compare with units that are untreated at both times (and outside the anticipation window), or only with units
        that are never treated.
    anticipation : float, default 0
        Time units before treatment in which outcomes may already react; the base period ends before them.
    base_period : {"varying", "universal"} or BaselineWindow, default "varying"
        ``"varying"``: effects against the last untreated time, pre-treatment cells as one-period changes.
        ``"universal"``: every cell against the last untreated time before the anticipation window.
        ``baseline_window(a, b)``: every cell against the mean of the times a to b.
    cohort : ndarray of shape (n,), optional
        First treated times to use instead of ``panel.adoption`` (for instance only members, not cores).
    comparison_pool : ndarray of bool, shape (n,), optional
        Units that may be compared with; all by default.

    Returns
    -------
    Design
        Units treated at or before the first usable time are left out: they have no untreated period. They are counted
        in ``notes`` and announced by `DroppedUnitsWarning`. Units that leave treatment (``panel.exit``) count as
        treated from their first treated time on; ``notes`` say how many.

    Raises
    ------
    NoTreatedError, AlreadyTreatedError, NoComparisonError, NoPrePeriodError
        If the comparison cannot be made.
    SpecError
        If an option is not one of its choices.
    """
    if comparison not in ("not_yet_treated", "never_treated"):
        raise SpecError(f"comparison={comparison!r} is unknown.", hint="Use 'not_yet_treated' or 'never_treated'.")
    if not isinstance(base_period, BaselineWindow) and base_period not in ("varying", "universal"):
        raise SpecError(
            f"base_period={base_period!r} is unknown.",
            hint="Use 'varying', 'universal' or ge.baseline_window(first, last).",
        )
    if anticipation < 0:
        raise SpecError(f"anticipation={anticipation} is negative.", hint="Count the time units before treatment.")
    first_treated = np.array(panel.adoption if cohort is None else cohort, dtype=float)
    first_treated[np.isnan(first_treated)] = NEVER
    pool = np.ones(panel.n_units, dtype=bool) if comparison_pool is None else np.array(comparison_pool, dtype=bool)
    _check_treated(panel, first_treated)
    first_treated, pool, notes = _leave_out_without_base(panel, first_treated, pool, anticipation, base_period)
    design = Design(
        first_treated,
        pool,
        unit_ids=panel.unit_ids,
        times=panel.times,
        comparison=comparison,
        anticipation=anticipation,
        baseline=base_period,
        notes=(*notes, *_exits(panel, first_treated)),
    )
    _check_comparison(design)
    return design


def _exits(panel: Panel, first_treated: FloatArray) -> tuple[str, ...]:
    """Note about treated units that leave treatment: designs here go by the first treated time."""
    leaves = (first_treated <= panel.times[-1]) & (panel.exit <= panel.times[-1])
    if not leaves.any():
        return ()
    named = ", ".join(str(unit) for unit in panel.unit_ids[leaves][:3])
    return (
        f"{int(leaves.sum())} treated units leave treatment within the panel (first: {named}); they count as treated "
        "from their first treated time on, so effects are those of having joined",
    )


def _check_treated(panel: Panel, first_treated: FloatArray) -> None:
    treated = first_treated <= panel.times[-1]
    if not treated.any():
        known = panel.columns.cohort
        where = "no cohort column was named" if known is None else f"column {known!r}"
        raise NoTreatedError(
            f"None of the {panel.n_units} units is treated by {panel.times[-1]:g} ({where}).",
            hint="Check the cohort column and the `never` codes in Columns(...).",
        )
    if (first_treated[treated] <= panel.times[0]).all():
        raise AlreadyTreatedError(
            f"All {int(treated.sum())} treated units are treated from the first time {panel.times[0]:g} on.",
            hint="Add earlier data; an effect needs a time before treatment.",
        )


def base_times(times: FloatArray, cohort: float, anticipation: float, baseline: BasePeriod) -> AnyArray:
    """Positions of the base times of a cohort's post-treatment cells (may be empty)."""
    before = times + anticipation < cohort
    if isinstance(baseline, BaselineWindow):
        return np.flatnonzero(before & (times >= baseline.first) & (times <= baseline.last))
    return np.flatnonzero(before)[-1:]


def check_usable(design: Design) -> None:
    """Refuse a design without treated units, or without an untreated time of any treated unit.

    The makers of designs check this too; designs that were changed afterwards (`reassign`, `take_units`) need it again.

    Raises
    ------
    NoTreatedError, NoPrePeriodError
    """
    treated = design.treated()
    if not treated.any():
        raise NoTreatedError(
            f"None of the {len(treated)} units of the design is treated by {design.times[-1]:g}.",
            hint="Keep at least one treated unit.",
        )
    last = float(design.cohort[treated].max())
    if len(base_times(design.times, last, design.anticipation, design.baseline)) == 0:
        raise NoPrePeriodError(
            f"No treated unit has a base period: the last cohort starts at {last:g}, times at {design.times[0]:g}, "
            f"base period {design.baseline}, anticipation {design.anticipation:g}.",
            hint="Add earlier data, move the baseline window, or reduce the anticipation.",
        )


def _leave_out_without_base(
    panel: Panel, first_treated: FloatArray, pool: BoolArray, anticipation: float, baseline: BasePeriod
) -> tuple[FloatArray, BoolArray, tuple[str, ...]]:
    """Take cohorts without a base period out of both sides of the comparison."""
    treated_from = np.unique(first_treated[first_treated <= panel.times[-1]])
    lost = [g for g in treated_from if len(base_times(panel.times, g, anticipation, baseline)) == 0]
    if not lost:
        return first_treated, pool, ()
    gone = np.isin(first_treated, lost)
    names = ", ".join(f"{g:g}" for g in lost)
    if gone.sum() == (first_treated <= panel.times[-1]).sum():
        raise NoPrePeriodError(
            f"No treated cohort ({names}) has a base period: times start at {panel.times[0]:g}, base period "
            f"{baseline}, anticipation {anticipation:g}.",
            hint="Add earlier data, move the baseline window, or reduce the anticipation.",
        )
    text = (
        f"{int(gone.sum())} units of cohort {names} left out: no base period ({baseline}, anticipation "
        f"{anticipation:g}) is observed before they are treated"
    )
    warnings.warn(text, DroppedUnitsWarning, stacklevel=3)
    return np.where(gone, NEVER, first_treated), pool & ~gone, (text,)


def _check_comparison(design: Design) -> None:
    cohort = design.cohort
    candidates = design.comparison_pool & (cohort > design.times[-1])
    if design.comparison == "never_treated":
        candidates &= np.isinf(cohort)
        if not candidates.any():
            raise NoComparisonError(
                "No unit is never treated.",
                hint="Use comparison='not_yet_treated'; effects end when the last cohort joins.",
            )
    elif not candidates.any():
        first = cohort.min()
        if design.last_comparison - design.anticipation <= first:
            raise NoComparisonError(
                "Every unit of the comparison pool is treated as early as the first cohort.",
                hint="Widen the comparison pool or add units that join later or never.",
            )


def block_design(
    panel: Panel,
    *,
    treated: Sequence[object],
    start: float,
    donors: Sequence[object] | None = None,
) -> Design:
    """Design for one block: some units treated from one time on, all others donors.

    Parameters
    ----------
    panel : Panel
        The validated panel.
    treated : sequence of unit labels
        Units treated from `start` on.
    start : float
        First treated time.
    donors : sequence of unit labels, optional
        Units that may enter the comparison; by default every unit that is not treated here or by its own adoption
        time within the panel.

    Returns
    -------
    Design

    Raises
    ------
    NoTreatedError
        If a label is not in the panel or `start` is after the last time.
    NoPrePeriodError
        If nothing is observed before `start`.
    NoComparisonError
        If no donor is left.
    """
    labels = [treated] if isinstance(treated, str) else list(treated)
    is_treated = _marked(panel, labels, "treated")
    if not labels or start > panel.times[-1]:
        raise NoTreatedError(
            f"No unit is treated: treated={labels}, start={start:g}, last time {panel.times[-1]:g}.",
            hint="Name at least one unit and a start within the panel.",
        )
    if start <= panel.times[0]:
        raise NoPrePeriodError(
            f"Treatment starts at {start:g}, but the panel begins at {panel.times[0]:g}.",
            hint="Add earlier data; the synthetic twin is fitted before treatment.",
        )
    if donors is None:
        pool = ~is_treated & (panel.adoption > panel.times[-1])
    else:
        pool = _marked(panel, list(donors), "donors") & ~is_treated
    if not pool.any():
        raise NoComparisonError(
            "No donor is left: every other unit is treated within the panel.",
            hint="Name untreated units in donors=(...).",
        )
    cohort = np.where(is_treated, float(start), NEVER)
    return Design(
        cohort,
        pool,
        unit_ids=panel.unit_ids,
        times=panel.times,
        comparison="never_treated",
        baseline="universal",
        notes=_exits(panel, cohort),
    )


def _marked(panel: Panel, labels: Sequence[object], role: str) -> BoolArray:
    positions = {unit: row for row, unit in enumerate(panel.unit_ids.tolist())}
    unknown = [label for label in labels if label not in positions]
    if unknown:
        raise NoTreatedError(
            f"{len(unknown)} labels in {role} are not units of the panel: {unknown[:3]}.",
            hint=f"Units look like {panel.unit_ids[:3].tolist()}.",
        )
    mask = np.zeros(panel.n_units, dtype=bool)
    mask[[positions[label] for label in labels]] = True
    return mask
