r"""Moments of cohorts, and estimates that take a multiple of the difference before treatment off the one after it.

Everything is linear in the mean outcomes of *strata*: units of one cohort, inside or outside the comparison pool. A row
has coefficients :math:`a` (after) and :math:`b` (base) of shape (strata, times); its estimate is
:math:`(a - \beta b)\cdot\bar Y`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.cells import Cell, comparison_units
from groupeffect.design.design import Design
from groupeffect.did._plan import make_plan
from groupeffect.effects.effects import EffectIndex, Unidentified
from groupeffect.errors import NoComparisonError
from groupeffect.panel.panel import Panel

__all__ = ["AdjustedRows", "Moments", "Rows", "Target", "adjusted_rows", "make_moments", "make_rows"]

Target: TypeAlias = Literal["cells", "by_event_time", "overall", "overall_by_cohort", "overall_by_calendar_time"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and variances of the strata.

    Parameters
    ----------
    cohort : ndarray of shape (G,)
        First treated time of each stratum.
    in_pool : ndarray of bool, shape (G,)
        Whether the stratum may serve as comparison.
    members : tuple of ndarray of int
        Units of each stratum.
    count : ndarray of int, shape (G,)
        Units of each stratum.
    weight : ndarray of shape (G,)
        Weight of each stratum, observed or not.
    total : ndarray of shape (G, T)
        Weight observed at each time.
    mean : ndarray of shape (G, T)
        Mean outcomes; zero where nothing is observed.
    ratio : ndarray of shape (n, T)
        Share of each unit in the observed weight of its stratum.
    score : ndarray of shape (n, T)
        `ratio` times the deviation from the stratum's mean: the derivative of the mean in the unit's log weight.
    omega : ndarray of shape (G, T, T)
        Variance of the mean outcomes, from squared deviations over units less one.
    even : bool
        All weights equal and everything observed.
    cohort_ratio : ndarray of shape (n,)
        Share of each unit in the weight of its cohort.
    """

    cohort: FloatArray
    in_pool: BoolArray
    members: tuple[IntArray, ...]
    count: IntArray
    weight: FloatArray
    total: FloatArray
    mean: FloatArray
    ratio: FloatArray
    score: FloatArray
    omega: FloatArray
    even: bool
    cohort_ratio: FloatArray

    @property
    def correction(self) -> FloatArray:
        """Units over units less one; one for a single unit, whose deviations are zero."""
        return np.asarray(self.count / np.maximum(self.count - 1, 1))

    def place(self, cohorts: FloatArray) -> IntArray:
        """Position of each unit's cohort in `cohorts`, shape (n,); -1 for none."""
        out = np.full(len(self.ratio), -1)
        for g, members in zip(self.cohort, self.members, strict=True):
            found = np.flatnonzero(cohorts == g)
            out[members] = found[0] if len(found) else -1
        return out


