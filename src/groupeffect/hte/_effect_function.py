"""The effect as a function of modifiers: econml's doubly robust learner on stacked outcome changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from groupeffect._types import FloatArray, IntArray
from groupeffect.errors import EstimationError, SpecError
from groupeffect.hte._nuisance import (
    INNER,
    PropensityModel,
    RegressionModel,
    Regressor,
    fit_share,
    propensity_model,
    regression_model,
    takes_weights,
    treated_probability,
)

if TYPE_CHECKING:
    from groupeffect.hte._stack import Stack
    from groupeffect.hte.dr_did_scores import DRScores, ScoreOptions

__all__ = ["FinalModel", "check_final", "out_of_fold_effects"]

FinalModel: TypeAlias = Literal["linear", "forest"] | Regressor

MIN_PROPENSITY = 0.005


def check_final(final: object) -> None:
    """Refuse a final stage that is neither a known name nor a regressor.

    Raises
    ------
    SpecError
    """
    is_model = hasattr(final, "fit") and hasattr(final, "predict") and not isinstance(final, type)
    if not is_model and final not in ("linear", "forest"):
        raise SpecError(f"final={final!r} is unknown.", hint="Use 'linear', 'forest', or a model with fit and predict.")


def _fit(model: Any, features: FloatArray, target: Any, weight: FloatArray) -> Any:
    """Fit with weights where the model takes them.

    Unit weights a model cannot take were refused when the scores were made; what is left here are propensities, which
    depend on the features only and change the precision of a conditional mean, not the mean.
    """
    if takes_weights(model):
        return model.fit(features, target, sample_weight=weight / weight.mean())
    return model.fit(features, target)


class BlockChange:
    """Model of outcome changes for econml: untreated change by block, plus one effect regression over all blocks.

    The change expected under treatment is the one without it plus an effect that depends on the features but not on the
    block: cohorts are often too small for a treated outcome model of their own, and the propensity corrects what this
    leaves out. The last two columns of the features are the block and the treatment.
    """

    def __init__(self, regression: RegressionModel = "linear", seed: int = 0) -> None:
        self.regression = regression
        self.seed = seed

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Options, as scikit-learn's ``clone`` reads them."""
        return {"regression": self.regression, "seed": self.seed}

    def set_params(self, **params: Any) -> BlockChange:
        """Set options."""
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def fit(self, X: FloatArray, y: FloatArray, sample_weight: FloatArray) -> BlockChange:
        """Fit on features, block and treatment."""
        features, block, treated = X[:, :-2], X[:, -2], X[:, -1] > 0
        target = np.asarray(y, dtype=float).reshape(-1)
        self.untreated_ = {}
        rest = np.zeros(len(target))
        for code in np.unique(block).tolist():
            rows = (block == code) & ~treated
            if not rows.any():
                raise EstimationError(
                    "A training part of the effect function has no comparison unit for a cohort.",
                    hint="Use fewer or larger clusters in folds (`by`), or a wider comparison pool.",
                )
            model = regression_model(self.regression, self.seed)
            self.untreated_[code] = _fit(model, features[rows], target[rows], sample_weight[rows])
            own = (block == code) & treated
            if own.any():
                rest[own] = target[own] - self.untreated_[code].predict(features[own]).reshape(-1)
        model = regression_model(self.regression, self.seed)
        self.effect_ = _fit(model, features[treated], rest[treated], sample_weight[treated])
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Predict the change at features, block and treatment."""
        features, block, treated = X[:, :-2], X[:, -2], X[:, -1] > 0
        out = np.empty(len(X))
        for code in np.unique(block).tolist():
            rows = block == code
            out[rows] = self.untreated_[code].predict(features[rows]).reshape(-1)
        if treated.any():
            out[treated] += self.effect_.predict(features[treated]).reshape(-1)
        return out

    def score(self, X: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None) -> float:
        """Negative mean squared error."""
        return -float(np.average((np.asarray(y).reshape(-1) - self.predict(X)) ** 2, weights=sample_weight))


class BlockPropensity:
    """Propensity for econml: one model per block. The last column of the features is the block."""

    def __init__(self, propensity: PropensityModel = "logit", seed: int = 0) -> None:
        self.propensity = propensity
        self.seed = seed

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Options, as scikit-learn's ``clone`` reads them."""
        return {"propensity": self.propensity, "seed": self.seed}

    def set_params(self, **params: Any) -> BlockPropensity:
        """Set options."""
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def fit(self, X: FloatArray, y: FloatArray, sample_weight: FloatArray) -> BlockPropensity:
        """Fit on features and block."""
        features, block, treated = X[:, :-1], X[:, -1], np.asarray(y).reshape(-1) > 0
        self.models_: dict[float, Any] = {}
        self.share_ = float(np.average(treated, weights=sample_weight))
        for code in np.unique(block).tolist():
            rows = block == code
            if treated[rows].any() and not treated[rows].all():
                model = propensity_model(self.propensity, self.seed)
                target = treated[rows].astype(np.int64)
                self.models_[code] = _fit(model, features[rows], target, sample_weight[rows])
        return self

    def predict_proba(self, X: FloatArray) -> FloatArray:
        """Probabilities of comparison and treatment; the overall share where a block had one side only."""
        features, block = X[:, :-1], X[:, -1]
        out = np.full(len(X), self.share_)
        for code in np.unique(block).tolist():
            if code in self.models_:
                rows = block == code
                out[rows] = self.models_[code].predict_proba(features[rows])[:, 1]
        return np.column_stack([1 - out, out])

    def score(self, X: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None) -> float:
        """Negative Brier score."""
        gap = (np.asarray(y).reshape(-1) - self.predict_proba(X)[:, 1]) ** 2
        return -float(np.average(gap, weights=sample_weight))


