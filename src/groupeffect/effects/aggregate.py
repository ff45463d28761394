r"""Aggregation of cells: one linear map, and the influence of the estimated shares in it.

With shares :math:`p_g` and cells :math:`j` of cohort :math:`g_j`, a row that averages the set :math:`S` is
:math:`\theta = \sum_{j \in S} p_{g_j}\theta_j / \sum_{j \in S} p_{g_j}`, and its derivative in a share is
:math:`\sum_{j \in S: g_j = g} (\theta_j - \theta) / \sum_{j \in S} p_{g_j}` (Callaway and Sant'Anna 2021, section 3
and corollary 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.aggregation import Aggregation, ByCalendarTime, ByCohort, ByEventTime, Overall
from groupeffect.effects.effects import EffectIndex, Effects
from groupeffect.effects.influence import Shares
from groupeffect.errors import BeyondSupportError, EstimationError
from groupeffect.numerics.threads import one_blas_thread

__all__ = ["aggregate"]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A linear map of rows and the derivative of its results in the cohort shares."""

    matrix: FloatArray  # (m, k)
    derivative: FloatArray  # (G, m)

    def then(self, later: _Stage) -> _Stage:
        return _Stage(later.matrix @ self.matrix, self.derivative @ later.matrix.T + later.derivative)


