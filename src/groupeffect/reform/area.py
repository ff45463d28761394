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

MIN_NEVER = 3
"""An area with fewer schools never in a group in any year has no path of its own."""

ENOUGH_NEVER = 0.5
"""Share of the treated school-years in areas with a path traced by schools never in a group that settles the choice."""

MIN_WAITING = 5
"""Fewest school_groups yet to come (and schools never in one) that trace the path of an area at a time."""


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
        Attribute of the panel with the first time at which a school no longer traces the path of its area: inf for
        schools never in a group, the year before joining for others, -inf for schools that never do.
    cluster : str
        Attribute of the panel with the clusters of the inference. A path needs several: one school_group alone would
        make its own path, and no variance would show how uncertain it is.

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
    cluster: str

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
        paths = _paths(panel, design, window, self)
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
            notes=(*_true_counts(effects, panel), *paths.notes),
        )


def within_areas(panel: Panel, design: Design, estimator: Estimator) -> Panel:
    """Panel whose outcomes are less the path of the area, for estimators that `AreaAdjusted` cannot hold.

    Parameters
    ----------
    panel, design : Panel, Design
    estimator : Estimator
        As a role's full estimator; anything but `AreaAdjusted` leaves the panel as it is.

    Returns
    -------
    Panel
        The paths are taken as known: what comes of it has no part of their uncertainty.
    """
    if not isinstance(estimator, AreaAdjusted) or not isinstance(design.baseline, BaselineWindow):
        return panel
    paths = _paths(panel, design, design.baseline, estimator)
    return panel.with_outcome(panel.outcome - paths.value[paths.unit_path])