def out_of_fold_effects(scores: DRScores, options: ScoreOptions, final: FinalModel) -> FloatArray:
    r"""Predicted effect at the modifiers of every row of the stack, from a learner that never saw the row's fold.

    Parameters
    ----------
    scores : DRScores
        Rows and folds.
    options : ScoreOptions
        First steps.
    final : {"linear", "forest"} or model
        Regression of the pseudo-outcome on the modifiers.

    Returns
    -------
    ndarray of shape (N,)
        Outcome units.

    Notes
    -----
    Rows carry the propensity :math:`\pi` as weight. econml's pseudo-outcome :math:`\varphi` has
    :math:`E[\varphi \mid X] = \tau(X)`, so that the weighted regression on modifiers :math:`V` has the target
    :math:`E[\pi\varphi \mid V]/E[\pi \mid V] = E[\tau(X) \mid V, D=1]`, the effect on the treated; and weight times
    inverse propensity stays near one where treated schools are rare.
    """
    stack = scores.stack
    fold = scores.folds.of_unit[stack.unit]
    out = np.full(len(stack.unit), np.nan)
    for k in np.unique(fold).tolist():
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        learner = _fit_learner(stack, train, scores.folds.inner[stack.unit[train]], options, final)
        place = _standard(stack, train)
        out[test] = np.asarray(learner.effect(place(test)), dtype=float).reshape(-1)
    return out


def _standard(stack: Stack, train: IntArray) -> Any:
    """How to centre and scale modifiers by the treated rows of a training part."""
    own = stack.modifiers[train][stack.treated[train]]
    centre, spread = own.mean(axis=0), own.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)

    def place(rows: IntArray) -> FloatArray:
        return np.ascontiguousarray((stack.modifiers[rows] - centre) / spread)

    return place


def _fit_learner(stack: Stack, train: IntArray, inner: IntArray, options: ScoreOptions, final: FinalModel) -> Any:
    weight = stack.weight[train] * np.clip(_propensity(stack, train, options), MIN_PROPENSITY, 1 - MIN_PROPENSITY)
    weight = weight * len(weight) / weight.sum()
    others = stack.features[train, stack.modifiers.shape[1] :]
    controls = np.column_stack([others, stack.block[train].astype(float)])
    parts = [part for part in range(INNER) if (inner == part).any()]
    splits = [(np.flatnonzero(inner != part), np.flatnonzero(inner == part)) for part in parts]
    learner = _learner(options, final, splits)
    learner.fit(
        stack.change[train],
        stack.treated[train].astype(np.int64),
        X=_standard(stack, train)(train),
        W=controls,
        sample_weight=weight,
        inference=None,
    )
    return learner


def _propensity(stack: Stack, rows: IntArray, options: ScoreOptions) -> FloatArray:
    """Propensity fitted within a training part, for weights."""
    out, weight = np.empty(len(rows)), stack.weight
    for block in np.unique(stack.block[rows]):
        of_block = np.flatnonzero(stack.block[rows] == block)
        chosen = rows[of_block]
        fitted = fit_share(propensity_model(options.propensity, options.seed), stack, chosen, weight)
        out[of_block] = treated_probability(fitted, stack.features[chosen])
    return out


def _learner(options: ScoreOptions, final: FinalModel, splits: list[tuple[IntArray, IntArray]]) -> Any:
    from econml.dr import DRLearner, ForestDRLearner, LinearDRLearner

    common: dict[str, Any] = {
        "model_regression": BlockChange(options.regression, options.seed),
        "model_propensity": BlockPropensity(options.propensity, options.seed),
        "min_propensity": MIN_PROPENSITY,
        "cv": splits,
        "random_state": options.seed,
    }
    if final == "linear":
        return LinearDRLearner(**common)
    if final == "forest":
        return ForestDRLearner(**common, n_estimators=200, min_samples_leaf=10, max_depth=6, n_jobs=1)
    from sklearn.base import clone

    return DRLearner(**common, model_final=clone(final, safe=False))
