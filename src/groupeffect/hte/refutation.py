"""Attempts to refute an estimate: dowhy's refuters on our own estimator, judged against its standard error."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.errors import (
    CapabilityError,
    DesignError,
    EstimationError,
    GroupEffectWarning,
    SpecError,
)
from groupeffect.hte._nuisance import cluster_folds
from groupeffect.hte._unobserved_cause import strongest_bias

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.fitting import Fit
    from groupeffect.panel.panel import Panel

__all__ = ["Refutation", "RefutationReport", "Verdict", "refute"]

Verdict: TypeAlias = Literal["stands", "moves", "not_run"]

TOLERANCE = 0.25
"""A shift of the estimate below this many standard errors, beyond simulation noise, is small."""

SUBSET = 0.8
"""Share of units kept by the subset refuter."""


@dataclass(frozen=True, slots=True)
class Refutation:
    """One attempt.

    Parameters
    ----------
    refuter : str
        ``"placebo_treatment"``, ``"random_common_cause"``, ``"data_subset"`` or ``"unobserved_common_cause"``.
    effect : float
        Mean estimate over the draws, outcome units; for the unobserved cause, what would be left of the estimate.
    shift : float
        `effect` minus what it should be (zero for the placebo, the estimate otherwise), in standard errors.
    low, high : float
        5 % and 95 % points of the draws.
    rank : float
        Share of placebo effects at least as large as the estimate in absolute value, the estimate counted among them;
        nan for the others.
    dowhy_p : float
        dowhy's own p-value, for information: with few draws it tests simulation noise. The verdict does not use it.
    draws, failed : int
        Draws made, and draws in which the estimate could not be computed.
    verdict : {"stands", "moves", "not_run"}
    note : str
        What was done.
    """

    refuter: str
    effect: float
    shift: float
    low: float
    high: float
    rank: float
    dowhy_p: float
    draws: int
    failed: int
    verdict: Verdict
    note: str


@dataclass(frozen=True, slots=True)
class RefutationReport:
    """All attempts on one estimate.

    Parameters
    ----------
    estimate, std_error : float
        The estimate and its cluster-robust standard error, outcome units.
    refutations : tuple of Refutation
        Attempts.
    robustness_value : float
        Smallest share of the residual variance of both treatment and outcome that an unobserved cause must explain to
        bring the estimate to zero (Cinelli and Hazlett 2020); nan without covariates.
    draws, seed : int
        Settings.
    """

    estimate: float
    std_error: float
    refutations: tuple[Refutation, ...]
    robustness_value: float
    draws: int
    seed: int

    @property
    def stands(self) -> bool:
        """Whether no attempt moved the estimate."""
        return all(item.verdict != "moves" for item in self.refutations)

    def frame(self) -> pd.DataFrame:
        """One row per attempt."""
        import dataclasses

        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(item) for item in self.refutations])


def refute(fit: Fit, *, draws: int = 50, seed: int = 0, by: str | None = None) -> RefutationReport:
    """Try to refute the estimate of a fit that has one row.

    Parameters
    ----------
    fit : Fit
        For example ``ge.fit(ge.did.CallawaySantAnna(), panel, design).aggregate(ge.overall())``. Its estimator is run
        again for every draw.
    draws : int, default 50
        Draws of each simulated attempt.
    seed : int, default 0
        Seed.
    by : str, optional
        Attribute that names the clusters of the standard error; units without a label are on their own. None = units.

    Returns
    -------
    RefutationReport

    Raises
    ------
    SpecError
        If the fit has more than one row, `draws` is below 2, or `by` is unknown.
    CapabilityError
        If the fit carries no influence function.

    Notes
    -----
    ``placebo_treatment`` gives the cohorts to other units at random: the mean effect should be zero.
    ``random_common_cause`` adds a covariate of pure noise and ``data_subset`` leaves out a fifth of the units: the
    estimate should stay. Each of them runs through dowhy [2]_, with this package's estimator as dowhy's estimator. An
    attempt "moves" the estimate when the mean is off by more than `TOLERANCE` standard errors and twice the simulation
    noise.

    ``unobserved_common_cause`` asks dowhy's linear sensitivity analysis [1]_, on outcome changes stacked by cohort, how
    far a cause as strong as the strongest covariate, given the others, would pull the estimate towards zero. It
    "moves" when that is more than half the estimate and more than one standard error. This says how much the design
    leans on the covariates being complete; it does not detect a missing one.

    References
    ----------
    .. [1] Cinelli, C. and Hazlett, C. (2020). Making sense of sensitivity: extending omitted variable bias. Journal of
       the Royal Statistical Society B 82(1), 39-67.
    .. [2] Sharma, A. and Kiciman, E. (2020). DoWhy: an end-to-end library for causal inference. arXiv:2011.04216.
    """
    if draws < 2:
        raise SpecError(f"refute(draws={draws}) is too few.", hint="Use 50 or more.")
    if len(fit.effects.index) != 1:
        raise SpecError(
            f"refute() needs a fit with one estimate; this one has {len(fit.effects.index)}.",
            hint="Aggregate it first: fit.aggregate(ge.overall()).",
        )
    estimate, std_error = float(fit.effects.estimate[0]), _std_error(fit, by)
    truth = _Judge(estimate, std_error, draws)
    problem = _Problem.of(fit)
    covariates = "covariates" in fit.estimator.info.handles
    found = [
        truth.placebo(*problem.run("placebo_treatment_refuter", draws, seed, placebo_type="permute")),
        truth.same("random_common_cause", *problem.run("random_common_cause", draws, seed))
        if covariates
        else _not_run("random_common_cause", f"{fit.estimator.info.name} takes no covariates"),
        truth.same("data_subset", *problem.run("data_subset_refuter", draws, seed, subset_fraction=SUBSET)),
    ]
    strongest, robustness = strongest_bias(fit)
    found.append(truth.unobserved(strongest))
    return RefutationReport(estimate, std_error, tuple(found), robustness, draws, seed)


def _std_error(fit: Fit, by: str | None) -> float:
    influence = fit.effects.influence
    if influence is None:
        raise CapabilityError(
            f"{fit.estimator.info.name} carries no influence function, so shifts cannot be judged.",
            hint="Refute a difference-in-differences fit.",
        )
    clusters = cluster_folds(fit.panel, by, 2, 0).cluster
    sums = influence.cluster_sums(clusters)
    return float(np.sqrt((sums**2).sum()) / influence.n_units)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Verdicts relative to the standard error."""

    estimate: float
    std_error: float
    draws: int

    def placebo(self, values: FloatArray, dowhy_p: float) -> Refutation:
        seen = values[np.isfinite(values)]
        rank = (1 + int((np.abs(seen) >= abs(self.estimate)).sum())) / (1 + len(seen))
        note = f"cohorts given to other units at random; {rank:.0%} of the effects are as large as the estimate"
        return self._verdict("placebo_treatment", values, 0.0, dowhy_p, note, rank)

    def same(self, refuter: str, values: FloatArray, dowhy_p: float) -> Refutation:
        note = {
            "random_common_cause": "a covariate of pure noise added",
            "data_subset": f"{1 - SUBSET:.0%} of the units left out at random",
        }[refuter]
        return self._verdict(refuter, values, self.estimate, dowhy_p, note)

    def unobserved(self, strongest: tuple[str, float] | None) -> Refutation:
        if strongest is None:
            return _not_run("unobserved_common_cause", "no covariate to compare an unobserved cause with")
        name, bias = strongest
        left = self.estimate - float(np.copysign(bias, self.estimate))
        shift = (left - self.estimate) / self.std_error
        note = f"an unobserved cause as strong as {name!r} would leave {left:.4g} of {self.estimate:.4g}"
        nan = float("nan")
        verdict: Verdict = "moves" if bias > max(self.std_error, abs(self.estimate) / 2) else "stands"
        return Refutation("unobserved_common_cause", left, shift, nan, nan, nan, nan, 0, 0, verdict, note)

    def _verdict(
        self, refuter: str, values: FloatArray, target: float, dowhy_p: float, note: str, rank: float = float("nan")
    ) -> Refutation:
        seen = values[np.isfinite(values)]
        failed = len(values) - len(seen)
        if len(seen) < 2:
            return _not_run(refuter, f"the estimate could be computed in {len(seen)} of {len(values)} draws")
        mean = float(seen.mean())
        noise = float(seen.std(ddof=1) / np.sqrt(len(seen)))
        moved = abs(mean - target) > max(TOLERANCE * self.std_error, 2 * noise)
        low, high = np.quantile(seen, [0.05, 0.95])
        shift = (mean - target) / self.std_error
        verdict: Verdict = "moves" if moved else "stands"
        return Refutation(
            refuter, mean, shift, float(low), float(high), rank, dowhy_p, len(values), failed, verdict, note
        )


