"""Estimates within areas: the yearly shocks and trends of a county are taken out by its schools never in a group.

Groups are founded county by county, so a good year, a trend or another reform of a county would pass for an effect of
joining, and schools of one county would move together without a group-level cluster knowing it. Both go when the common
path of the area is taken out first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.baseline import BaselineWindow
from groupeffect.design.design import Design
from groupeffect.effects.effects import Effects, ImpliedWeights
from groupeffect.effects.influence import Influence, cluster_codes, sum_by_code
from groupeffect.errors import EstimationError, SpecError
from groupeffect.panel.panel import Panel
from groupeffect.protocols import Estimator
from groupeffect.registry import EstimatorInfo

__all__ = ["AreaAdjusted"]

MIN_REFERENCE = 5
"""An area with fewer reference schools in any year follows the path of all areas together."""


@dataclass(frozen=True, slots=True)
class AreaAdjusted:
    r"""Another estimator on outcomes from which the path of the area has been taken out.

    Parameters
    ----------
    inner : Estimator
        A difference-in-differences estimator whose implied weights do not depend on outcomes.
    by : str
        Attribute of the panel with the area.
    reference : str
        Attribute of the panel that marks the schools whose mean change is the path of the area (never in a group).

    Notes
    -----
    The path :math:`M_{at}` of area a solves, over its reference schools j observed at t with unit weights
    :math:`\omega_j`,

    .. math:: \sum_j \omega_j (Y_{jt} - b_j - M_{at}) = 0, \qquad b_i = \mathrm{mean}_{s \in base}(Y_{is} - M_{a(i)s}),

    where the base :math:`b_i` of a school is over the base times at which it is observed. Common shocks are out of it,
    so missing base years do no harm. With implied weights :math:`W_{it}` on outcomes the estimate is
    :math:`\sum_{it} W_{it}(Y_{it} - M_{a(i)t})`. A reference school moves the path by

    .. math:: (I - A)^{+} \, \omega_j (Y_{jt} - b_j - M_{at}) / \sum_{j'} \omega_{j'} ,

    where A holds the weights of the base times in the bases of the schools observed at t; so the estimated paths are
    part of its influence. For a comparison pool of schools never in a group this is the estimate within areas, areas
    weighted by their treated schools.

    Only for designs with a baseline window.
    """

    inner: Estimator
    by: str
    reference: str

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="AreaAdjusted",
        label="difference-in-differences within areas",
        reference="callaway2021",
        family="did",
        provides=frozenset({"influence", "refit", "weights"}),
        handles=frozenset(
            {"staggered", "unbalanced", "unit_weight", "baseline_window", "never_treated", "not_yet_treated"}
        ),
    )

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Effects of the inner estimator on outcomes less the path of the area.

        Raises
        ------
        SpecError
            If an attribute is missing or the design has no baseline window.
        EstimationError
            If the inner estimator gives no influence or weights.
        """
        window = design.baseline
        if not isinstance(window, BaselineWindow):
            raise SpecError(
                f"AreaAdjusted needs a baseline window; the design has base period {window!r}.",
                hint="Use staggered_design(..., base_period=ge.baseline_window(first, last)).",
            )
        paths = _paths(panel, design, window, self.by, self.reference)
        if paths is None:
            effects = self.inner.estimate(panel, design)
            note = "no school is never in a group, so common shocks of areas are not taken out"
            return replace(effects, notes=(*effects.notes, note))
        effects = _without_base_cells(self.inner.estimate(*_against_own_base(panel, design, paths)), panel.times)
        if effects.influence is None or effects.weights is None:
            raise EstimationError(
                f"{self.inner.info.name} gives no influence or implied weights, which the adjustment for areas needs.",
                hint="Use a group-time estimator, or Roles(area=None).",
            )
        direct = partial(_on_outcomes, effects.weights, paths)
        use = _use_of_paths(direct(), paths)
        values = effects.influence.values - panel.n_units * _on_references(use, paths, panel.n_units)
        return replace(
            effects,
            influence=Influence(values, panel.unit_ids),
            weights=ImpliedWeights(partial(_implied, direct, paths)),
            notes=(*effects.notes, *paths.notes),
        )


