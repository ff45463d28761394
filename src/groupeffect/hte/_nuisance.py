"""First steps of the doubly robust scores: cluster folds, outcome change and propensity models, cross-fitting."""

from __future__ import annotations

import copy
import hashlib
import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.errors import DroppedUnitsWarning, EstimationError, OverlapError, SpecError, TooFewClustersError
from groupeffect.hte._linear_models import LeastSquares, RidgeLogit

if TYPE_CHECKING:
    from groupeffect.hte._stack import Stack
    from groupeffect.panel.panel import Panel

__all__ = [
    "MAX_PROPENSITY",
    "MIN_CLUSTERS",
    "TRIM_PROPENSITY",
    "Classifier",
    "Folds",
    "Nuisances",
    "PropensityModel",
    "RegressionModel",
    "Regressor",
    "cluster_folds",
    "cross_fit",
    "fit_model",
    "fit_share",
    "propensity_model",
    "regression_model",
    "takes_weights",
    "treated_probability",
]

MIN_CLUSTERS = 5
"""Fewest clusters with treated units that an average or a subgroup may rest on."""

MIN_TREATED = 5
"""Fewest treated units of a block that a first step may be fitted on."""

MAX_PROPENSITY = 0.999
"""A treated unit with a propensity at or above this has no comparable unit."""

MAX_ALONE = 0.05
"""Largest share of treated units without a comparable one that may be left out; beyond it nothing is estimated."""

TRIM_PROPENSITY = 0.995
"""Comparison units with a propensity at or above this get no weight."""