def make_moments(panel: Panel, design: Design) -> Moments:
    """Moments of the strata of a design."""
    n, n_times = panel.outcome.shape
    takes_part = design.comparison_pool | design.treated()
    labels = np.unique(np.column_stack([design.cohort, design.comparison_pool])[takes_part], axis=0)
    keys = [(float(g), bool(p)) for g, p in labels]
    observed = np.isfinite(panel.outcome)
    weight = np.where(observed, panel.unit_weight[:, None], 0.0)
    outcome = np.where(observed, panel.outcome, 0.0)
    shape = (len(keys), n_times)
    total, mean, omega = np.zeros(shape), np.zeros(shape), np.zeros((*shape, n_times))
    ratio, score, cohort_ratio = np.zeros((n, n_times)), np.zeros((n, n_times)), np.zeros(n)
    members = tuple(np.flatnonzero(takes_part & (design.cohort == g) & (design.comparison_pool == p)) for g, p in keys)
    for g, rows in enumerate(members):
        total[g] = weight[rows].sum(axis=0)
        own = weight[rows] / np.where(total[g] > 0, total[g], 1.0)
        mean[g] = (own * outcome[rows]).sum(axis=0)
        ratio[rows], score[rows] = own, own * (outcome[rows] - mean[g])
        omega[g] = len(rows) / max(len(rows) - 1, 1) * score[rows].T @ score[rows]
        same = panel.unit_weight[takes_part & (design.cohort == keys[g][0])]
        cohort_ratio[rows] = panel.unit_weight[rows] / same.sum()
    return Moments(
        np.array([g for g, _ in keys]),
        np.array([p for _, p in keys]),
        members,
        np.array([len(rows) for rows in members]),
        np.array([panel.unit_weight[rows].sum() for rows in members]),
        total,
        mean,
        ratio,
        score,
        omega,
        bool(observed.all()) and float(np.ptp(panel.unit_weight)) == 0,
        cohort_ratio,
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two time weights of the cells: the time itself, or the base.

    Parameters
    ----------
    time_weight : ndarray of shape (c, T)
        Weights of the times, rows with sum one.
    treated, comparison : ndarray of shape (c, G, T)
        Shares of the strata on either side.
    """

    time_weight: FloatArray
    treated: FloatArray
    comparison: FloatArray

    @property
    def coefficient(self) -> FloatArray:
        return np.asarray(self.time_weight[:, None, :] * (self.treated - self.comparison))

    def total_gradient(self, mix: FloatArray, value: FloatArray) -> FloatArray:
        """Derivative of ``sum(mix @ coefficient * value)`` in the log weights of strata and times, shape (G, T)."""
        used = np.flatnonzero(mix)
        out = np.zeros(value.shape)
        for sign, share in ((1.0, self.treated[used]), (-1.0, self.comparison[used])):
            centred = value - (share * value).sum(axis=1, keepdims=True)
            out += sign * np.einsum("c,ct,cgt->gt", mix[used], self.time_weight[used], share * centred)
        return out


@dataclass(frozen=True, slots=True)
class Rows:
    """Cells, and the share-weighted means of them that are estimated.

    Parameters
    ----------
    index : EffectIndex
        Keys of the k rows.
    cohorts : ndarray of shape (H,)
        Cohorts of the cells.
    cell_cohort : ndarray of int, shape (c,)
        Position of each cell's cohort.
    after, base : _Side
        The two sets of coefficients of the cells.
    blocks : ndarray of shape (m, c)
        Weights of the cells, proportional to cohort shares and with sum one, in each block.
    mean : ndarray of shape (k, m)
        Fixed weights of the blocks in each row.
    unidentified : tuple of Unidentified
        Treated cells without comparison.
    """

    index: EffectIndex
    cohorts: FloatArray
    cell_cohort: IntArray
    after: _Side
    base: _Side
    blocks: FloatArray
    mean: FloatArray
    unidentified: tuple[Unidentified, ...]

    @property
    def mix(self) -> FloatArray:
        """Weights of the cells in the rows, shape (k, c)."""
        return np.asarray(self.mean @ self.blocks)

    def share_gradient(self, row: int, value: FloatArray) -> FloatArray:
        """Derivative of ``mix[row] @ value`` in the log shares of the cohorts, shape (H,)."""
        members = np.eye(len(self.cohorts))[self.cell_cohort]
        blocks = self.blocks[np.flatnonzero(self.mean[row])]
        weight = self.mean[row][np.flatnonzero(self.mean[row])]
        own = (blocks * value) @ members
        return np.asarray(weight @ (own - (blocks @ value)[:, None] * (blocks @ members)))


def make_rows(panel: Panel, design: Design, moments: Moments, *, target: Target, last_only: bool) -> Rows:
    """Rows of a target.

    Raises
    ------
    NoComparisonError
        If no post-treatment cell has a comparison.
    """
    plan = make_plan(panel, design, pairs=False)
    usable, treated, comparison, lost = [], [], [], list(plan.unidentified)
    codes = np.full(panel.n_units, -1)
    for g, members in enumerate(moments.members):
        codes[members] = g
    for j, cell in enumerate(plan.cells):
        own = moments.cohort == cell.cohort
        other = np.isin(np.arange(len(own)), codes[comparison_units(design, cell)]) & moments.in_pool & ~own
        if last_only:
            other &= moments.cohort == moments.cohort[moments.in_pool].max()
        times = [cell.time, *cell.base]
        seen = [moments.total[side][:, times].sum(axis=0) > 0 for side in (own, other)]
        if np.all(seen):
            usable.append(j)
            treated.append(own)
            comparison.append(other)
        elif design.times[cell.time] >= cell.cohort:
            lost.append(Unidentified(cell.cohort, float(design.times[cell.time]), "no comparison unit is observed"))
    cells = [plan.cells[j] for j in usable]
    if not any(design.times[cell.time] >= cell.cohort for cell in cells):
        raise NoComparisonError(
            "No cell after treatment has both treated and comparison units.",
            hint="Use comparison='not_yet_treated' or widen the comparison pool.",
        )
    masks = np.array(treated), np.array(comparison)
    sides = [_side(weight, *masks, moments.total) for weight in _time_weights(cells, panel.n_times)]
    counts = plan.n_treated[usable], _pool_counts(masks[1], moments)
    return _aggregate(cells, design, moments, target, sides, counts, tuple(lost))


def _pool_counts(comparison: BoolArray, moments: Moments) -> IntArray:
    return np.asarray(comparison @ moments.count)


def _time_weights(cells: list[Cell], n_times: int) -> tuple[FloatArray, FloatArray]:
    after, base = np.zeros((len(cells), n_times)), np.zeros((len(cells), n_times))
    for j, cell in enumerate(cells):
        after[j, cell.time] = 1.0
        base[j, cell.base] = 1.0 / len(cell.base)
    return after, base


def _side(time_weight: FloatArray, treated: BoolArray, comparison: BoolArray, total: FloatArray) -> _Side:
    shares = []
    for mask in (treated, comparison):
        part = mask[:, :, None] * total
        whole = part.sum(axis=1, keepdims=True)
        shares.append(part / np.where(whole > 0, whole, 1.0))
    return _Side(time_weight, shares[0], shares[1])


def _aggregate(
    cells: list[Cell],
    design: Design,
    moments: Moments,
    target: Target,
    sides: list[_Side],
    counts: tuple[IntArray, IntArray],
    lost: tuple[Unidentified, ...],
) -> Rows:
    cohort = np.array([cell.cohort for cell in cells])
    time = design.times[[cell.time for cell in cells]]
    cohorts, position = np.unique(cohort, return_inverse=True)
    weight = np.array([moments.weight[moments.cohort == g].sum() for g in cohorts])[position]
    after = time >= cohort
    reference = np.array([cell.is_base for cell in cells])
    elapsed = time - cohort
    if target == "cells":
        index = EffectIndex.build(
            term="att",
            cohort=cohort,
            time=time,
            event_time=elapsed,
            n_treated=counts[0],
            n_comparison=counts[1],
            is_reference=reference,
        )
        one = np.eye(len(cells))
        return Rows(index, cohorts, position, sides[0], sides[1], one, one, lost)
    if target == "by_event_time":
        groups = [elapsed == e for e in np.unique(elapsed)]
    elif target == "overall_by_calendar_time":
        groups = [after & (time == t) for t in np.unique(time[after])]
    else:
        groups = [after]
    if target == "overall_by_cohort":
        weight = weight / np.bincount(position[after], minlength=len(cohorts))[position].clip(1)
    blocks = np.array([np.where(group, weight, 0.0) / weight[group].sum() for group in groups])
    single = target != "by_event_time"
    mean = np.full((1, len(groups)), 1.0 / len(groups)) if single else np.eye(len(groups))
    index = _index(mean @ blocks, elapsed, cohort, reference, counts, single=single)
    return Rows(index, cohorts, position, sides[0], sides[1], blocks, mean, lost)


def _index(
    mix: FloatArray,
    elapsed: FloatArray,
    cohort: FloatArray,
    reference: BoolArray,
    counts: tuple[IntArray, IntArray],
    *,
    single: bool,
) -> EffectIndex:
    used = mix > 0
    treated = [sum(dict(zip(cohort[row], counts[0][row], strict=True)).values()) for row in used]
    return EffectIndex.build(
        term="att",
        event_time=None if single else np.array([elapsed[row][0] for row in used]),
        n_treated=np.array(treated),
        n_comparison=np.array([counts[1][row].min() for row in used]),
        is_reference=np.array([bool(reference[row].all()) for row in used]),
        size=len(mix),
    )


@dataclass(frozen=True, slots=True)
class AdjustedRows:
    """Estimates of rows.

    Parameters
    ----------
    estimate : ndarray of shape (k,)
        Estimates.
    beta : ndarray of shape (k,)
        Multiples of the base difference taken off.
    slope : ndarray of shape (k,)
        Base difference over its variance where `beta` is estimated, else zero: the weight of the estimation of `beta`.
    after, base : ndarray of shape (k, G, T)
        Coefficients of the mean outcomes.
    """

    estimate: FloatArray
    beta: FloatArray
    slope: FloatArray
    after: FloatArray
    base: FloatArray

    @property
    def coefficient(self) -> FloatArray:
        """Coefficients of the mean outcomes in the estimates, shape (k, G, T)."""
        return np.asarray(self.after - self.beta[:, None, None] * self.base)

    def derivative(self, moments: Moments, rows: Rows) -> FloatArray:
        """Derivative of the estimates in log unit weights times the number of units, shape (n, k)."""
        n, k = len(moments.ratio), len(self.estimate)
        on_score, on_ratio, on_share = self._gradients(moments, rows)
        coefficient, out = self.coefficient, np.zeros((n, k))
        for g, members in enumerate(moments.members):
            score, ratio = moments.score[members], moments.ratio[members]
            part = score @ on_score[:, g].T + moments.cohort_ratio[members, None] * on_share[:, g]
            part += on_ratio[:, g].sum(axis=1) / len(members) if moments.even else ratio @ on_ratio[:, g].T
            if self.slope.any():
                base, rest = score @ self.base[:, g].T, score @ coefficient[:, g].T
                part -= (2 * moments.correction[g] * self.slope) * base * rest
            out[members] = n * part
        return out

    def _gradients(self, moments: Moments, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Coefficients of scores (k, G, T), of shares of units in strata (k, G, T), and in cohorts (k, G)."""
        beta, slope = self.beta[:, None, None], self.slope[:, None, None]
        omega_a = np.einsum("gts,kgs->kgt", moments.omega, self.after)
        omega_b = np.einsum("gts,kgs->kgt", moments.omega, self.base)
        on_score = self.coefficient + slope * self._recentring(moments)
        on_ratio = slope * (self.base * omega_a + self.after * omega_b - 2 * beta * self.base * omega_b)
        on_share = np.zeros((len(beta), len(moments.cohort)))
        value_a = moments.mean - slope * omega_b
        value_b = -beta * moments.mean - slope * (omega_a - 2 * beta * omega_b)
        home = np.array([np.flatnonzero(rows.cohorts == g)[0] if g in rows.cohorts else -1 for g in moments.cohort])
        mix, cell_a, cell_b = rows.mix, rows.after.coefficient, rows.base.coefficient
        for k in range(len(beta)):
            on_ratio[k] += rows.after.total_gradient(mix[k], value_a[k]) + rows.base.total_gradient(mix[k], value_b[k])
            used = np.flatnonzero(mix[k])
            value = np.zeros(mix.shape[1])
            value[used] = np.einsum("cgt,gt->c", cell_a[used], value_a[k]) + np.einsum(
                "cgt,gt->c", cell_b[used], value_b[k]
            )
            gradient = np.append(rows.share_gradient(k, value), 0.0)
            on_share[k] = gradient[home]
        return on_score, on_ratio, on_share

    def _recentring(self, moments: Moments) -> FloatArray:
        """What a shift of the means does to the sums behind `beta`; zero for even weights."""
        out = np.zeros_like(self.after)
        if moments.even:
            return out
        beta = self.beta[:, None, None]
        for g, members in enumerate(moments.members):
            score, ratio = moments.score[members], moments.correction[g] * moments.ratio[members]
            of_after = (score @ self.after[:, g].T).T @ ratio
            of_base = (score @ self.base[:, g].T).T @ ratio
            out[:, g] = self.base[:, g] * of_after + (self.after[:, g] - 2 * beta[:, 0] * self.base[:, g]) * of_base
        return out

    def neyman(self, moments: Moments) -> FloatArray:
        """Influence, shape (n, k), with cohort sizes and `beta` known and deviations scaled up for the means."""
        n, coefficient = len(moments.ratio), self.coefficient
        out = np.zeros((n, len(self.estimate)))
        for g, members in enumerate(moments.members):
            out[members] = n * np.sqrt(moments.correction[g]) * moments.score[members] @ coefficient[:, g].T
        return out

    def design_factor(self, moments: Moments, times: FloatArray) -> FloatArray:
        r"""Square root of the design-based over the Neyman variance, shape (k,).

        The Neyman variance counts the variance of effects between units, which random timing does not cause and data
        do not show. Its part that outcomes before the first treated cohort of the row explain is taken off: with the
        regressions :math:`\hat b_g` of :math:`a_g'Y` on those outcomes, :math:`(\sum_g \hat b_g)' \bar S (\sum_g
        \hat b_g) / n`, over cohorts that join no earlier.
        """
        coefficient = self.coefficient
        neyman = np.einsum("kgt,gts,kgs->k", coefficient, moments.omega, coefficient)
        bound = np.zeros(len(neyman))
        for k, after in enumerate(self.after):
            active = np.abs(after).max(axis=1) > 0
            if not active.any():
                continue
            first = moments.cohort[active].min()
            early, late = np.flatnonzero(times < first), np.flatnonzero(moments.cohort >= first)
            if not len(early):
                continue
            covariance = moments.omega[late] * moments.count[late, None, None]
            square = covariance[:, early][:, :, early]
            slopes = [
                np.linalg.pinv(s) @ (c[early] @ after[g]) for g, s, c in zip(late, square, covariance, strict=True)
            ]
            total = np.sum(slopes, axis=0)
            bound[k] = total @ square.mean(axis=0) @ total / moments.count.sum()
        left = np.maximum(neyman - bound, 0.0)
        return np.asarray(np.sqrt(np.divide(left, neyman, out=np.zeros_like(left), where=neyman > 0)))


def adjusted_rows(moments: Moments, rows: Rows, *, fixed: float | None) -> AdjustedRows:
    """Estimate rows with a fixed multiple, or (None) with the one that minimises the variance of each row."""
    after = np.einsum("kc,cgt->kgt", rows.mix, rows.after.coefficient)
    base = np.einsum("kc,cgt->kgt", rows.mix, rows.base.coefficient)
    difference = np.einsum("kgt,gt->k", base, moments.mean)
    if fixed is not None:
        beta, slope = np.full(len(after), fixed), np.zeros(len(after))
    else:
        covariance = np.einsum("kgt,gts,kgs->k", base, moments.omega, after)
        variance = np.einsum("kgt,gts,kgs->k", base, moments.omega, base)
        known = variance > 0
        beta = np.divide(covariance, variance, out=np.zeros_like(variance), where=known)
        slope = np.divide(difference, variance, out=np.zeros_like(variance), where=known)
    estimate = np.einsum("kgt,gt->k", after, moments.mean) - beta * difference
    return AdjustedRows(estimate, beta, slope, after, base)