@dataclass(frozen=True, slots=True)
class _Paths:
    """Paths of the areas, and of all together for areas with too few reference schools.

    Parameters
    ----------
    value : ndarray of shape (P, T)
        Mean change of the reference schools since the base; zero where nobody is observed.
    solve : ndarray of shape (P, T, T)
        From the equations of the times to the path: missing base years tie the times together.
    unit_path : ndarray of int, shape (n,)
        Path of each unit.
    row, path : ndarray of int, shape (m,)
        Reference schools and the paths that they help to trace: first each its own area's, then all the common one.
    n_own : int
        Number of the former.
    share, pull : ndarray of shape (m, T)
        Weight of the school in the path, and that times its distance from the path.
    in_base : ndarray of shape (n, T)
        Weight of each time in each unit's own base; a row of zeros for units without one.
    notes : tuple of str
    """

    value: FloatArray
    solve: FloatArray
    unit_path: IntArray
    row: IntArray
    path: IntArray
    n_own: int
    share: FloatArray
    pull: FloatArray
    in_base: FloatArray
    notes: tuple[str, ...]


def _paths(panel: Panel, design: Design, window: BaselineWindow, by: str, reference: str) -> _Paths | None:
    missing = [name for name in (by, reference) if name not in panel.attributes]
    if missing:
        raise SpecError(
            f"The panel lacks the attributes {missing} that the adjustment for areas needs.",
            hint="Read it with Columns(..., attributes=(...)), or use Roles(area=None).",
        )
    times, seen = panel.times, np.isfinite(panel.outcome)
    in_window = (times >= window.first) & (times <= window.last)
    in_base: BoolArray = np.asarray(seen & in_window & (times + design.anticipation < design.cohort[:, None]))
    base = in_base / np.maximum(in_base.sum(axis=1, keepdims=True), 1)
    refers = panel.attributes[reference].astype(bool) & in_base.any(axis=1)
    if not refers.any():
        return None
    outcome = np.where(seen, panel.outcome, 0.0)

    area, n_areas = cluster_codes(panel.attributes[by])
    counts: FloatArray = sum_by_code((refers[:, None] & seen).astype(float), area, n_areas)
    own: BoolArray = np.asarray((counts[:, seen.any(axis=0)] >= MIN_REFERENCE).all(axis=1))
    unit_path = np.where(own[area], area, n_areas)
    row = np.flatnonzero(refers & own[area])
    path, n_own = area[row], len(row)
    notes: tuple[str, ...] = ()
    if (unit_path == n_areas).any():
        every = np.flatnonzero(refers)
        row, path = np.r_[row, every], np.r_[path, np.full(len(every), n_areas)]
        notes = (
            f"{int((~own).sum())} of {n_areas} areas have fewer than {MIN_REFERENCE} schools never in a group and "
            "follow the path of all areas together",
        )
    weight = panel.unit_weight[row][:, None] * seen[row]
    total = sum_by_code(weight, path, n_areas + 1)
    share = weight / np.where(total > 0, total, 1.0)[path]
    solve = _solver(share, base[row], path, n_areas + 1)
    mean = (base * outcome).sum(axis=1)
    value = np.einsum("pts,ps->pt", solve, sum_by_code(share * (outcome - mean[:, None])[row], path, n_areas + 1))
    adjusted = outcome[row] - value[path]
    pull = share * (adjusted - (base[row] * adjusted).sum(axis=1, keepdims=True))
    return _Paths(value, solve, unit_path, row, path, n_own, share, pull, base, notes)


def _solver(share: FloatArray, base: FloatArray, path: IntArray, n_paths: int) -> FloatArray:
    """Pseudo-inverse of ``I - A`` per path, shape (P, T, T); a constant added to a path changes nothing."""
    n_times = share.shape[1]
    outer = (share[:, :, None] * base[:, None, :]).reshape(len(share), n_times * n_times)
    tied = sum_by_code(outer, path, n_paths).reshape(n_paths, n_times, n_times)
    return np.asarray(np.linalg.pinv(np.eye(n_times) - tied, rcond=1e-9))