def aggregate(effects: Effects, scheme: Aggregation) -> Effects:
    """Aggregate cohort x time cells; see :meth:`Effects.aggregate`."""
    cells = _Cells.of(effects)
    if isinstance(scheme, ByEventTime):
        index, stage, notes = _event_times(cells, scheme, effects)
    elif isinstance(scheme, ByCohort):
        index, stage, notes = _cohorts(cells)
    elif isinstance(scheme, ByCalendarTime):
        index, stage, notes = _calendar_times(cells)
    elif isinstance(scheme, Overall):
        index, stage, notes = _overall(cells, scheme, effects)
    else:
        raise EstimationError(f"{scheme!r} is not an aggregation.", hint="Use ge.overall(), ge.by_event_time(), ...")
    extra = None
    if effects.influence is not None:
        extra = cells.shares.influence(stage.derivative)
    with one_blas_thread():
        mapped = effects.mapped(index, stage.matrix, extra)
    return replace(mapped, notes=(*effects.notes, *notes))


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells that can be aggregated, with their shares."""

    index: EffectIndex
    estimate: FloatArray
    usable: BoolArray
    shares: Shares
    cohort_position: IntArray
    probability: FloatArray

    @classmethod
    def of(cls, effects: Effects) -> _Cells:
        shares, index = effects.shares, effects.index
        if shares is None or np.isnan(index.cohort).any() or np.isnan(index.time).any():
            raise EstimationError(
                "Only cohort x time cells can be aggregated; these rows are not (or are aggregated already).",
                hint="Aggregate the fit as it came from ge.fit(...).",
            )
        position = np.searchsorted(shares.cohorts, index.cohort)
        usable = ~np.isnan(effects.estimate)
        estimate = np.where(usable, effects.estimate, 0.0)
        return cls(index, estimate, usable, shares, position, shares.values[position])

    @property
    def post(self) -> BoolArray:
        return np.asarray(self.usable & (self.index.time >= self.index.cohort))

    def average(self, members: BoolArray) -> _Stage:
        """Share-weighted average over each set of cells; `members` has shape (m, k)."""
        totals = members @ self.probability
        matrix = members * self.probability / totals[:, None]
        theta = matrix @ self.estimate
        spread = members * (self.estimate[None, :] - theta[:, None]) / totals[:, None]
        derivative = np.zeros((len(self.shares.cohorts), len(members)))
        np.add.at(derivative, self.cohort_position, spread.T)
        return _Stage(matrix, derivative)

    def counts(self, members: BoolArray) -> tuple[IntArray, IntArray]:
        """Treated units (each once) and the smallest number of comparison units behind each set of cells."""
        treated, comparison = [], []
        for chosen in members:
            first = dict(zip(self.index.cohort[chosen], self.index.n_treated[chosen], strict=True))
            treated.append(sum(first.values()))
            comparison.append(int(self.index.n_comparison[chosen].min()) if chosen.any() else 0)
        return np.array(treated, dtype=np.int64), np.array(comparison, dtype=np.int64)


def _mean_stage(matrix: FloatArray, n_cohorts: int) -> _Stage:
    return _Stage(matrix, np.zeros((n_cohorts, len(matrix))))


def _index(
    cells: _Cells,
    members: BoolArray,
    *,
    cohort: FloatArray | None = None,
    time: FloatArray | None = None,
    event_time: FloatArray | None = None,
) -> EffectIndex:
    treated, comparison = cells.counts(members)
    return EffectIndex.build(
        term="att",
        cohort=cohort,
        time=time,
        event_time=event_time,
        n_treated=treated,
        n_comparison=comparison,
        is_reference=np.array([bool(cells.index.is_reference[row].all()) for row in members]),
    )


def _event_times(cells: _Cells, scheme: ByEventTime, effects: Effects) -> tuple[EffectIndex, _Stage, list[str]]:
    elapsed = cells.index.time - cells.index.cohort
    allowed = cells.usable.copy()
    lo = -np.inf if scheme.lo is None else scheme.lo
    hi = np.inf if scheme.hi is None else scheme.hi
    notes: list[str] = []
    if scheme.balance is not None:
        longest = {
            g: elapsed[(cells.index.cohort == g) & cells.usable].max(initial=-np.inf)
            for g in np.unique(cells.index.cohort)
        }
        kept = np.array([longest[g] >= scheme.balance for g in cells.index.cohort])
        allowed &= kept
        lost = sorted({f"{g:g}" for g, keep in zip(cells.index.cohort, kept, strict=True) if not keep})
        if lost:
            notes.append(f"cohorts {', '.join(lost)} left out of the balanced event study (balance={scheme.balance:g})")
        hi = min(hi, scheme.balance)
    allowed &= (elapsed >= lo) & (elapsed <= hi)
    _check_support(effects, elapsed[cells.usable], hi)
    times = np.unique(elapsed[allowed])
    if len(times) == 0:
        raise EstimationError(
            f"No cell has an event time from {lo:g} to {hi:g}.",
            hint=f"Event times run from {elapsed.min():g} to {elapsed.max():g}.",
        )
    if np.isfinite(hi) and times[-1] < hi:
        notes.append(f"event times after {times[-1]:g} are not observed (asked up to {hi:g})")
    members = (elapsed[None, :] == times[:, None]) & allowed[None, :]
    return _index(cells, members, event_time=times), cells.average(members), notes


def _check_support(effects: Effects, elapsed: FloatArray, hi: float) -> None:
    """Refuse event times at which treated units are seen but nobody can be compared with."""
    if not np.isfinite(hi) or not effects.unidentified:
        return
    last = elapsed.max()
    beyond = sorted({cell.time - cell.cohort for cell in effects.unidentified if last < cell.time - cell.cohort <= hi})
    if beyond:
        listed = ", ".join(f"{value:g}" for value in beyond[:5])
        raise BeyondSupportError(
            f"Event times {listed} were asked for, but no comparison unit is left there; the last identified event "
            f"time is {last:g}.",
            hint=f"Ask for by_event_time(..., {last:g}); later effects cannot be estimated from these data.",
        )


def _cohorts(cells: _Cells) -> tuple[EffectIndex, _Stage, list[str]]:
    cohorts = np.unique(cells.index.cohort[cells.post])
    _need_post(cells)
    members = (cells.index.cohort[None, :] == cohorts[:, None]) & cells.post[None, :]
    matrix = members / members.sum(axis=1, keepdims=True)
    return _index(cells, members, cohort=cohorts), _mean_stage(matrix, len(cells.shares.cohorts)), []


def _calendar_times(cells: _Cells) -> tuple[EffectIndex, _Stage, list[str]]:
    _need_post(cells)
    times = np.unique(cells.index.time[cells.post])
    members = (cells.index.time[None, :] == times[:, None]) & cells.post[None, :]
    return _index(cells, members, time=times), cells.average(members), []


def _overall(cells: _Cells, scheme: Overall, effects: Effects) -> tuple[EffectIndex, _Stage, list[str]]:
    _need_post(cells)
    everything = cells.post[None, :]
    treated, comparison = cells.counts(everything)
    index = EffectIndex.build(term="att", n_treated=treated, n_comparison=comparison)
    if scheme.over == "cells":
        return index, cells.average(everything), []
    if scheme.over == "cohort":
        by_cohort, first, notes = _cohorts(cells)
        theta = first.matrix @ cells.estimate
        position = np.searchsorted(cells.shares.cohorts, by_cohort.cohort)
        share = cells.shares.values[position]
        weight = (share / share.sum())[None, :]
        derivative = np.zeros((len(cells.shares.cohorts), 1))
        derivative[position, 0] = (theta - weight[0] @ theta) / share.sum()
        return index, first.then(_Stage(weight, derivative)), notes
    if scheme.over == "event_time":
        by_time, first, notes = _event_times(cells, ByEventTime(0, None), effects)
    else:
        by_time, first, notes = _calendar_times(cells)
    mean = np.full((1, len(by_time)), 1.0 / len(by_time))
    return index, first.then(_mean_stage(mean, len(cells.shares.cohorts))), notes


def _need_post(cells: _Cells) -> None:
    if not cells.post.any():
        raise EstimationError(
            "No post-treatment cell could be estimated.", hint="Look at effects.notes and effects.unidentified."
        )
