"""Group-time average treatment effects of Callaway and Sant'Anna (2021)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from groupeffect._types import FloatArray, IntArray
from groupeffect.design.design import Design
from groupeffect.did._cross_sections import Convention, cross_section_block
from groupeffect.did._plan import Block, Plan, make_plan
from groupeffect.did._two_by_two import BlockResult, Method, panel_block
from groupeffect.effects.effects import EffectIndex, Effects, ImpliedWeights
from groupeffect.effects.influence import Influence, Shares
from groupeffect.errors import EstimationError, NoComparisonError, SpecError, WeakOverlapWarning
from groupeffect.numerics.threads import one_blas_thread
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register, staggered_features

__all__ = ["CallawaySantAnna"]

SMALL_COHORT = 5


@register
@dataclass(frozen=True, slots=True)
class CallawaySantAnna:
    """Average effect on the treated for every cohort and time, from clean comparisons only.

    Parameters
    ----------
    method : {"dr", "ipw", "reg"}, default "dr"
        Doubly robust, normalised inverse probability weighting, or outcome regression. Without covariates they agree.
    unbalanced : {"cross_sections", "pairs"}, default "cross_sections"
        What to do when some outcomes are not observed.
        ``"cross_sections"``: treat observations as repeated cross-sections with influence summed by unit, as R's
        ``did`` does with ``allow_unbalanced_panel=TRUE``; consistent, but it gives up differences within units, so
        changes in *which* units are observed add noise.
        ``"pairs"``: use, for each time and base time, the units observed at both; keeps within-unit differences and is
        usually far more precise. For a baseline window the cell is the mean over its base times.
        To drop incomplete units as ``did`` does by default, call ``panel.balanced("drop_units")`` first.
    convention : {"derivative", "drdid"}, default "derivative"
        Influence of the doubly robust estimate from cross-sections (``unbalanced="cross_sections"`` with covariates; it
        changes nothing elsewhere). ``"derivative"`` is the derivative of the estimate in each unit's weight.
        ``"drdid"`` is that of R's DRDID 1.2.3, and so of ``did``, in which one term has the opposite sign; only for
        comparing standard errors with R.

    Notes
    -----
    Options of the comparison (pool, anticipation, base period) belong to the design. Covariates are taken at the base
    period; for a baseline window their mean over it; in cross-sections each observation's own. Cells before treatment
    are reported too. A cell that cannot be computed is nan with the reason in ``notes``, and announced by
    `WeakOverlapWarning`; it takes no part in aggregations.

    Differences from R's ``did`` 2.5: none in estimates, and none in analytic standard errors with ``ClusterRobust()``
    but for the one that `convention` describes; when some units of the comparison pool join last and nobody is never
    treated, that cohort serves as comparison only, as there.

    References
    ----------
    .. [1] Callaway, B. and Sant'Anna, P. H. C. (2021). Difference-in-differences with multiple time periods.
       Journal of Econometrics 225(2), 200-230.
    .. [2] Sant'Anna, P. H. C. and Zhao, J. (2020). Doubly robust difference-in-differences estimators.
       Journal of Econometrics 219(1), 101-122.
    """

    method: Method = "dr"
    unbalanced: Literal["cross_sections", "pairs"] = "cross_sections"
    convention: Convention = "derivative"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="CallawaySantAnna",
        label="Callaway-Sant'Anna",
        reference="callaway2021",
        family="did",
        provides=frozenset({"influence", "refit", "weights"}),
        handles=staggered_features("covariates", "baseline_window"),
        unbiased_under=("parallel_trends", "covariate_trends", "heterogeneous_cohorts", "anticipation", "unbalanced"),
        exact_tol=1e-9,
        varies_with=frozenset({"unit_constants_with_holes"}),
    )

    def __post_init__(self) -> None:
        if self.method not in ("dr", "ipw", "reg"):
            raise SpecError(f"method={self.method!r} is unknown.", hint="Use 'dr', 'ipw' or 'reg'.")
        if self.unbalanced not in ("cross_sections", "pairs"):
            raise SpecError(f"unbalanced={self.unbalanced!r} is unknown.", hint="Use 'cross_sections' or 'pairs'.")
        if self.convention not in ("derivative", "drdid"):
            raise SpecError(f"convention={self.convention!r} is unknown.", hint="Use 'derivative' or 'drdid'.")

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Cohort x time effects; see the class.

        Raises
        ------
        NoComparisonError
            If no post-treatment cell has a comparison.
        EstimationError
            If no post-treatment cell can be computed (the first cell's reason is given).
        """
        sections = self._as_sections(panel)
        plan = make_plan(panel, design, pairs=not sections)
        if not any(design.times[cell.time] >= cell.cohort for cell in plan.cells):
            raise NoComparisonError(
                "No cell after treatment has both treated and comparison units.",
                hint="Use comparison='not_yet_treated' or widen the comparison pool.",
            )
        k = len(plan.cells)
        total = np.zeros(k)
        influence = np.zeros((panel.n_units, k), order="F")
        failed: dict[int, str] = {}
        n_trimmed = 0
        with one_blas_thread():
            for block in plan.blocks:
                columns = list(block.cells)
                try:
                    result = _run(self, panel, block, sections=sections)
                except EstimationError as error:
                    failed |= dict.fromkeys(columns, error.message)
                    continue
                n_trimmed += result.n_trimmed
                total[columns] += block.share * result.estimate
                scale = block.share * panel.n_units / len(block.rows)
                for j, column in enumerate(columns):
                    influence[block.rows, column] += scale * result.influence[:, j]
        total[list(failed)] = np.nan
        influence[:, list(failed)] = 0.0
        notes = _notes(panel, plan, design, failed, n_trimmed, sections=sections)
        return Effects(
            _index(plan, design),
            total,
            influence=Influence(influence, panel.unit_ids),
            shares=_shares(panel, design),
            weights=ImpliedWeights(partial(_implied_weights, self, panel, design)),
            unidentified=plan.unidentified,
            notes=notes,
        )

    def _as_sections(self, panel: Panel) -> bool:
        return self.unbalanced == "cross_sections" and not panel.is_balanced