@runtime_checkable
class Regressor(Protocol):
    """Anything with ``fit(X, y)`` and ``predict(X)``."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit on features of shape (n, p) and a target of shape (n,)."""
        ...

    def predict(self, X: Any) -> Any:
        """Predictions of shape (n,)."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Anything with ``fit(X, y)`` and ``predict_proba(X)``."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit on features of shape (n, p) and classes 0 and 1."""
        ...

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the two classes, shape (n, 2)."""
        ...


RegressionModel: TypeAlias = Literal["linear", "boosting"] | Regressor
PropensityModel: TypeAlias = Literal["logit", "boosting"] | Classifier


def regression_model(kind: RegressionModel, seed: int) -> Any:
    """Fresh, unfitted model of outcome changes.

    Raises
    ------
    SpecError
        If `kind` is neither a known name nor a model with ``fit`` and ``predict``.
    """
    if kind == "linear":
        return LeastSquares()
    if kind == "boosting":
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(**_BOOSTING, random_state=seed)
    return _fresh(kind, Regressor, "regression", "'linear', 'boosting', or a model with fit and predict")


def propensity_model(kind: PropensityModel, seed: int) -> Any:
    """Fresh, unfitted model of the probability to belong to the cohort.

    Raises
    ------
    SpecError
        If `kind` is neither a known name nor a model with ``fit`` and ``predict_proba``.
    """
    if kind == "logit":
        return RidgeLogit()
    if kind == "boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(**_BOOSTING, random_state=seed)
    return _fresh(kind, Classifier, "propensity", "'logit', 'boosting', or a model with fit and predict_proba")


_BOOSTING = {"max_iter": 40, "max_leaf_nodes": 6, "min_samples_leaf": 15, "l2_regularization": 1.0}


def _fresh(kind: Any, protocol: type, option: str, allowed: str) -> Any:
    if isinstance(kind, (str, type)) or not isinstance(kind, protocol):
        raise SpecError(f"{option}={kind!r} is not a model.", hint=f"Use {allowed}.")
    from sklearn.base import clone

    return clone(kind) if hasattr(kind, "get_params") else copy.deepcopy(kind)


def fit_model(model: Any, features: FloatArray, target: AnyArray, weight: FloatArray) -> Any:
    """Fit a model, with weights (of mean one) if they differ; without features, a constant.

    Raises
    ------
    EstimationError
        If weights differ and the model takes none.
    """
    if features.shape[1] == 0:
        model = RidgeLogit() if hasattr(model, "predict_proba") else LeastSquares()
    if np.ptp(weight) <= 1e-12 * weight.max():
        return model.fit(features, target)
    if not takes_weights(model):
        raise EstimationError(
            f"{type(model).__name__} takes no sample_weight, but the units have different weights.",
            hint="Use a model whose fit takes sample_weight, or equal unit weights.",
        )
    return model.fit(features, target, sample_weight=weight / weight.mean())


def takes_weights(model: Any) -> bool:
    """Whether the ``fit`` of a model takes ``sample_weight``."""
    if isinstance(model, (LeastSquares, RidgeLogit)):
        return True
    return "sample_weight" in inspect.signature(model.fit).parameters


@dataclass(frozen=True, slots=True)
class Folds:
    """Folds that never split a cluster.

    Parameters
    ----------
    of_unit : ndarray of int, shape (n,)
        Fold 0..K-1 of each unit.
    inner : ndarray of int, shape (n,)
        Second, independent division into `INNER` parts, for cross-fitting within the other folds.
    cluster : ndarray of int, shape (n,)
        Code of the unit's cluster.
    n_folds : int
        Number of folds.
    """

    of_unit: IntArray
    inner: IntArray
    cluster: IntArray
    n_folds: int


INNER = 3


def cluster_folds(panel: Panel, by: str | None, n_folds: int, seed: int) -> Folds:
    """Folds by hashed cluster label.

    A fold depends on the label and the seed only: leaving out or reordering units moves nobody else to another fold,
    so that a jackknife or a permutation sees the same folds. Units without a label (schools of no group) are clusters
    of their own.

    Parameters
    ----------
    panel : Panel
    by : str, optional
        Attribute that names the clusters; None = units.
    n_folds : int
        Folds, 2 or more.
    seed : int
        Seed of the hash.

    Raises
    ------
    SpecError
        If `by` is not an attribute of the panel or `n_folds` is below 2.
    """
    if n_folds < 2:
        raise SpecError(f"folds={n_folds} is too few.", hint="Use 2 or more; 5 is usual.")
    if by is not None and by != panel.columns.unit and by not in panel.attributes:
        raise SpecError(
            f"Cluster column {by!r} is not an attribute of the panel (known: {', '.join(panel.attributes) or 'none'}).",
            hint=f"Read the panel with Columns(..., attributes=({by!r},)).",
        )
    grouped = panel.unit_ids if by is None or by not in panel.attributes else panel.attributes[by]
    labels = [
        f"unit {unit}" if _empty(label) or grouped is panel.unit_ids else f"group {label}"
        for label, unit in zip(grouped.tolist(), panel.unit_ids.tolist(), strict=True)
    ]
    levels, codes = np.unique(np.array(labels), return_inverse=True)
    outer = np.array([_hashed(label, f"{seed}", n_folds) for label in levels.tolist()], dtype=np.int64)
    inner = np.array([_hashed(label, f"{seed} inner", INNER) for label in levels.tolist()], dtype=np.int64)
    return Folds(outer[codes], inner[codes], codes.astype(np.int64), n_folds)


def _empty(label: object) -> bool:
    return label is None or label != label or label == ""


def _hashed(label: str, salt: str, parts: int) -> int:
    digest = hashlib.blake2b(f"{salt}|{label}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * parts >> 64


@dataclass(frozen=True, slots=True)
class Nuisances:
    """Cross-fitted first steps of the rows of a stack.

    Parameters
    ----------
    stack : Stack
        Rows that have them (blocks too small are gone).
    expected : ndarray of shape (N,)
        Change expected without treatment, from a model of comparison units in other folds.
    propensity : ndarray of shape (N,)
        Probability to belong to the cohort, from a model of the other folds.
    change_coefficient, logit_coefficient : ndarray of shape (n_blocks, K, 1 + p), optional
        Constant and slopes of the models that predicted each fold; None for models that are not linear in parameters.
    """

    stack: Stack
    expected: FloatArray
    propensity: FloatArray
    change_coefficient: FloatArray | None
    logit_coefficient: FloatArray | None


def cross_fit(
    stack: Stack,
    folds: Folds,
    unit_ids: AnyArray,
    *,
    regression: RegressionModel,
    propensity: PropensityModel,
    seed: int,
) -> Nuisances:
    """Fit the first steps of every block on all folds but one and predict that one.

    Raises
    ------
    TooFewClustersError
        If fewer than `MIN_CLUSTERS` clusters have treated units.
    EstimationError
        If no block has enough units.
    OverlapError
        If more than `MAX_ALONE` of the treated units have a propensity of `MAX_PROPENSITY` or more.
    """
    n_clusters = len(np.unique(folds.cluster[stack.unit[stack.treated]]))
    if n_clusters < MIN_CLUSTERS:
        raise TooFewClustersError(
            f"Only {n_clusters} clusters have treated units; scores need {MIN_CLUSTERS}.",
            hint="Use a lower cluster level, more cohorts, or a synthetic control for a single group.",
        )
    stack = _without_small_blocks(stack, folds)
    expected, probability = np.full(len(stack.unit), np.nan), np.full(len(stack.unit), np.nan)
    fold, weight = folds.of_unit[stack.unit], stack.weight
    size = (stack.n_blocks, folds.n_folds, 1 + stack.features.shape[1])
    lines = np.zeros(size) if regression == "linear" else None
    logits = np.zeros(size) if propensity == "logit" else None
    for block in range(stack.n_blocks):
        rows = np.flatnonzero(stack.block == block)
        for k in np.unique(fold[rows]):
            train, test = rows[fold[rows] != k], rows[fold[rows] == k]
            others = train[~stack.treated[train]]
            change = fit_model(
                regression_model(regression, seed), stack.features[others], stack.change[others], weight[others]
            )
            share = fit_share(propensity_model(propensity, seed), stack, train, weight)
            expected[test] = np.asarray(change.predict(stack.features[test]), dtype=float).reshape(-1)
            probability[test] = treated_probability(share, stack.features[test])
            if lines is not None:
                lines[block, k] = change.coefficient
            if logits is not None:
                logits[block, k] = share.coefficient
    _check_overlap(stack, probability, unit_ids)
    return Nuisances(stack, expected, probability, lines, logits)


def _without_small_blocks(stack: Stack, folds: Folds) -> Stack:
    """Leave out blocks with a training part too small to fit the first steps on."""
    need = max(MIN_TREATED, stack.features.shape[1] + 2)
    fold = folds.of_unit[stack.unit]
    counts = np.zeros((2, stack.n_blocks, folds.n_folds), dtype=np.int64)
    np.add.at(counts, (stack.treated.astype(np.int64), stack.block, fold), 1)
    smallest = (counts.sum(axis=2, keepdims=True) - counts).min(axis=(0, 2))
    small = np.flatnonzero(smallest < need)
    if len(small) == 0:
        return stack
    cohorts = ", ".join(sorted({f"{stack.cohort[b]:g}" for b in small}))
    if len(small) == stack.n_blocks:
        raise EstimationError(
            f"No cohort has enough units for scores: {need} treated and {need} comparison units are needed outside "
            f"each of the {folds.n_folds} folds ({stack.features.shape[1]} features).",
            hint="Use fewer modifiers and covariates, or a wider comparison pool.",
        )
    lost = int((stack.treated & np.isin(stack.block, small)).sum())
    note = (
        f"{len(small)} blocks of cohorts {cohorts} ({lost} treated unit-blocks) left out of the scores: fewer than "
        f"{need} treated or comparison units outside a fold"
    )
    warnings.warn(note, DroppedUnitsWarning, stacklevel=5)
    return stack.take(~np.isin(stack.block, small), note)


def fit_share(model: Any, stack: Stack, rows: IntArray, weight: FloatArray) -> Any:
    """Fit treatment on the features of some rows."""
    return fit_model(model, stack.features[rows], stack.treated[rows].astype(np.int64), weight[rows])


def treated_probability(model: Any, features: FloatArray) -> FloatArray:
    """Probability of treatment by a fitted classifier, shape (n,)."""
    return np.asarray(model.predict_proba(features), dtype=float)[:, 1]


def _check_overlap(stack: Stack, probability: FloatArray, unit_ids: AnyArray) -> None:
    alone = stack.treated & (probability >= MAX_PROPENSITY)
    units = np.unique(stack.unit[alone])
    n_treated = len(np.unique(stack.unit[stack.treated]))
    if len(units) <= MAX_ALONE * n_treated:
        return
    worst = int(np.bincount(stack.block[alone], minlength=stack.n_blocks).argmax())
    rows = stack.block == worst
    name = stack.feature_names[_most_apart(stack.features[rows], stack.treated[rows])]
    raise OverlapError(
        f"{len(units)} of {n_treated} treated units have no comparable unit (propensity {MAX_PROPENSITY} or more; "
        f"first: {', '.join(str(unit) for unit in unit_ids[units[:3]])}). Treated and comparison units differ most in "
        f"{name!r} (cohort {stack.cohort[worst]:g}).",
        hint=f"Leave {name!r} out, widen the comparison pool, or restrict the panel to units with comparable ones.",
    )


def _most_apart(features: FloatArray, treated: BoolArray) -> int:
    """Feature with the largest standardised difference between the sides."""
    gap = np.abs(features[treated].mean(axis=0) - features[~treated].mean(axis=0))
    spread = np.sqrt((features[treated].var(axis=0) + features[~treated].var(axis=0)) / 2)
    return int(np.argmax(gap / np.maximum(spread, 1e-12)))