@dataclass(frozen=True, slots=True)
class _Tracing:
    """Who traces which path.

    Parameters
    ----------
    refers : ndarray of bool, shape (n, T)
        Schools observed outside any group at that time, whose changes make the path.
    pooled : ndarray of bool, shape (n_areas,)
        Areas with too few of them, which follow the path of all areas together.
    lost : ndarray of bool, shape (n_areas, T)
        Areas and times without any path: their outcomes are left out.
    notes : tuple of str
    """

    refers: BoolArray
    pooled: BoolArray
    lost: BoolArray
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Paths:
    """Paths of the areas, and of all together for areas with too few reference schools.

    Parameters
    ----------
    value : ndarray of shape (P, T)
        Mean change of the reference schools since the base; zero where nobody is observed, nan where it is lost.
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
    own_base : ndarray of shape (m, T)
        Weight of each time in the base of the reference school.
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
    own_base: FloatArray
    in_base: FloatArray
    notes: tuple[str, ...]


def _paths(panel: Panel, design: Design, window: BaselineWindow, names: AreaAdjusted) -> _Paths:
    missing = [name for name in (names.by, names.reference, names.cluster) if name not in panel.attributes]
    if missing:
        raise SpecError(
            f"The panel lacks the attributes {missing} that the adjustment for areas needs.",
            hint="Read it with Columns(..., attributes=(...)), or use Roles(area=None).",
        )
    times, seen = panel.times, np.isfinite(panel.outcome)
    in_window: BoolArray = np.asarray((times >= window.first) & (times <= window.last))
    area, n_areas = cluster_codes(panel.attributes[names.by])
    tracing = _trace(panel, design, in_window, area, names)

    traces = tracing.refers.any(axis=1)
    row = np.flatnonzero(traces & ~tracing.pooled[area])
    path, n_own = area[row], len(row)
    if tracing.pooled.any():
        every = np.flatnonzero(traces)
        row, path = np.r_[row, every], np.r_[path, np.full(len(every), n_areas)]
    weight = panel.unit_weight[row][:, None] * tracing.refers[row]
    total: FloatArray = sum_by_code(weight, path, n_areas + 1)
    share = weight / np.where(total > 0, total, 1.0)[path]
    own_base = _shares(tracing.refers[row] & in_window)
    solve = _solver(share, own_base, path, n_areas + 1)
    outcome = np.where(seen, panel.outcome, 0.0)[row]
    change = outcome - (own_base * outcome).sum(axis=1, keepdims=True)
    value = np.einsum("pts,ps->pt", solve, sum_by_code(share * change, path, n_areas + 1))
    adjusted = outcome - value[path]
    pull = share * (adjusted - (own_base * adjusted).sum(axis=1, keepdims=True))
    value[:n_areas][tracing.lost] = np.nan
    in_base = _shares(seen & in_window & (times + design.anticipation < design.cohort[:, None]))
    unit_path = np.where(tracing.pooled[area], n_areas, area)
    return _Paths(value, solve, unit_path, row, path, n_own, share, pull, own_base, in_base, tracing.notes)


def _trace(panel: Panel, design: Design, in_window: BoolArray, area: IntArray, names: AreaAdjusted) -> _Tracing:
    """Let schools never in a group trace the paths; where nearly all are in one, schools not yet in a group."""
    seen, until = np.isfinite(panel.outcome), panel.attributes[names.reference].astype(float)
    cluster = cluster_codes(panel.attributes[names.cluster])[0]
    active, n_areas = np.flatnonzero(seen.any(axis=0)), int(area.max()) + 1
    base = np.intersect1d(active, np.flatnonzero(in_window))
    based: BoolArray = np.asarray(seen[:, base].any(axis=1))
    refers: BoolArray = np.asarray(seen & (panel.times < until[:, None]) & based[:, None])
    never: BoolArray = np.asarray(refers & np.isposinf(until)[:, None])
    cells: BoolArray = np.asarray((panel.times >= design.cohort[:, None]) & seen)

    fewest: IntArray = _clusters_by(area, cluster, never)[:, active].min(axis=1)
    own: BoolArray = np.asarray(fewest >= MIN_NEVER)
    count = _clusters_by(area, cluster, refers)
    in_base: IntArray = count[:, base].min(axis=1)
    held: BoolArray = np.asarray((count >= MIN_WAITING) & (in_base >= MIN_WAITING)[:, None])
    n_own, n_held = int(cells[own[area]].sum()), int((cells & held[area]).sum())
    if never.any() and n_own >= min(n_held, ENOUGH_NEVER * cells.sum()):
        text = (
            f"{int((~own).sum())} of {n_areas} areas have fewer than {MIN_NEVER} schools never in a group and follow "
            "the path of all areas together, so that part of their own shocks stays in"
        )
        none: BoolArray = np.zeros(held.shape, dtype=np.bool_)
        return _Tracing(never, np.asarray(~own), none, () if own.all() else (text,))
    text = (
        "too few schools are never in a group: schools not yet in one trace the paths of their areas, and "
        f"{int(cells.sum()) - n_held} of {int(cells.sum())} treated school-years in areas with fewer than "
        f"{MIN_WAITING} school_groups yet to come are left out"
    )
    return _Tracing(refers, np.zeros(n_areas, dtype=np.bool_), np.asarray(~held), (text,))


def _clusters_by(area: IntArray, cluster: IntArray, mask: BoolArray) -> IntArray:
    """Count the distinct clusters of the marked schools by area and time, shape (n_areas, T)."""
    n_clusters, n_areas = int(cluster.max()) + 1, int(area.max()) + 1
    pair = area * n_clusters + cluster
    columns = [np.bincount(np.unique(pair[marked]) // n_clusters, minlength=n_areas) for marked in mask.T]
    return np.column_stack(columns)


def _shares(mask: BoolArray) -> FloatArray:
    """Equal weights over the marked times of each row; zero in rows without any."""
    return np.asarray(mask / np.maximum(mask.sum(axis=1, keepdims=True), 1))


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
        unidentified=tuple(cell for cell in effects.unidentified if cell.time in times),
        index=type(index)(**part),
        estimate=effects.estimate[kept],
        influence=None if influence is None else Influence(influence.values[:, kept], influence.unit_ids),
        weights=None if weights is None else ImpliedWeights(partial(_some_rows, weights, kept)),
    )


def _true_counts(effects: Effects, panel: Panel) -> list[str]:
    """Give the notes of the inner estimator, with the counts that the added time changed made again."""
    counted = ("unit-times are not observed", "treated cohort-times have no comparison")
    notes = [note for note in effects.notes if not any(text in note for text in counted)]
    holes = int((~np.isfinite(panel.outcome)).sum())
    if holes:
        notes.append(f"{holes} of {panel.outcome.size} unit-times are not observed; cells use the units observed then")
    if effects.unidentified:
        known = effects.index.event_time[np.isfinite(effects.estimate)]
        notes.append(
            f"{len(effects.unidentified)} treated cohort-times have no comparison and are not estimated; the last "
            f"identified event time is {known.max():g}"
        )
    return notes


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
        through = on_reference.sum(axis=1, keepdims=True) * paths.own_base - on_reference
        np.add.at(cell, paths.row, through)
    return weights
