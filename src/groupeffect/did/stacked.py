"""Stacked difference-in-differences with the corrected weights of Wing, Freedman and Hollingsworth (2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.aggregation import by_event_time
from groupeffect.design.design import Design, base_times
from groupeffect.did._plan import Block
from groupeffect.did._requests import refuse_exits, refuse_window
from groupeffect.did._two_by_two import BlockResult, panel_block
from groupeffect.effects.effects import EffectIndex, Effects, ImpliedWeights, Unidentified
from groupeffect.effects.influence import Influence, Shares
from groupeffect.errors import DesignError, NoComparisonError, SpecError, UnbalancedError
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register, staggered_features

__all__ = ["Stacked"]


@register
@dataclass(frozen=True, slots=True)
class Stacked:
    r"""Effects from one data set per cohort, each with comparison units untreated for its whole window, stacked.

    A cohort takes part if it is observed at every event time of the window (the trimmed stack), so that all event times
    rest on the same units. Weights make the stacked regression the average effect on the treated: least squares on
    stacked data without them weighs cohorts differently on the two sides of the comparison.

    Parameters
    ----------
    window : tuple of (int, int), optional
        First and last event time of each stack, for example (-3, 2). Without a window nothing is trimmed: each cohort
        keeps all its times, its comparison units are untreated until the last of them, and cohorts differ by event
        time; a note says so.
    kind : {"cells", "event_study"}, default "cells"
        ``"cells"``: a row for each cohort and time; ``ge.by_event_time()`` and ``ge.overall()`` give cohorts their
        share of treated units, which is what the corrected weights do. ``"event_study"``: the coefficients of the
        weighted regression of stacked outcomes on treatment, event times and their products. The estimates are the
        same; the influence is that of the regression, which takes its weights as known (see the notes). It needs a
        window, a complete panel and no covariates.
    covariates : {"by_stack", "none"}, default "by_stack"
        Adjust each stack by a linear regression of changes on the panel's covariates at the base time among its
        comparison units; or ignore covariates.

    Notes
    -----
    In stack a with :math:`N^D_a` treated and :math:`N^C_a` comparison units (weighted), treated units have weight one
    and comparison units :math:`(N^D_a / N^D) / (N^C_a / N^C)`. The estimate at an event time is then
    :math:`\sum_a (N^D_a/N^D)\,\hat\delta_{ae}` with :math:`\hat\delta_{ae}` the difference of mean changes since the
    time before joining [1]_. A unit may serve as comparison in several stacks; its
    influence is summed, so ``ClusterRobust()`` clusters by unit.

    The influence of cells, and of their aggregations, is the exact derivative in unit weights; the shares of cohorts
    and the corrected weights are estimated too. The regression that [1]_ suggests takes the weights as known: its
    standard errors, without small-sample factor, are those of ``kind="event_study"`` with
    ``ClusterRobust(correction="none")``.

    The base is the last time before joining (before anticipation), whatever ``base_period``. In unbalanced panels each
    cell uses the units observed at its time and at the base. Baseline windows and units that leave treatment are
    refused.

    References
    ----------
    .. [1] Wing, C., Freedman, S. M. and Hollingsworth, A. (2024). Stacked difference-in-differences.
       NBER Working Paper 32054.
    """

    window: tuple[int, int] | None = None
    kind: Literal["cells", "event_study"] = "cells"
    covariates: Literal["by_stack", "none"] = "by_stack"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="Stacked",
        label="Stacked (Wing-Freedman-Hollingsworth)",
        reference="wing2024",
        family="did",
        provides=frozenset({"influence", "refit", "weights"}),
        handles=staggered_features("block", "covariates"),
        unbiased_under=(
            "constant_effects",
            "parallel_trends",
            "covariate_trends",
            "heterogeneous_cohorts",
            "anticipation",
            "unbalanced",
        ),
        exact_tol=1e-9,
    )

    def __post_init__(self) -> None:
        for name, known in {"kind": ("cells", "event_study"), "covariates": ("by_stack", "none")}.items():
            if getattr(self, name) not in known:
                raise SpecError(f"{name}={getattr(self, name)!r} is unknown.", hint=f"Use one of {', '.join(known)}.")
        if self.window is not None:
            given: tuple[int, ...] = tuple(self.window)  # a specification file gives a list
            if len(given) != 2 or given[0] >= 0 or given[1] < 0:
                raise SpecError(
                    f"window={self.window!r} is no range around joining.", hint="Use, say, (-3, 2): before and after."
                )
            object.__setattr__(self, "window", given)
        elif self.kind == "event_study":
            raise SpecError("kind='event_study' needs a window.", hint="Use, say, window=(-3, 2).")

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Cohort x time effects, or coefficients of the stacked regression; see the class.

        Raises
        ------
        NoComparisonError
            If no cohort is observed over the window and has comparison units.
        DesignError
            If the design has a baseline window, treated units leave treatment, or the regression is asked for with
            covariates.
        UnbalancedError
            If the regression is asked for and outcomes are missing.
        """
        stacks, left_out, lost = _stacks(self, panel, design)
        cells = _cells(self, panel, design, stacks)
        cohorts = np.array([stack.cohort for stack in stacks])
        place = np.minimum(np.searchsorted(cohorts, design.cohort), len(cohorts) - 1)
        unit_cohort = np.where(cohorts[place] == design.cohort, place, -1)
        effects = Effects(
            cells.index,
            cells.estimate,
            influence=Influence(cells.influence, panel.unit_ids),
            shares=Shares(cohorts, unit_cohort, panel.unit_weight),
            weights=ImpliedWeights(partial(_implied_weights, self, panel, design)),
            unidentified=lost,
            notes=_notes(self, panel, left_out, lost, int(np.isnan(cells.estimate).sum())),
        )
        if self.kind == "cells":
            return effects
        return _regression(effects, panel, stacks)


