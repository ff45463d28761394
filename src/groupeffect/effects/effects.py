"""The one return type of estimators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.design.aggregation import Aggregation
from groupeffect.effects.influence import Influence, Shares
from groupeffect.errors import EstimationError

if TYPE_CHECKING:
    from groupeffect._types import Capability

__all__ = ["Counterfactual", "EffectIndex", "Effects", "ImpliedWeights", "Regression", "Scores", "Unidentified"]


@dataclass(frozen=True, slots=True)
class EffectIndex:
    """Keys of the k rows of estimates; nan where a key does not apply.

    Parameters
    ----------
    term : ndarray of str, shape (k,)
        Name of the effect, for example ``"att"``.
    cohort, time, event_time : ndarray of shape (k,)
        First treated time, calendar time, time since treatment.
    n_treated, n_comparison : ndarray of int, shape (k,)
        Units behind the row on either side.
    is_reference : ndarray of bool, shape (k,)
        Rows that are zero by construction (the base period).
    """

    term: AnyArray
    cohort: FloatArray
    time: FloatArray
    event_time: FloatArray
    n_treated: IntArray
    n_comparison: IntArray
    is_reference: BoolArray

    @classmethod
    def build(
        cls,
        *,
        term: str | AnyArray,
        cohort: FloatArray | None = None,
        time: FloatArray | None = None,
        event_time: FloatArray | None = None,
        n_treated: IntArray | None = None,
        n_comparison: IntArray | None = None,
        is_reference: BoolArray | None = None,
        size: int | None = None,
    ) -> EffectIndex:
        """Index with nan (keys), zero (counts) and False for what is not given."""
        given = [key for key in (cohort, time, event_time, n_treated) if key is not None]
        k = len(given[0]) if given else (size or 1)
        nan = np.full(k, np.nan)
        none = np.zeros(k, dtype=np.int64)
        return cls(
            term=np.array([term] * k) if isinstance(term, str) else term,
            cohort=nan if cohort is None else np.asarray(cohort, dtype=float),
            time=nan if time is None else np.asarray(time, dtype=float),
            event_time=nan if event_time is None else np.asarray(event_time, dtype=float),
            n_treated=none if n_treated is None else np.asarray(n_treated, dtype=np.int64),
            n_comparison=none if n_comparison is None else np.asarray(n_comparison, dtype=np.int64),
            is_reference=np.zeros(k, dtype=bool) if is_reference is None else np.asarray(is_reference, dtype=bool),
        )

    def __len__(self) -> int:
        return len(self.term)

    def keys(self) -> list[tuple[str, float, float, float]]:
        """Hashable keys of the rows, nan as None-like -inf so that equal rows compare equal."""
        clean = [np.where(np.isnan(part), -np.inf, part) for part in (self.cohort, self.time, self.event_time)]
        return list(zip(self.term.tolist(), *(part.tolist() for part in clean), strict=True))


@dataclass(frozen=True, slots=True)
class ImpliedWeights:
    """Weights on outcomes that reproduce the estimates: ``(weights * outcome).sum() == estimate``.

    Computed when asked for, because they are as large as the panel for every row.

    Parameters
    ----------
    compute : callable
        Returns the weights of the estimator's own rows, shape (k0, n, T). Must be picklable.
    matrix : ndarray of shape (k, k0), optional
        Linear map from the estimator's rows to the present rows.
    """

    compute: Callable[[], FloatArray]
    matrix: FloatArray | None = None

    def dense(self) -> FloatArray:
        """Weights of the present rows, shape (k, n, T)."""
        own = self.compute()
        return own if self.matrix is None else np.einsum("ij,jnt->int", self.matrix, own)

    def map(self, matrix: FloatArray) -> ImpliedWeights:
        """Weights of ``matrix @ estimate``."""
        return ImpliedWeights(self.compute, matrix if self.matrix is None else matrix @ self.matrix)


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Observed and constructed path of the treated average.

    Parameters
    ----------
    times : ndarray of shape (T,)
        Times.
    observed, synthetic : ndarray of shape (T,)
        Mean outcome of the treated units and what it would have been without treatment.
    donors : ndarray of shape (J,)
        Labels of the donor units.
    omega : ndarray of shape (J,)
        Weights of the donors.
    fit_times : ndarray of shape (T0,)
        Times before treatment to which the weights were fitted.
    lambda_ : ndarray of shape (T0,), optional
        Weights of the fitted times; None for none.
    pre_rmspe : float
        Root mean squared gap at the fitted times, in outcome units.
    """

    times: FloatArray
    observed: FloatArray
    synthetic: FloatArray
    donors: AnyArray
    omega: FloatArray
    fit_times: FloatArray
    pre_rmspe: float
    lambda_: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """One number per treated unit whose mean is the effect: the basis of heterogeneity estimates.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Scores; nan for units without one.
    unit_ids : ndarray of shape (n,)
        Labels of the rows.
    tau_hat : ndarray of shape (n,), optional
        Predicted effect of each unit.
    """

    values: FloatArray
    unit_ids: AnyArray
    tau_hat: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Regression:
    """What a linear regression needs for small-sample factors.

    Parameters
    ----------
    n_obs : int
        Observations used.
    n_regressors : int
        Coefficients that are not fixed effects.
    n_unit_effects, n_time_effects : int
        Levels of the absorbed fixed effects.
    """

    n_obs: int
    n_regressors: int
    n_unit_effects: int
    n_time_effects: int


