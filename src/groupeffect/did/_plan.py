"""Which 2x2 blocks a staggered design needs: cells that share units and covariates are computed together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.cells import Cell, comparison_units, list_cells
from groupeffect.design.design import Design
from groupeffect.effects.effects import Unidentified
from groupeffect.panel.panel import Panel

__all__ = ["Block", "Plan", "make_plan"]


@dataclass(frozen=True, slots=True)
class Block:
    """Cells of one cohort computed on the same units.

    Parameters
    ----------
    cells : tuple of int
        Positions in the plan's cells.
    rows : ndarray of int, shape (n_block,)
        Units of the block.
    treated : ndarray of bool, shape (n_block,)
        Units of the cohort.
    times : ndarray of int, shape (m,)
        Time of each cell.
    bases : tuple of ndarray of int
        Base times of each cell; their mean is the base outcome.
    share : float
        Weight of the block in its cells (below one when a cell is the mean over several base times).
    """

    cells: tuple[int, ...]
    rows: IntArray
    treated: BoolArray
    times: IntArray
    bases: tuple[IntArray, ...]
    share: float = 1.0

    def change(self, outcome: FloatArray) -> FloatArray:
        """Outcome changes of the block's units, shape (n_block, m)."""
        own = outcome[self.rows]
        if all(len(base) == 1 for base in self.bases):
            return np.asarray(own[:, self.times] - own[:, [int(base[0]) for base in self.bases]])
        means = [own[:, base].mean(axis=1) for base in self.bases]
        return np.asarray(own[:, self.times] - np.column_stack(means))


@dataclass(frozen=True, slots=True)
class Plan:
    """Cells that can be estimated, their blocks, and treated cells that cannot."""

    cells: tuple[Cell, ...]
    blocks: tuple[Block, ...]
    unidentified: tuple[Unidentified, ...]
    n_treated: IntArray
    n_comparison: IntArray


def make_plan(panel: Panel, design: Design, *, pairs: bool) -> Plan:
    """Plan the blocks of a design on a panel.

    Parameters
    ----------
    panel, design : Panel, Design
    pairs : bool
        Whether holes are handled by using, for each time and base time, the units observed at both. If False the
        blocks ignore holes (the caller works with observations, not with changes).
    """
    holes = pairs and not _complete(panel)
    observed = np.isfinite(panel.outcome) & np.isfinite(panel.covariates).all(axis=2)
    vary = bool((panel.covariates != panel.covariates[:, :1]).any())
    cells: list[Cell] = []
    blocks: list[Block] = []
    sizes: list[tuple[int, int]] = []
    lost: list[Unidentified] = _beyond_support(design)
    groups: dict[tuple[object, ...], list[int]] = {}
    for cell in list_cells(design):
        units = comparison_units(design, cell)
        treated = design.cohort == cell.cohort
        if not units.any():
            if design.times[cell.time] >= cell.cohort:
                lost.append(_lost(design, cell, "no comparison unit is untreated by then"))
            continue
        found = list(_pairs(len(cells), cell, treated, units, panel, observed)) if holes and not cell.is_base else []
        if holes and not cell.is_base and not found:
            lost.append(_lost(design, cell, "no treated or no comparison unit is observed at this time and the base"))
            continue
        blocks += found
        if not found and not cell.is_base:
            groups.setdefault(_group_key(design, cell, covariates_vary=vary), []).append(len(cells))
        seen = observed[:, cell.time] if holes or not pairs else np.ones(panel.n_units, dtype=bool)
        sizes.append((int((treated & seen).sum()), int((units & seen).sum())))
        cells.append(cell)
    blocks += [_joint(cells, members, design) for members in groups.values()]
    counts = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    return Plan(tuple(cells), tuple(blocks), tuple(lost), counts[:, 0], counts[:, 1])


def _complete(panel: Panel) -> bool:
    return panel.is_balanced and bool(np.isfinite(panel.covariates).all())


def _lost(design: Design, cell: Cell, reason: str) -> Unidentified:
    return Unidentified(cell.cohort, float(design.times[cell.time]), reason)


def _beyond_support(design: Design) -> list[Unidentified]:
    """Treated cells of cohorts that join when, or after, the last comparison unit joins."""
    known = set(design.cohorts.tolist())
    finite = np.unique(design.cohort[design.cohort <= design.times[-1]])
    return [
        Unidentified(float(g), float(time), "no comparison unit joins later or never")
        for g in finite
        if g not in known
        for time in design.times[design.times >= g]
    ]


def _group_key(design: Design, cell: Cell, *, covariates_vary: bool) -> tuple[object, ...]:
    """Cells with equal keys have the same units and the same covariates."""
    later: object = None
    if design.comparison == "not_yet_treated":
        pool = design.cohort[design.comparison_pool]
        later = int((pool > cell.threshold).sum())
    covariates = tuple(cell.base.tolist()) if covariates_vary else None
    return cell.cohort, later, covariates


def _joint(cells: list[Cell], members: list[int], design: Design) -> Block:
    chosen = [cells[j] for j in members]
    units = comparison_units(design, chosen[0])
    treated = design.cohort == chosen[0].cohort
    rows = np.flatnonzero(units | treated)
    times = np.array([cell.time for cell in chosen])
    return Block(tuple(members), rows, treated[rows], times, tuple(cell.base for cell in chosen))


def _pairs(
    position: int, cell: Cell, treated: BoolArray, units: BoolArray, panel: Panel, observed: BoolArray
) -> Iterator[Block]:
    """Blocks of a cell of an unbalanced panel: one for each base time, on the units observed at both times."""
    usable = []
    for base in cell.base:
        if base == cell.time:  # a time inside a baseline window against itself: zero
            usable.append((base, observed[:, base]))
            continue
        seen = np.isfinite(panel.outcome[:, cell.time]) & observed[:, base]
        if (treated & seen).any() and (units & seen).any():
            usable.append((base, seen))
    for base, seen in usable:
        if base == cell.time:
            continue
        rows = np.flatnonzero((units | treated) & seen)
        yield Block(
            (position,), rows, treated[rows], np.array([cell.time]), (np.array([base]),), share=1.0 / len(usable)
        )