def _run(estimator: CallawaySantAnna, panel: Panel, block: Block, *, sections: bool) -> BlockResult:
    """One block, from changes or from observations; the influence is by unit of the block either way."""
    if sections:
        return _run_sections(estimator, panel, block)[0]
    covariates = _base_covariates(panel, block)
    return panel_block(
        block.change(panel.outcome), block.treated, covariates, panel.unit_weight[block.rows], method=estimator.method
    )


def _base_covariates(panel: Panel, block: Block) -> FloatArray:
    base = block.bases[0]
    own = panel.covariates[block.rows]
    return own[:, base[0]] if len(base) == 1 else own[:, base].mean(axis=1)


def _run_sections(
    estimator: CallawaySantAnna, panel: Panel, block: Block
) -> tuple[BlockResult, list[list[tuple[IntArray, int, FloatArray]]]]:
    """Cells of a block from observations; also the implied weights as (units, time, weights) per cell."""
    n_block, m = len(block.rows), len(block.cells)
    estimates, influence = np.zeros(m), np.zeros((n_block, m))
    places: list[list[tuple[IntArray, int, FloatArray]]] = []
    n_trimmed = 0
    for j in range(m):
        time, bases = int(block.times[j]), [int(base) for base in block.bases[j] if base != block.times[j]]
        share = 1.0 / len(block.bases[j])
        places.append([])
        for base in bases:
            after, before = (_seen(panel, block, position) for position in (time, base))
            units = np.concatenate([after, before])
            rows = block.rows[units]
            at = np.repeat([time, base], [len(after), len(before)])
            result = cross_section_block(
                panel.outcome[rows, at],
                at == time,
                block.treated[units],
                np.column_stack([np.ones(len(rows)), panel.covariates[rows, at]]),
                panel.unit_weight[rows],
                method=estimator.method,
                convention=estimator.convention,
            )
            estimates[j] += share * float(result.estimate)
            scale = share * n_block / len(rows)
            influence[:, j] += scale * np.bincount(units, weights=result.influence.ravel(), minlength=n_block)
            n_trimmed += result.n_trimmed
            weights = share * result.weights
            places[-1] += [(rows[at == time], time, weights[at == time]), (rows[at == base], base, weights[at == base])]
    return BlockResult(estimates, influence, np.empty(0), n_trimmed), places


