"""The cells of a design as one table: outcome changes of each cohort and of its comparison units, block by block."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.design.cells import Cell, comparison_units, list_cells
from groupeffect.design.design import Design
from groupeffect.effects.effects import Unidentified
from groupeffect.errors import EstimationError, NoComparisonError, SpecError
from groupeffect.panel.panel import Panel

__all__ = ["EventWindow", "Modifiers", "Stack", "make_stack", "read_modifiers"]

EventWindow = tuple[float, float]

MAX_LEVELS = 12
"""An attribute of words with more levels than this is a label, not a modifier."""


@dataclass(frozen=True, slots=True)
class Modifiers:
    """Columns that effects may vary with.

    Parameters
    ----------
    names : tuple of str
        One name per column; a level of a worded attribute is ``"stage=junior"``.
    values : ndarray of shape (n, T, q)
        Value at each time (attributes repeat).
    indicator : ndarray of bool, shape (q,)
        Columns of zeros and ones; they are not standardised.
    """

    names: tuple[str, ...]
    values: FloatArray
    indicator: BoolArray


@dataclass(frozen=True, slots=True)
class Stack:
    """One row per unit and block; a block is a cohort at the times that share base and comparison units.

    Parameters
    ----------
    unit : ndarray of int, shape (N,)
        Row of the panel.
    block : ndarray of int, shape (N,)
        Position of the block.
    treated : ndarray of bool, shape (N,)
        The unit belongs to the block's cohort (the others compare).
    change : ndarray of shape (N,)
        Mean outcome over the block's times minus the mean over its base times, outcome units.
    features : ndarray of shape (N, p)
        Modifiers, then the other covariates, all at the base period; centred and scaled over the rows.
    modifiers : ndarray of shape (N, q)
        Modifiers at the base period, as they are.
    unit_weight : ndarray of shape (N,)
        Weight of the unit.
    cohort : ndarray of shape (n_blocks,)
        Cohort of each block.
    n_cells : ndarray of shape (n_blocks,)
        Times averaged in each block.
    feature_names : tuple of str
        Names of the features.
    unidentified : tuple of Unidentified
        Treated cells without comparison.
    notes : tuple of str
        Rows left out.
    """

    unit: IntArray
    block: IntArray
    treated: BoolArray
    change: FloatArray
    features: FloatArray
    modifiers: FloatArray
    unit_weight: FloatArray
    cohort: FloatArray
    n_cells: FloatArray
    feature_names: tuple[str, ...]
    unidentified: tuple[Unidentified, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.cohort)

    @property
    def weight(self) -> FloatArray:
        """Unit weight times the share of the row's times in all times of the unit (treated) or of the cohort (others).

        Over the rows of a treated unit it adds up to the unit weight.
        """
        cells = self.n_cells[self.block]
        own = np.bincount(self.unit[self.treated], weights=cells[self.treated], minlength=int(self.unit.max()) + 1)
        present = np.isin(np.arange(self.n_blocks), self.block)
        cohorts, position = np.unique(self.cohort, return_inverse=True)
        per_cohort = np.bincount(position[present], weights=self.n_cells[present], minlength=len(cohorts))
        total = np.where(self.treated, own[self.unit], per_cohort[position[self.block]])
        return np.asarray(self.unit_weight * cells / total)

    def take(self, rows: AnyArray, *notes: str) -> Stack:
        """Take some rows (mask or positions), with further notes; block numbers stay."""
        return replace(
            self,
            unit=self.unit[rows],
            block=self.block[rows],
            treated=self.treated[rows],
            change=self.change[rows],
            features=self.features[rows],
            modifiers=self.modifiers[rows],
            unit_weight=self.unit_weight[rows],
            notes=(*self.notes, *notes),
        )


def read_modifiers(panel: Panel, names: tuple[str, ...] | None) -> Modifiers:
    """Columns of the named covariates and attributes; None = every covariate of the panel.

    Worded attributes become one indicator per level but the first (in alphabetical order).

    Raises
    ------
    SpecError
        If a name is neither a covariate nor an attribute, is named twice, or is a worded attribute with one level or
        more than `MAX_LEVELS`.
    """
    chosen = panel.columns.covariates if names is None else names
    if len(set(chosen)) != len(chosen):
        raise SpecError(f"A modifier is named twice: {', '.join(chosen)}.", hint="Name each modifier once.")
    columns: list[tuple[str, FloatArray]] = []
    for name in chosen:
        if name in panel.columns.covariates:
            columns.append((name, panel.covariates[:, :, panel.columns.covariates.index(name)]))
        elif name in panel.attributes:
            columns += [
                (label, np.repeat(values[:, None], panel.n_times, axis=1))
                for label, values in _attribute_columns(name, panel.attributes[name])
            ]
        else:
            known = [*panel.columns.covariates, *panel.attributes]
            raise SpecError(
                f"Modifier {name!r} is neither a covariate nor an attribute of the panel (known: "
                f"{', '.join(known) or 'none'}).",
                hint=f"Read the panel with Columns(..., covariates=({name!r},)) or attributes=({name!r},).",
            )
    values = np.stack([column for _, column in columns], axis=2) if columns else np.empty((*panel.outcome.shape, 0))
    seen = [column[np.isfinite(column)] for _, column in columns]
    indicator = np.array([bool(np.isin(column, (0.0, 1.0)).all()) for column in seen], dtype=bool)
    return Modifiers(tuple(label for label, _ in columns), values, indicator)


def _attribute_columns(name: str, values: AnyArray) -> list[tuple[str, FloatArray]]:
    if values.dtype.kind in "iufb":
        return [(name, values.astype(float))]
    words = np.array(["" if value is None or value != value else str(value) for value in values])
    levels = np.unique(words[words != ""])
    if len(levels) < 2 or len(levels) > MAX_LEVELS:
        raise SpecError(
            f"Attribute {name!r} has {len(levels)} different values; as a modifier it needs 2 to {MAX_LEVELS}.",
            hint="Group its values, or use a numeric attribute.",
        )
    return [(f"{name}={level}", np.where(words == "", np.nan, words == level)) for level in levels[1:]]


@dataclass(frozen=True, slots=True)
class _Block:
    """Cells of one cohort with the same base times and comparison units."""

    cells: tuple[Cell, ...]
    comparison: BoolArray

    @property
    def cohort(self) -> float:
        return self.cells[0].cohort


def make_stack(panel: Panel, design: Design, modifiers: Modifiers, window: EventWindow | None) -> Stack:
    """Stack the post-treatment cells of a design.

    Without holes in the outcome, cells of a cohort with the same comparison units are averaged over time and make one
    block, so that a comparison unit enters it once. With holes each cell is its own block, on the units observed at its
    time and at one base time at least.

    Parameters
    ----------
    panel, design : Panel, Design
    modifiers : Modifiers
    window : tuple of two floats, optional
        First and last event time to use, both included; all from 0 on by default.

    Raises
    ------
    NoComparisonError
        If no post-treatment cell has treated and comparison units.
    EstimationError
        If a unit that takes part has no value of a modifier in the base period, or a modifier is constant among treated
        units.
    """
    blocks, unidentified = _blocks(panel, design, window)
    parts = [_rows(panel, design, block, modifiers) for block in blocks]
    names = [name for name in panel.columns.covariates if name not in modifiers.names]
    unit = np.concatenate([part.unit for part in parts])
    stack = Stack(
        unit=unit,
        block=np.repeat(np.arange(len(parts)), [len(part.unit) for part in parts]),
        treated=np.concatenate([part.treated for part in parts]),
        change=np.concatenate([part.change for part in parts]),
        features=np.concatenate([part.features for part in parts]),
        modifiers=np.concatenate([part.modifiers for part in parts]),
        unit_weight=panel.unit_weight[unit],
        cohort=np.array([block.cohort for block in blocks]),
        n_cells=np.array([float(len(block.cells)) for block in blocks]),
        feature_names=(*modifiers.names, *names),
        unidentified=unidentified,
    )
    stack = _drop_incomplete(panel, stack, modifiers)
    _check_varying(stack, modifiers)
    return _scaled(stack)


def _blocks(panel: Panel, design: Design, window: EventWindow | None) -> tuple[list[_Block], tuple[Unidentified, ...]]:
    first, last = (0.0, np.inf) if window is None else window
    joined: dict[tuple[object, ...], _Block] = {}
    lost = _beyond_support(design)
    for cell in list_cells(design):
        elapsed = design.times[cell.time] - cell.cohort
        if elapsed < 0 or not first <= elapsed <= last or not design.effect_times[cell.time]:
            continue
        units = comparison_units(design, cell)
        if not units.any():
            time = float(design.times[cell.time])
            lost.append(Unidentified(cell.cohort, time, "no comparison unit is untreated by then"))
            continue
        own = None if panel.is_balanced else cell.time
        key = (cell.cohort, own, np.packbits(units).tobytes())
        known = joined.get(key)
        joined[key] = _Block((cell,) if known is None else (*known.cells, cell), units)
    if not joined:
        asked = "" if window is None else f" at event times {first:g} to {last:g}"
        raise NoComparisonError(
            f"No post-treatment cell{asked} has both treated and comparison units.",
            hint="Widen event_times or the comparison pool, or use comparison='not_yet_treated'.",
        )
    return list(joined.values()), tuple(lost)


def _beyond_support(design: Design) -> list[Unidentified]:
    """Treated cells of cohorts that join when, or after, the last comparison unit joins."""
    finite = np.unique(design.cohort[design.cohort <= design.times[-1]])
    return [
        Unidentified(float(g), float(time), "no comparison unit joins later or never")
        for g in np.setdiff1d(finite, design.cohorts)
        for time in design.times[design.times >= g]
    ]


@dataclass(frozen=True, slots=True)
class _Part:
    unit: IntArray
    treated: BoolArray
    change: FloatArray
    features: FloatArray
    modifiers: FloatArray


def _rows(panel: Panel, design: Design, block: _Block, modifiers: Modifiers) -> _Part:
    treated = design.cohort == block.cohort
    unit = np.flatnonzero(treated | block.comparison)
    base = block.cells[0].base
    after = panel.outcome[unit][:, np.array([cell.time for cell in block.cells])].mean(axis=1)
    before = _base_outcome(panel.outcome[unit][:, base], ~treated[unit])
    at_base = _mean_seen(modifiers.values[unit][:, base])
    others = np.array([name not in modifiers.names for name in panel.columns.covariates], dtype=bool)
    controls = _mean_seen(panel.covariates[unit][:, base][:, :, others])
    return _Part(unit, treated[unit], after - before, np.column_stack([at_base, controls]), at_base)


def _base_outcome(outcome: FloatArray, comparison: BoolArray) -> FloatArray:
    """Mean over the base times; for units not seen at all of them, corrected for the common course of the others.

    The common course are the time effects of a regression with unit effects on comparison units.
    """
    seen = np.isfinite(outcome)
    if seen.all() or outcome.shape[1] == 1:
        return _mean_seen(outcome)
    filled = np.where(seen, outcome, 0.0)
    centred = np.where(seen, filled - _mean_seen(outcome)[:, None], 0.0)[comparison]
    used = seen[comparison].astype(float)
    used_once = used / np.maximum(used.sum(axis=1, keepdims=True), 1.0)
    normal = np.diag(used.sum(axis=0)) - used.T @ used_once
    course = np.linalg.lstsq(normal, centred.sum(axis=0), rcond=None)[0]
    return np.asarray(_mean_seen(np.where(seen, outcome - course, np.nan)) + course.mean())


def _mean_seen(values: FloatArray) -> FloatArray:
    """Mean over the second axis of what is observed; nan where nothing is."""
    seen = np.isfinite(values)
    counts = seen.sum(axis=1)
    total = np.where(seen, values, 0.0).sum(axis=1)
    return np.asarray(np.where(counts > 0, total / np.maximum(counts, 1), np.nan))


def _drop_incomplete(panel: Panel, stack: Stack, modifiers: Modifiers) -> Stack:
    """Leave out rows without outcome change or covariates; refuse rows without a modifier."""
    observed = np.isfinite(stack.change)
    for k, name in enumerate(modifiers.names):
        missing = np.unique(stack.unit[observed & ~np.isfinite(stack.modifiers[:, k])])
        if len(missing):
            units = ", ".join(str(unit) for unit in panel.unit_ids[missing[:3]])
            raise EstimationError(
                f"Modifier {name!r} is missing in the base period for {len(missing)} units that take part (first: "
                f"{units}).",
                hint="Fill it in, leave these units out with panel.take_units(...), or leave the modifier out.",
            )
    complete = observed & np.isfinite(stack.features).all(axis=1)
    if complete.all():
        return stack
    out = int((~complete).sum())
    note = f"{out} of {len(complete)} unit-blocks left out of the scores: outcome or covariates not observed"
    return stack.take(complete, note)


def _check_varying(stack: Stack, modifiers: Modifiers) -> None:
    own = stack.modifiers[stack.treated]
    if len(own) == 0:
        return
    flat = np.ptp(own, axis=0) <= 1e-12 * np.maximum(np.abs(own).max(axis=0), 1.0)
    if flat.any():
        name = modifiers.names[int(np.argmax(flat))]
        n_treated = len(np.unique(stack.unit[stack.treated]))
        raise EstimationError(
            f"Modifier {name!r} is constant among the {n_treated} treated units, so effects cannot vary with it.",
            hint="Leave it out.",
        )


def _scaled(stack: Stack) -> Stack:
    """Centre and scale the features over the rows: better conditioned, the same fits of the default models."""
    if stack.features.shape[1] == 0 or len(stack.unit) == 0:
        return stack
    spread = stack.features.std(axis=0)
    return replace(stack, features=(stack.features - stack.features.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
