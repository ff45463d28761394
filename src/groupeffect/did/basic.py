"""Two sides, two times: the building block of difference-in-differences as a function of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray
from groupeffect.did._cross_sections import Convention, SectionMethod, cross_section_block
from groupeffect.did._improved import further_panel_block
from groupeffect.did._two_by_two import panel_block
from groupeffect.errors import NoComparisonError, NoTreatedError, PanelError, SpecError

__all__ = ["TwoByTwo", "two_by_two", "two_by_two_cross_sections"]

PanelMethod: TypeAlias = Literal["dr", "ipw", "reg", "dr_improved", "ipw_unnormalised", "twfe"]
PANEL_METHODS: tuple[PanelMethod, ...] = ("dr", "ipw", "reg", "dr_improved", "ipw_unnormalised", "twfe")


@dataclass(frozen=True, slots=True)
class TwoByTwo:
    """One 2x2 difference in differences.

    Parameters
    ----------
    estimate : float
        Average effect on the treated, outcome units.
    influence : ndarray of shape (n,)
        Mean zero; ``estimate - truth`` is approximately its mean over the n rows (units of a panel, observations of
        cross-sections). Its cluster sums are what a cluster-robust variance needs.
    weights : ndarray of shape (n,)
        Weights on the outcome changes (panel) or outcomes (cross-sections) that reproduce the estimate.
    n_treated, n_comparison : int
        Rows on either side.
    n_trimmed : int
        Comparison rows without weight because their propensity is too high.
    """

    estimate: float
    influence: FloatArray
    weights: FloatArray
    n_treated: int
    n_comparison: int
    n_trimmed: int = 0


def two_by_two(
    outcome_post: FloatArray,
    outcome_pre: FloatArray,
    treated: AnyArray,
    covariates: FloatArray | None = None,
    *,
    method: PanelMethod = "dr",
    weight: FloatArray | None = None,
) -> TwoByTwo:
    """Effect of treatment on the treated from the same units observed before and after.

    Parameters
    ----------
    outcome_post, outcome_pre : ndarray of shape (n,)
        Outcome of each unit after and before, outcome units.
    treated : ndarray of bool (or 0/1), shape (n,)
        Units treated in between.
    covariates : ndarray of shape (n, p), optional
        Measured before treatment; without a constant column.
    method : {"dr", "ipw", "reg", "dr_improved", "ipw_unnormalised", "twfe"}, default "dr"
        Doubly robust, normalised weighting, outcome regression (:func:`groupeffect.did._two_by_two.panel_block`), or
        one of :func:`groupeffect.did._improved.further_panel_block`.
    weight : ndarray of shape (n,), optional
        Positive sampling weights; equal by default.

    Returns
    -------
    TwoByTwo

    Raises
    ------
    PanelError
        If lengths differ, values are missing or weights are not positive.
    NoTreatedError, NoComparisonError
        If one side is empty.
    OverlapError, SingularDesignError
        If the covariates separate the sides, or are collinear.
    SpecError
        If `method` is unknown.

    References
    ----------
    .. [1] Sant'Anna, P. H. C. and Zhao, J. (2020). Doubly robust difference-in-differences estimators.
       Journal of Econometrics 219(1), 101-122.

    Examples
    --------
    >>> import numpy as np
    >>> two_by_two(np.array([3.0, 5.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0, 1.0]), np.array([1, 1, 0, 0])).estimate
    2.0
    """
    if method not in PANEL_METHODS:
        raise SpecError(f"method={method!r} is unknown.", hint=f"Use one of {', '.join(PANEL_METHODS)}.")
    rows = _Rows.checked((outcome_post, outcome_pre), treated, covariates, weight)
    change = (rows.outcomes[0] - rows.outcomes[1])[:, None]
    if method == "dr" or method == "ipw" or method == "reg":
        result = panel_block(change, rows.treated, rows.covariates, rows.weight, method=method)
    else:
        result = further_panel_block(change, rows.treated, rows.covariates, rows.weight, method=method)
    return TwoByTwo(
        float(result.estimate[0]), result.influence[:, 0], result.weights, *rows.sizes(), n_trimmed=result.n_trimmed
    )


def two_by_two_cross_sections(
    outcome: FloatArray,
    post: AnyArray,
    treated: AnyArray,
    covariates: FloatArray | None = None,
    *,
    method: SectionMethod = "dr",
    weight: FloatArray | None = None,
    convention: Convention = "derivative",
) -> TwoByTwo:
    """Effect of treatment on the treated from different units observed before and after.

    Parameters
    ----------
    outcome : ndarray of shape (m,)
        Outcome of each observation, outcome units.
    post : ndarray of bool (or 0/1), shape (m,)
        Observed after treatment began.
    treated : ndarray of bool (or 0/1), shape (m,)
        Belongs to the treated side, before and after.
    covariates : ndarray of shape (m, p), optional
        Not affected by treatment; without a constant column.
    method : {"dr", "ipw", "reg", "dr_simple", "dr_improved", "dr_improved_simple", "ipw_unnormalised", "twfe"}
        See :func:`groupeffect.did._cross_sections.cross_section_block`; ``"dr"`` by default, the locally efficient one.
    weight : ndarray of shape (m,), optional
        Positive sampling weights; equal by default.
    convention : {"derivative", "drdid"}, default "derivative"
        ``"drdid"`` gives the influence of R's DRDID 1.2.3 where it differs (``"dr"`` and ``"dr_simple"``).

    Returns
    -------
    TwoByTwo

    Raises
    ------
    PanelError
        If lengths differ, values are missing or weights are not positive.
    NoTreatedError, NoComparisonError, EstimationError
        If one of the four sides is empty.
    OverlapError, SingularDesignError
        If the covariates separate the sides, or are collinear.
    SpecError
        If `method` or `convention` is unknown.

    References
    ----------
    .. [1] Sant'Anna, P. H. C. and Zhao, J. (2020). Doubly robust difference-in-differences estimators.
       Journal of Econometrics 219(1), 101-122.
    """
    rows = _Rows.checked((outcome,), treated, covariates, weight)
    after = _flags(post, len(rows.treated), "post")
    with_constant = np.column_stack([np.ones(len(after)), rows.covariates])
    result = cross_section_block(
        rows.outcomes[0], after, rows.treated, with_constant, rows.weight, method=method, convention=convention
    )
    return TwoByTwo(result.estimate, result.influence, result.weights, *rows.sizes(), n_trimmed=result.n_trimmed)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Checked input: every array of the same length, complete, both sides present."""

    outcomes: tuple[FloatArray, ...]
    treated: BoolArray
    covariates: FloatArray
    weight: FloatArray

    @classmethod
    def checked(
        cls,
        outcomes: Sequence[FloatArray],
        treated: AnyArray,
        covariates: FloatArray | None,
        weight: FloatArray | None,
    ) -> _Rows:
        values = tuple(np.asarray(outcome, dtype=float) for outcome in outcomes)
        n = len(values[0])
        columns = np.empty((n, 0)) if covariates is None else np.asarray(covariates, dtype=float)
        columns = columns[:, None] if columns.ndim == 1 else columns
        counts = np.ones(n) if weight is None else np.asarray(weight, dtype=float)
        named = [(f"outcome {i + 1}", value) for i, value in enumerate(values)]
        for name, value in [*named, ("covariates", columns), ("weight", counts)]:
            if len(value) != n or (name != "covariates" and value.ndim != 1):
                raise PanelError(f"{name} has shape {value.shape}, expected {n} rows.")
            missing = int((~np.isfinite(value)).sum())
            if missing:
                raise PanelError(
                    f"{name} has {missing} values that are not finite.", hint="Leave those rows out first."
                )
        if (counts <= 0).any():
            raise PanelError(
                f"{int((counts <= 0).sum())} weights are not positive.", hint="Leave those rows out first."
            )
        side = _flags(treated, n, "treated")
        if not side.any():
            raise NoTreatedError(f"None of the {n} rows is treated.", hint="Check the treated indicator.")
        if side.all():
            raise NoComparisonError(f"All {n} rows are treated.", hint="Add untreated rows.")
        return cls(values, side, columns, counts)

    def sizes(self) -> tuple[int, int]:
        return int(self.treated.sum()), int((~self.treated).sum())


def _flags(values: AnyArray, n: int, name: str) -> BoolArray:
    flags = np.asarray(values)
    if flags.shape != (n,) or not np.isin(flags, (0, 1)).all():
        raise PanelError(f"{name} must hold {n} values that are 0 or 1 (or bool); its shape is {flags.shape}.")
    return np.asarray(flags, dtype=bool)