@dataclass(frozen=True, slots=True)
class _Stack:
    """Data set of one cohort.

    Parameters
    ----------
    cohort : float
        First treated time.
    base : int
        Base time.
    times : ndarray of int
        Times of the window.
    comparison : ndarray of bool, shape (n,)
        Units untreated over the window.
    """

    cohort: float
    base: int
    times: IntArray
    comparison: BoolArray


@dataclass(frozen=True, slots=True)
class _Cells:
    index: EffectIndex
    estimate: FloatArray
    influence: FloatArray


def _stacks(
    estimator: Stacked, panel: Panel, design: Design
) -> tuple[list[_Stack], list[float], tuple[Unidentified, ...]]:
    """Stacks; cohorts that are not observed over the window; cells of cohorts without comparison."""
    name, times = estimator.info.name, design.times
    refuse_window(name, design, "the time before joining")
    refuse_exits(name, panel, design, design.treated() | design.comparison_pool)
    _refuse_regression(estimator, panel)
    pool = design.comparison_pool & (np.isinf(design.cohort) | (design.comparison == "not_yet_treated"))
    stacks, left_out, lost = [], [], []
    for g in np.unique(design.cohort[design.treated()]):
        base = base_times(times, g, design.anticipation, "universal")
        lo, hi = estimator.window or (times[0] - g, times[-1] - g)
        if not len(base) or g + lo < times[0] or g + hi > times[-1]:
            left_out.append(float(g))
            continue
        inside = np.flatnonzero((times >= g + lo) & (times <= g + hi))
        comparison = pool & (design.cohort > g + hi + design.anticipation)
        if comparison.any():
            stacks.append(_Stack(float(g), int(base[-1]), inside, comparison))
        else:
            lost += [
                Unidentified(float(g), float(t), "no unit is untreated for the window") for t in times[inside] if t >= g
            ]
    if not stacks:
        raise NoComparisonError(
            f"No cohort has a stack: {len(left_out)} are not observed over the window {estimator.window}, the others "
            "have no comparison unit that is untreated until its end.",
            hint="Choose a shorter window, or widen the comparison pool.",
        )
    return stacks, left_out, tuple(lost)


def _refuse_regression(estimator: Stacked, panel: Panel) -> None:
    if estimator.kind == "cells":
        return
    if estimator.covariates != "none" and panel.columns.covariates:
        raise DesignError(
            f"The stacked regression has no covariates (the panel has {', '.join(panel.columns.covariates)}).",
            hint="Use covariates='none', or kind='cells'.",
        )
    if not panel.is_balanced:
        raise UnbalancedError(
            f"{int((~np.isfinite(panel.outcome)).sum())} unit-times are not observed; the corrected weights of the "
            "stacked regression need a complete panel.",
            hint="Use kind='cells', or panel.balanced('drop_units').",
        )


def _blocks(estimator: Stacked, panel: Panel, design: Design, stacks: list[_Stack]) -> Iterator[tuple[_Stack, Block]]:
    """Blocks of cells on the same units; cells are numbered by stack and time."""
    first = 0
    observed = np.isfinite(panel.outcome)
    usable: BoolArray = np.asarray(np.isfinite(_covariates(estimator, panel)).all(axis=2))
    for stack in stacks:
        treated = design.cohort == stack.cohort
        members = treated | stack.comparison
        numbers = first + np.arange(len(stack.times))
        first += len(stack.times)
        complete = observed[members][:, [*stack.times, stack.base]].all() and usable[members, stack.base].all()
        sets = [np.arange(len(stack.times))] if complete else [np.array([j]) for j in range(len(stack.times))]
        for own in sets:
            times = stack.times[own]
            rows = members & observed[:, [*times, stack.base]].all(axis=1) & usable[:, stack.base]
            rows = np.flatnonzero(rows)
            if treated[rows].any() and not treated[rows].all():
                bases = tuple(np.array([stack.base]) for _ in own)
                yield stack, Block(tuple(numbers[own].tolist()), rows, treated[rows], times, bases)


def _covariates(estimator: Stacked, panel: Panel) -> FloatArray:
    return panel.covariates if estimator.covariates == "by_stack" else panel.covariates[:, :, :0]