def _against_own_base(panel: Panel, design: Design, paths: _Paths) -> tuple[Panel, Design]:
    """Panel and design with one more time in front, at which each unit's outcome is its base."""
    adjusted = panel.outcome - paths.value[paths.unit_path]
    known = paths.in_base.any(axis=1)
    base = np.where(known, (paths.in_base * np.where(np.isfinite(adjusted), adjusted, 0.0)).sum(axis=1), np.nan)
    # covariates count at the base times, as in a design with a window
    covariates = np.einsum("nt,ntp->np", paths.in_base, np.where(paths.in_base[:, :, None] > 0, panel.covariates, 0.0))
    first = float(panel.times[0]) - 1.0
    before = min(first, float(design.cohort.min()) - design.anticipation - 1.0)
    times = np.r_[before, panel.times]
    longer = replace(
        panel,
        outcome=np.column_stack([base, adjusted]),
        times=times,
        cell_size=None,
        covariates=np.repeat(covariates[:, None, :], len(times), axis=1),
    )
    mask = {name: np.r_[True, getattr(design, name)] for name in ("fit_times", "effect_times")}
    return longer, replace(design, times=times, baseline=BaselineWindow(before, before), **mask)


def _without_base_cells(effects: Effects, times: FloatArray) -> Effects:
    """Drop the cells of the added time, which are zero."""
    kept = np.flatnonzero(np.isin(effects.index.time, times))
    index = effects.index
    part = {name: getattr(index, name)[kept] for name in type(index).__dataclass_fields__}
    influence, weights = effects.influence, effects.weights
    return replace(
        effects,
        index=type(index)(**part),
        estimate=effects.estimate[kept],
        influence=None if influence is None else Influence(influence.values[:, kept], influence.unit_ids),
        weights=None if weights is None else ImpliedWeights(partial(_some_rows, weights, kept)),
    )


def _some_rows(weights: ImpliedWeights, rows: IntArray) -> FloatArray:
    return weights.dense()[rows]


def _on_outcomes(inner: ImpliedWeights, paths: _Paths) -> FloatArray:
    """Weights on adjusted outcomes, shape (k, n, T), from those on outcomes with the base in front."""
    weights = inner.dense()
    return np.asarray(weights[:, :, 1:] + weights[:, :, :1] * paths.in_base)


def _use_of_paths(weights: FloatArray, paths: _Paths) -> FloatArray:
    """Total weight of the units that follow each path, on the equations of its times, shape (k, P, T)."""
    k, n, n_times = weights.shape
    flat = weights.transpose(1, 0, 2).reshape(n, k * n_times)
    order = np.argsort(paths.unit_path, kind="stable")
    codes = paths.unit_path[order]
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    total = np.zeros((len(paths.value), k * n_times))
    total[codes[starts]] = np.add.reduceat(flat[order], starts, axis=0)
    return np.asarray(np.einsum("pkt,pts->kps", total.reshape(len(paths.value), k, n_times), paths.solve))


def _on_references(use: FloatArray, paths: _Paths, n: int) -> FloatArray:
    """Give the derivative of the estimates in the weights of the reference schools through the paths, shape (n, k)."""
    out = np.zeros((n, len(use)))
    moved = np.einsum("kmt,mt->mk", use[:, paths.path], paths.pull, optimize=True)
    out[paths.row[: paths.n_own]] += moved[: paths.n_own]
    out[paths.row[paths.n_own :]] += moved[paths.n_own :]
    return out


def _implied(direct: Callable[[], FloatArray], paths: _Paths) -> FloatArray:
    """Weights on outcomes, shape (k, n, T)."""
    weights = direct()
    use = _use_of_paths(weights, paths)
    for cell, by_path in zip(weights, use, strict=True):
        on_reference = by_path[paths.path] * paths.share
        through = on_reference.sum(axis=1, keepdims=True) * paths.in_base[paths.row] - on_reference
        np.add.at(cell, paths.row, through)
    return weights