@dataclass(frozen=True, slots=True)
class Unidentified:
    """A cell that cannot be estimated, and why."""

    cohort: float
    time: float
    reason: str


@dataclass(frozen=True, slots=True)
class Effects:
    """Estimates with everything inference needs, and never a standard error.

    Parameters
    ----------
    index : EffectIndex
        Keys of the k rows.
    estimate : ndarray of shape (k,)
        Estimates in outcome units; nan = could not be computed (the reason stands in ``notes``).
    influence : Influence, optional
        Influence functions, shape (n, k).
    shares : Shares, optional
        Cohort shares; needed to aggregate cells.
    counterfactual : Counterfactual, optional
        Path without treatment.
    weights : ImpliedWeights, optional
        Implied weights on outcomes.
    scores : Scores, optional
        Unit-level scores.
    regression : Regression, optional
        Counts for small-sample corrections.
    unidentified : tuple of Unidentified
        Cells of treated units for which no comparison exists.
    notes : tuple of str
        What a reader must know: trimmed units, poor fits, cells left out.
    """

    index: EffectIndex
    estimate: FloatArray
    influence: Influence | None = field(default=None, kw_only=True)
    shares: Shares | None = field(default=None, kw_only=True)
    counterfactual: Counterfactual | None = field(default=None, kw_only=True)
    weights: ImpliedWeights | None = field(default=None, kw_only=True)
    scores: Scores | None = field(default=None, kw_only=True)
    regression: Regression | None = field(default=None, kw_only=True)
    unidentified: tuple[Unidentified, ...] = field(default=(), kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self.estimate.shape != (len(self.index),):
            raise EstimationError(
                f"{len(self.index)} index rows but estimates of shape {self.estimate.shape}; this is a bug of the "
                "estimator."
            )

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What inference strategies can use."""
        present: set[Capability] = {"refit"}
        if self.influence is not None:
            present.add("influence")
        if self.regression is not None:
            present.add("regression")
        if self.counterfactual is not None:
            present.add("counterfactual")
        if self.weights is not None:
            present.add("weights")
        if self.scores is not None:
            present.add("scores")
        return frozenset(present)

    def aggregate(self, scheme: Aggregation) -> Effects:
        """Effects of an aggregation scheme; adds the term for estimated cohort shares to the influence.

        Raises
        ------
        EstimationError
            If these are not cohort x time cells.
        BeyondSupportError
            If an event time is asked for at which treated units are observed but nobody is left to compare with.
        """
        from groupeffect.effects.aggregate import aggregate

        return aggregate(self, scheme)

    def mapped(self, index: EffectIndex, matrix: FloatArray, extra: FloatArray | None = None) -> Effects:
        """Effects of ``matrix @ estimate`` with influence ``influence @ matrix.T + extra``."""
        influence = self.influence
        used = np.where(np.isnan(self.estimate), 0.0, self.estimate)
        if influence is not None:
            values = influence.values @ matrix.T
            if extra is not None:
                values += extra
            influence = Influence(values, influence.unit_ids)
        return replace(
            self,
            index=index,
            estimate=matrix @ used,
            influence=influence,
            shares=None,
            weights=None if self.weights is None else self.weights.map(matrix),
        )