def _run(estimator: Stacked, panel: Panel, stack: _Stack, block: Block) -> BlockResult:
    x = _covariates(estimator, panel)[block.rows, stack.base]
    return panel_block(block.change(panel.outcome), block.treated, x, panel.unit_weight[block.rows], method="reg")


def _cells(estimator: Stacked, panel: Panel, design: Design, stacks: list[_Stack]) -> _Cells:
    cohort = np.concatenate([np.full(len(stack.times), stack.cohort) for stack in stacks])
    position = np.concatenate([stack.times for stack in stacks])
    reference = np.concatenate([stack.times == stack.base for stack in stacks])
    k, time = len(cohort), design.times[position]
    estimate = np.full(k, np.nan)
    influence = np.zeros((panel.n_units, k), order="F")
    counts = np.zeros((k, 2), dtype=np.int64)
    for stack, block in _blocks(estimator, panel, design, stacks):
        columns, result = list(block.cells), _run(estimator, panel, stack, block)
        estimate[columns] = result.estimate
        counts[columns] = block.treated.sum(), (~block.treated).sum()
        scaled = result.influence * (panel.n_units / len(block.rows))
        for j, column in enumerate(columns):
            influence[block.rows, column] = scaled[:, j]
    estimate[reference], influence[:, reference] = 0.0, 0.0
    index = EffectIndex.build(
        term="att",
        cohort=cohort,
        time=time,
        event_time=time - cohort,
        n_treated=counts[:, 0],
        n_comparison=counts[:, 1],
        is_reference=reference,
    )
    if not (np.isfinite(estimate) & (time >= cohort)).any():
        raise NoComparisonError(
            "No cell after joining has treated and comparison units observed at its time and at the base.",
            hint="Look at the holes of the panel, or widen the comparison pool.",
        )
    return _Cells(index, estimate, influence)


def _implied_weights(estimator: Stacked, panel: Panel, design: Design) -> FloatArray:
    """Weights on outcomes that reproduce the cells, shape (k, n, T)."""
    stacks = _stacks(estimator, panel, design)[0]
    out = np.zeros((sum(len(stack.times) for stack in stacks), *panel.outcome.shape))
    for stack, block in _blocks(estimator, panel, design, stacks):
        weights = _run(estimator, panel, stack, block).weights
        for cell, time in zip(block.cells, block.times, strict=True):
            if time != stack.base:
                out[cell, block.rows, time] += weights
                out[cell, block.rows, stack.base] -= weights
    return out


def _regression(effects: Effects, panel: Panel, stacks: list[_Stack]) -> Effects:
    """Rows of the stacked regression: averages over stacks, with the influence of a regression with known weights.

    The regression is saturated in treatment and event time, so a coefficient is a difference of weighted mean changes,
    and the score of a unit is its weighted deviation from the mean change of its side.
    """
    own = effects.aggregate(by_event_time())
    n, events = panel.n_units, len(own.index)
    treated, comparison = np.zeros((n, events)), np.zeros((n, events))
    total = np.zeros(2)
    place = effects.shares.unit_cohort if effects.shares is not None else np.full(n, -1)
    sums = np.zeros((2, events))
    moved = []
    for j, stack in enumerate(stacks):
        change = panel.outcome[:, stack.times] - panel.outcome[:, [stack.base]]
        joins = np.where(place == j, panel.unit_weight, 0.0)
        other = np.where(stack.comparison, panel.unit_weight, 0.0)
        other *= joins.sum() / other.sum()  # the corrected weight, times constants
        sums += np.stack([joins @ change, other @ change])
        total += [joins.sum(), other.sum()]
        moved.append((change, joins, other))
    mean = sums / total[:, None]
    for change, joins, other in moved:
        treated += joins[:, None] * (change - mean[0]) / total[0]
        comparison += other[:, None] * (change - mean[1]) / total[1]
    values = n * (treated - comparison)
    values[:, own.index.is_reference] = 0.0
    return replace(own, influence=Influence(values, panel.unit_ids), shares=None)


def _notes(
    estimator: Stacked, panel: Panel, left_out: list[float], lost: tuple[Unidentified, ...], n_missing: int
) -> tuple[str, ...]:
    notes = []
    if left_out:
        listed = ", ".join(f"{g:g}" for g in left_out)
        notes.append(f"cohorts {listed} left out: not observed over the window {estimator.window}")
    if estimator.window is None:
        notes.append("no window: stacks are not trimmed, so event times rest on different cohorts")
    if lost:
        listed = ", ".join(sorted({f"{cell.cohort:g}" for cell in lost}))
        notes.append(f"cohorts {listed} have no comparison unit that is untreated until the end of the window")
    if estimator.covariates == "none" and panel.columns.covariates:
        notes.append(f"covariates are not used: {', '.join(panel.columns.covariates)}")
    holes = int((~np.isfinite(panel.outcome)).sum())
    if holes:
        notes.append(
            f"{holes} of {panel.outcome.size} unit-times are not observed; each cell uses the units observed at its "
            "time and at the base"
        )
    if n_missing:
        notes.append(f"{n_missing} cells not computed: no treated or no comparison unit is observed at both times")
    return tuple(notes)