def _not_run(refuter: str, note: str) -> Refutation:
    nan = float("nan")
    return Refutation(refuter, nan, nan, nan, nan, nan, nan, 0, 0, "not_run", note)


@dataclass(frozen=True, slots=True)
class _Problem:
    """A fit as dowhy sees it: a row per unit of the design, the cohort as integer treatment, its estimator wrapped."""

    model: Any
    estimand: Any
    estimate: Any
    record: list[float]

    @classmethod
    def of(cls, fit: Fit) -> _Problem:
        import networkx as nx
        from dowhy import CausalModel

        data, codes = _frame(fit)
        names = [name for name in data.columns if name not in ("cohort", "change")]
        edges = [("cohort", "change"), *((x, y) for x in names for y in ("cohort", "change"))]
        with warnings.catch_warnings():
            # dowhy announces data columns of the graph as unobserved or unused; here they coincide by construction
            warnings.filterwarnings("ignore", category=UserWarning, module=r"dowhy\..*")
            model = CausalModel(data=data, treatment="cohort", outcome="change", graph=nx.DiGraph(edges))
            estimand = model.identify_effect(method_name="maximal-adjustment")
        estimand.set_identifier_method("backdoor")
        record: list[float] = []
        estimator = _estimator_class()(estimand, fit, codes, record)
        estimate = estimator.fit(data).estimate_effect(data)
        return cls(model, estimand, estimate, record)

    def run(self, method: str, draws: int, seed: int, **options: Any) -> tuple[FloatArray, float]:
        """Estimates of the draws of a dowhy refuter, and its p-value."""
        self.record.clear()
        with warnings.catch_warnings(), _quiet():
            # dowhy tests draws of zero spread (a constant estimate) by dividing through it
            warnings.filterwarnings("ignore", category=RuntimeWarning)
            answer = self.model.refute_estimate(
                self.estimand,
                self.estimate,
                method_name=method,
                num_simulations=draws,
                # a generator, not a number: dowhy's subset refuter draws the same subset every time from a number
                random_state=np.random.RandomState(seed),
                n_jobs=1,
                show_progress_bar=False,
                **options,
            )
        result = answer.refutation_result or {}
        return np.array(self.record), float(np.asarray(result.get("p_value", np.nan)).reshape(-1)[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence dowhy's log, which comments on p-values that are not used here."""
    log = logging.getLogger("dowhy")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@dataclass(frozen=True, slots=True)
class _Codes:
    """Integer codes of (cohort, may compare), which permutations move together."""

    cohort: FloatArray
    pool: BoolArray


def _frame(fit: Fit) -> tuple[pd.DataFrame, _Codes]:
    """One row per unit that takes part, labelled by its row in the panel."""
    import pandas as pd

    panel, design = fit.panel, fit.design
    rows = np.flatnonzero(design.treated() | design.comparison_pool)
    pairs = np.column_stack([design.cohort[rows], design.comparison_pool[rows]])
    levels, code = np.unique(pairs, axis=0, return_inverse=True)
    columns: dict[str, AnyArray] = {
        # dowhy's refuters break on boolean treatments under pandas 3, and compare integer codes well
        "cohort": code.reshape(-1).astype(np.int64),
        # dowhy wants an outcome; the wrapped estimator reads outcomes from the panel
        "change": panel.outcome[rows, -1] - panel.outcome[rows, 0],
    }
    for k in range(panel.covariates.shape[2]):
        columns[f"x{k}"] = panel.covariates[rows, 0, k]
    return pd.DataFrame(columns, index=rows), _Codes(levels[:, 0], levels[:, 1] > 0)


@cache
def _estimator_class() -> type:
    """Subclass of dowhy's estimator that runs a fit again on the rows dowhy hands it."""
    from dowhy.causal_estimator import CausalEstimate, CausalEstimator

    class RerunEstimator(CausalEstimator):  # type: ignore[misc]
        """Runs this package's estimator on permuted, extended or thinned data."""

        def __init__(self, estimand: Any, fit: Fit, codes: _Codes, record: list[float]) -> None:
            super().__init__(estimand)
            self._fit, self._codes, self._record = fit, codes, record
            self._target_units = "att"
            self._effect_modifier_names: list[str] = []

        def get_new_estimator_object(self, identified_estimand: Any, **_: Any) -> RerunEstimator:
            """Make an estimator of the same fit for another estimand; nothing is copied."""
            return RerunEstimator(identified_estimand, self._fit, self._codes, self._record)

        def fit(self, data: pd.DataFrame, effect_modifier_names: Any = None) -> RerunEstimator:  # noqa: ARG002
            """Nothing to fit before the estimate."""
            return self

        def estimate_effect(self, data: pd.DataFrame, **_: Any) -> Any:
            """Run the estimator and keep the value."""
            estimand = self._target_estimand
            treatment, outcome = estimand.treatment_variable[0], estimand.outcome_variable[0]
            extra = [name for name in (estimand.get_adjustment_set() or []) if name == "w_random"]
            value = _rerun(self._fit, self._codes, data, treatment, extra)
            self._record.append(value)
            estimate = CausalEstimate(
                data=data,
                treatment_name=[treatment],
                outcome_name=[outcome],
                estimate=value,
                target_estimand=estimand,
                realized_estimand_expr=None,
                control_value=0,
                treatment_value=1,
            )
            estimate.add_estimator(self)
            return estimate

    return RerunEstimator


def _rerun(fit: Fit, codes: _Codes, data: pd.DataFrame, treatment: str, extra: list[str]) -> float:
    """Estimate on what dowhy made of the data; nan if it cannot be computed."""
    rows = data.index.to_numpy()
    code = data[treatment].to_numpy()
    panel, design = fit.panel, fit.design
    cohort, pool = design.cohort.copy(), design.comparison_pool.copy()
    cohort[rows], pool[rows] = codes.cohort[code], codes.pool[code]
    design = design.reassign(cohort, pool)
    for name in extra:
        panel = _with_covariate(panel, name, rows, data[name].to_numpy())
    if len(rows) < int((fit.design.treated() | fit.design.comparison_pool).sum()):
        kept = np.sort(rows)
        panel, design = panel.take_units(kept), design.take_units(kept)
    with warnings.catch_warnings():
        # what a single draw drops or trims is not news about the estimate
        warnings.simplefilter("ignore", GroupEffectWarning)
        try:
            return float(fit.rerun(panel=panel, design=design).effects.estimate[0])
        except (EstimationError, DesignError):
            return float("nan")


def _with_covariate(panel: Panel, name: str, rows: IntArray, values: FloatArray) -> Panel:
    column = np.zeros(panel.n_units)
    column[rows] = values
    added = np.repeat(column[:, None, None], panel.n_times, axis=1)
    columns = replace(panel.columns, covariates=(*panel.columns.covariates, name))
    return replace(panel, covariates=np.concatenate([panel.covariates, added], axis=2), columns=columns)
