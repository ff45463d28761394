"""A block of treated units, its donors, and the effects that a pair of weights gives."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.baseline import BaselineWindow
from groupeffect.design.design import Design
from groupeffect.effects.effects import Counterfactual, EffectIndex, Effects, ImpliedWeights
from groupeffect.effects.influence import Shares
from groupeffect.errors import (
    DesignError,
    NoComparisonError,
    NoPrePeriodError,
    NoTreatedError,
    PoorPreFitWarning,
    UnbalancedError,
)
from groupeffect.numerics.threads import one_blas_thread
from groupeffect.panel.panel import Panel
from groupeffect.synth._weights import BlockWeights, Rule, Solver, WeightFit, block_weights

__all__ = ["POOR_FIT", "Block", "block_effects", "estimate_block", "read_block", "relative_rmspe"]

POOR_FIT = 0.25
"""Pre-treatment RMSPE, as a share of the donors' standard deviation, above which `PoorPreFitWarning` is given.

The same number at which the What Works Clearinghouse (Standards 5.0) stops accepting a baseline difference.
"""


@dataclass(frozen=True, slots=True)
class Block:
    """What the weights are computed from.

    Parameters
    ----------
    donors : ndarray of shape (J, T)
        Outcomes of the donors.
    target : ndarray of shape (T,)
        Weighted mean outcome of the treated units.
    before : ndarray of int, shape (T0,)
        Positions of the times to which weights are fitted.
    after : ndarray of int, shape (T1,)
        Positions of the treated times that are reported.
    reported : ndarray of int
        Positions of all reported times.
    start : float
        First treated time.
    donor_rows, treated_rows : ndarray of int
        Rows of the panel.
    treated_share : ndarray of shape (n_treated,)
        Weights of the treated units in `target`; sum one.
    """

    donors: FloatArray
    target: FloatArray
    before: IntArray
    after: IntArray
    reported: IntArray
    start: float
    donor_rows: IntArray
    treated_rows: IntArray
    treated_share: FloatArray


def read_block(panel: Panel, design: Design, *, name: str) -> Block:
    """Arrays of a block design, checked.

    Parameters
    ----------
    panel : Panel
        The panel; treated units count with ``unit_weight``.
    design : Design
        One treatment start; donors are the units of the comparison pool that stay untreated.
    name : str
        Estimator, for messages.

    Returns
    -------
    Block

    Raises
    ------
    NoTreatedError, NoComparisonError
        If one side is empty.
    NoPrePeriodError
        If fewer than two times before treatment are left to fit.
    DesignError
        If units start treatment at several times, no treated time is to be reported, or the design has a baseline
        window.
    UnbalancedError
        If an outcome of the block is not observed.
    """
    if isinstance(design.baseline, BaselineWindow):
        raise DesignError(
            f"{name} has no base period, so the baseline window {design.baseline} would do nothing.",
            hint="Use ge.block_design(...); mark the times to fit with design.refit_on(times).",
        )
    treated = design.treated()
    start = _one_start(design.cohort[treated], name)
    donor = design.comparison_pool & ~treated
    if not donor.any():
        raise NoComparisonError(
            f"{name} has no donor: the comparison pool holds no untreated unit.",
            hint="Name untreated units in ge.block_design(..., donors=(...)).",
        )
    times = design.times
    before = design.fit_times & (times + design.anticipation < start)
    after = design.effect_times & (times >= start)
    if before.sum() < 2:
        raise NoPrePeriodError(
            f"{name} needs two or more times before treatment to fit its weights; there are {int(before.sum())} "
            f"(times from {times[0]:g}, start {start:g}, anticipation {design.anticipation:g}).",
            hint="Add earlier data, or use difference-in-differences.",
        )
    if not after.any():
        raise DesignError(
            f"{name} has no treated time to report (start {start:g}, last time {times[-1]:g}).",
            hint="Mark at least one treated time in effect_times.",
        )
    used = before | design.effect_times
    donor_rows, treated_rows = np.flatnonzero(donor), np.flatnonzero(treated)
    _check_holes(panel, np.concatenate([treated_rows, donor_rows]), used, name)
    share = panel.unit_weight[treated_rows] / panel.unit_weight[treated_rows].sum()
    return Block(
        donors=panel.outcome[donor_rows],
        target=share @ panel.outcome[treated_rows],
        before=np.flatnonzero(before),
        after=np.flatnonzero(after),
        reported=np.flatnonzero(design.effect_times),
        start=start,
        donor_rows=donor_rows,
        treated_rows=treated_rows,
        treated_share=share,
    )


def _one_start(cohort: FloatArray, name: str) -> float:
    if len(cohort) == 0:
        raise NoTreatedError(
            f"{name} found no treated unit in the design.", hint="Name them in ge.block_design(panel, treated=(...))."
        )
    if (cohort != cohort[0]).any():
        starts = np.unique(cohort)
        raise DesignError(
            f"{name} takes one treatment start; the design has {len(starts)} ({', '.join(f'{g:g}' for g in starts[:3])}"
            f"{', ...' if len(starts) > 3 else ''}).",
            hint="Make one ge.block_design per start, or use a staggered estimator.",
        )
    return float(cohort[0])


def _check_holes(panel: Panel, rows: IntArray, used: BoolArray, name: str) -> None:
    hole = ~np.isfinite(panel.outcome[np.ix_(rows, used)])
    if not hole.any():
        return
    where, when = np.nonzero(hole)
    times = panel.times[used]
    cells = ", ".join(f"{panel.unit_ids[rows[i]]} at {times[t]:g}" for i, t in zip(where[:3], when[:3], strict=True))
    raise UnbalancedError(
        f"{name} needs every outcome of the treated units and donors; {int(hole.sum())} of {hole.size} are not "
        f"observed, in {int(hole.any(axis=1).sum())} units (first: {cells}).",
        hint='Use panel.balanced("drop_units"), or leave these units out of donors=(...).',
    )


@dataclass(frozen=True, slots=True)
class _Implied:
    """Weights on outcomes behind each reported gap; callable so that they are made only when asked for."""

    shape: tuple[int, int]
    block: Block
    omega: FloatArray
    lambda_: FloatArray

    def __call__(self) -> FloatArray:
        block = self.block
        unit = np.zeros(self.shape[0])
        unit[block.treated_rows] = block.treated_share
        unit[block.donor_rows] = -self.omega
        time = np.zeros((len(block.reported), self.shape[1]))
        time[np.arange(len(block.reported)), block.reported] = 1.0
        time[:, block.before] -= self.lambda_
        return unit[None, :, None] * time[:, None, :]


def estimate_block(panel: Panel, design: Design, block: Block, *, unit: Rule, time: Rule, solver: Solver) -> Effects:
    """Effects with weights found by two rules; see :func:`groupeffect.synth._weights.block_weights`."""
    with one_blas_thread():
        weights = block_weights(
            block.donors[:, block.before],
            block.donors[:, block.after].mean(axis=1),
            block.target[block.before],
            unit=unit,
            time=time,
            solver=solver,
        )
        levels_must_agree = unit.kind == "balance" and not unit.intercept
        notes = (*_certificates(weights), *_outside(block, design.times, levels_must_agree))
        effects = block_effects(panel, design, block, weights.omega, weights.lambda_, notes)
    path = effects.counterfactual
    if path is not None and relative_rmspe(block, path.pre_rmspe) > POOR_FIT:
        warnings.warn(effects.notes[0], PoorPreFitWarning, stacklevel=4)
    return effects


def block_effects(
    panel: Panel, design: Design, block: Block, omega: FloatArray, lambda_: FloatArray, notes: tuple[str, ...]
) -> Effects:
    """Gaps between the treated and the synthetic path, with everything that hangs on them.

    Parameters
    ----------
    panel : Panel
        The panel.
    design : Design
        The design.
    block : Block
        From :func:`read_block`.
    omega : ndarray of shape (J,)
        Donor weights.
    lambda_ : ndarray of shape (T0,)
        Weights of the times before treatment whose mean gap is subtracted; zeros for none.
    notes : tuple of str
        What is known about the weights.

    Returns
    -------
    Effects
        One row per reported time, before treatment too, as cells of one cohort.
    """
    difference = block.target - omega @ block.donors
    shift = float(difference[block.before] @ lambda_)
    gap = difference - shift
    pre_rmspe = float(np.sqrt((gap[block.before] ** 2).mean()))
    times = design.times[block.reported]
    k = len(times)
    index = EffectIndex.build(
        term="att",
        cohort=np.full(k, block.start),
        time=times,
        event_time=times - block.start,
        n_treated=np.full(k, len(block.treated_rows)),
        n_comparison=np.full(k, len(block.donor_rows)),
    )
    unit_cohort = np.full(panel.n_units, -1, dtype=np.int64)
    unit_cohort[block.treated_rows] = 0
    return Effects(
        index,
        gap[block.reported],
        shares=Shares(np.array([block.start]), unit_cohort, panel.unit_weight),
        counterfactual=Counterfactual(
            times=design.times,
            observed=block.target,
            synthetic=block.target - gap,
            donors=panel.unit_ids[block.donor_rows],
            omega=omega,
            fit_times=design.times[block.before],
            pre_rmspe=pre_rmspe,
            lambda_=lambda_ if lambda_.any() else None,
        ),
        weights=ImpliedWeights(_Implied(panel.outcome.shape, block, omega, lambda_)),
        notes=(_fit_quality(block, pre_rmspe), *_donors(omega), *notes, *_unused(panel)),
    )


def relative_rmspe(block: Block, pre_rmspe: float) -> float:
    """Pre-treatment RMSPE as a share of the donors' standard deviation before treatment; zero where that is zero.

    The standard deviation is taken between donors at each fitted time and averaged (as a variance) over these times.
    """
    before = block.donors[:, block.before]
    spread = float(np.sqrt(before.var(axis=0, ddof=1).mean())) if len(before) > 1 else 0.0
    return pre_rmspe / spread if spread > 0 else 0.0


def _fit_quality(block: Block, pre_rmspe: float) -> str:
    """Sentence on the fit before treatment."""
    share = relative_rmspe(block, pre_rmspe)
    text = (
        f"fit before treatment: RMSPE {pre_rmspe:.4g} over {len(block.before)} times, {100 * share:.1f} % of the "
        "standard deviation between donors"
    )
    return text + (f" (poor: above {100 * POOR_FIT:.0f} %)" if share > POOR_FIT else "")


def _donors(omega: FloatArray) -> tuple[str, ...]:
    effective = omega.sum() ** 2 / (omega**2).sum()
    return (f"{int((omega > 0).sum())} of {len(omega)} donors have weight, worth {effective:.1f} equal ones",)


def _certificates(weights: BlockWeights) -> tuple[str, ...]:
    def sentence(kind: str, fitted: WeightFit | None) -> tuple[str, ...]:
        if fitted is None:
            return ()
        exact = "optimal" if fitted.certificate.converged else "stopped before the optimum"
        return (f"{kind} weights {exact}: relative duality gap {fitted.certificate.relative_gap:.1e}",)

    return (*sentence("unit", weights.unit_fit), *sentence("time", weights.time_fit))


def _outside(block: Block, times: FloatArray, levels_must_agree: bool) -> tuple[str, ...]:
    """Name the times before treatment at which no weighted mean of donors can reach the treated path."""
    if not levels_must_agree:
        return ()
    before = block.donors[:, block.before]
    target = block.target[block.before]
    outside = (target < before.min(axis=0)) | (target > before.max(axis=0))
    if not outside.any():
        return ()
    listed = ", ".join(f"{time:g}" for time in times[block.before[outside]][:5])
    return (
        f"the treated path lies outside the range of the donors at {int(outside.sum())} of {len(target)} times before "
        f"treatment ({listed}{', ...' if outside.sum() > 5 else ''}): no weights can fit it; consider intercept=True",
    )


def _unused(panel: Panel) -> tuple[str, ...]:
    names = panel.columns.covariates
    return (f"covariates not used: {', '.join(names)}",) if names else ()