def _seen(panel: Panel, block: Block, time: int) -> IntArray:
    """Units of a block observed at a time, as positions in the block."""
    seen = np.isfinite(panel.outcome[block.rows, time]) & np.isfinite(panel.covariates[block.rows, time]).all(axis=1)
    if not (seen & block.treated).any() or not (seen & ~block.treated).any():
        raise EstimationError("no treated or no comparison unit is observed at the time or the base time")
    return np.flatnonzero(seen)


def _implied_weights(estimator: CallawaySantAnna, panel: Panel, design: Design) -> FloatArray:
    """Weights on outcomes that reproduce the cells, shape (k, n, T); see `ImpliedWeights`."""
    sections = estimator._as_sections(panel)
    plan = make_plan(panel, design, pairs=not sections)
    out = np.zeros((len(plan.cells), panel.n_units, panel.n_times))
    for block in plan.blocks:
        try:
            if sections:
                for cell, places in zip(block.cells, _run_sections(estimator, panel, block)[1], strict=True):
                    for rows, time, weights in places:
                        out[cell, rows, time] += weights
                continue
            result = _run(estimator, panel, block, sections=False)
        except EstimationError:
            continue  # the cell is nan and its reason stands in the notes of the estimate
        for cell, time, base in zip(block.cells, block.times, block.bases, strict=True):
            out[cell, block.rows, time] += block.share * result.weights
            for position in base:
                out[cell, block.rows, position] -= block.share * result.weights / len(base)
    return out


def _index(plan: Plan, design: Design) -> EffectIndex:
    cohort = np.array([cell.cohort for cell in plan.cells])
    time = design.times[[cell.time for cell in plan.cells]]
    return EffectIndex.build(
        term="att",
        cohort=cohort,
        time=time,
        event_time=time - cohort,
        n_treated=plan.n_treated,
        n_comparison=plan.n_comparison,
        is_reference=np.array([cell.is_base for cell in plan.cells]),
    )


def _shares(panel: Panel, design: Design) -> Shares:
    cohorts = design.cohorts
    position = np.searchsorted(cohorts, design.cohort)
    position = np.minimum(position, len(cohorts) - 1)
    member = cohorts[position] == design.cohort
    return Shares(cohorts, np.where(member, position, -1), panel.unit_weight)


def _notes(
    panel: Panel, plan: Plan, design: Design, failed: dict[int, str], n_trimmed: int, *, sections: bool
) -> tuple[str, ...]:
    notes = []
    if failed:
        names = [f"({plan.cells[j].cohort:g}, {design.times[plan.cells[j].time]:g})" for j in sorted(failed)]
        post = [j for j in range(len(plan.cells)) if design.times[plan.cells[j].time] >= plan.cells[j].cohort]
        reason = failed[min(failed)]
        if all(j in failed for j in post):
            raise EstimationError(
                f"None of the {len(post)} post-treatment cells can be computed. First reason: {reason}",
                hint="Use fewer covariates, method='reg', or a wider comparison pool.",
            )
        text = f"{len(failed)} cells (cohort, time) not computed: {', '.join(names[:6])}; first reason: {reason}"
        warnings.warn(text, WeakOverlapWarning, stacklevel=4)
        notes.append(text)
    if n_trimmed:
        text = f"comparison units with a propensity of 0.995 or more got no weight ({n_trimmed} unit-blocks)"
        warnings.warn(text, WeakOverlapWarning, stacklevel=4)
        notes.append(text)
    holes = int((~np.isfinite(panel.outcome)).sum())
    if holes:
        how = "repeated cross-sections" if sections else "pairs of times observed in the same unit"
        notes.append(f"{holes} of {panel.outcome.size} unit-times are not observed; cells use {how}")
    small = [f"{g:g}" for g in design.cohorts if (design.cohort == g).sum() < SMALL_COHORT]
    if small:
        notes.append(f"cohorts with fewer than {SMALL_COHORT} units: {', '.join(small)}")
    if plan.unidentified:
        last = max((cell.time - cell.cohort for cell in _post(plan, design)), default=float("nan"))
        notes.append(
            f"{len(plan.unidentified)} treated cohort-times have no comparison and are not estimated; "
            f"the last identified event time is {last:g}"
        )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class _CellTime:
    cohort: float
    time: float


def _post(plan: Plan, design: Design) -> list[_CellTime]:
    cells = [_CellTime(cell.cohort, float(design.times[cell.time])) for cell in plan.cells]
    return [cell for cell in cells if cell.time >= cell.cohort]
