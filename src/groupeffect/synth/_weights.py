"""Unit and time weights of the synthetic control family, as functions of arrays.

One problem serves them all: *make weighted columns reproduce a target*. Unit weights reproduce the treated path by
donor paths over the times before treatment; time weights reproduce the donors' outcomes after treatment by their
outcomes before it. Synthetic control, synthetic difference-in-differences and difference-in-differences differ only in
two :class:`Rule` objects, one for each set of weights:

===================================  ===================================  ============================
estimator                            units                                times
===================================  ===================================  ============================
synthetic control                    balance, no intercept, tiny penalty  none (zero weights)
synthetic control with an intercept  balance, intercept, tiny penalty     uniform
synthetic DiD                        balance, intercept, penalty          balance, intercept
difference-in-differences            uniform                              uniform
===================================  ===================================  ============================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.errors import ConvergenceError, SpecError
from groupeffect.numerics.simplex import SimplexFit, early_stopped_simplex, nearest_on_simplex

__all__ = [
    "TIE_BREAK",
    "BlockWeights",
    "FrankWolfe",
    "Rule",
    "Solver",
    "SolverName",
    "WeightFit",
    "balancing_weights",
    "block_weights",
    "noise_level",
    "solver_named",
]

TIE_BREAK = 1e-9
"""Smallest penalty on squared weights, as a share of the mean squared distance between a column and the target.

With more donors than times before treatment many weights fit equally well. This penalty is too small to move a unique
solution visibly, and otherwise picks the weights with the smallest sum of squares, the same ones on every path.
"""

SolverName: TypeAlias = Literal["exact", "frank_wolfe"]
RuleKind: TypeAlias = Literal["balance", "uniform", "none"]


@dataclass(frozen=True, slots=True)
class FrankWolfe:
    """Early-stopped search of the reference software (R package synthdid), kept to reproduce published numbers.

    Parameters
    ----------
    sparsify : bool, default True
        After a short first pass set weights of at most a quarter of the largest to zero, rescale, and search again from
        there. The step removes the tiny weights that a short Frank-Wolfe search leaves on every donor; it is not a
        restriction, and an exact optimum does not need it.
    min_decrease : float, default 1e-5
        A search ends when a step lowers the loss by no more than the square of this times the noise level.
    max_steps : int, default 10000
        Largest number of steps of the last search.
    first_steps : int, default 100
        Largest number of steps of the first search where a second one follows.
    """

    sparsify: bool = True
    min_decrease: float = 1e-5
    max_steps: int = 10_000
    first_steps: int = 100


Solver: TypeAlias = Literal["exact"] | FrankWolfe


def solver_named(name: SolverName) -> Solver:
    """Solver behind an estimator's option.

    Raises
    ------
    SpecError
        If there is no such solver.
    """
    if name == "exact":
        return "exact"
    if name == "frank_wolfe":
        return FrankWolfe()
    raise SpecError(f"solver={name!r} is unknown.", hint="Use 'exact' or 'frank_wolfe'.")


@dataclass(frozen=True, slots=True)
class Rule:
    """How one set of weights is found.

    Parameters
    ----------
    kind : {"balance", "uniform", "none"}
        Fit a target, weigh equally, or give no weight at all.
    eta : float, optional
        Penalty in units of the noise level: ``zeta = eta * noise_level``. Needed with ``kind="balance"``.
    intercept : bool
        Whether a constant gap to the target is allowed.
    """

    kind: RuleKind
    eta: float = 0.0
    intercept: bool = False


@dataclass(frozen=True, slots=True)
class WeightFit:
    """Weights that reproduce a target.

    Parameters
    ----------
    weights : ndarray of shape (k,)
        Weights on the columns.
    intercept : float
        Constant gap between target and weighted columns, outcome units; zero without one.
    zeta : float
        Penalty parameter asked for, outcome units.
    loss : float
        ``zeta**2 * sum(w**2) + mean(residual**2)``, squared outcome units, at the `zeta` asked for.
    certificate : SimplexFit
        What the solver reported.
    """

    weights: FloatArray
    intercept: float
    zeta: float
    loss: float
    certificate: SimplexFit


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """Unit and time weights of a block design.

    Parameters
    ----------
    omega : ndarray of shape (J,)
        Weights of the donors; sum one.
    lambda_ : ndarray of shape (T0,)
        Weights of the times before treatment; sum one, or all zero.
    noise_level : float
        Standard deviation of the donors' first differences before treatment, outcome units.
    unit_fit, time_fit : WeightFit, optional
        How the weights were found, where they were fitted.
    """

    omega: FloatArray
    lambda_: FloatArray
    noise_level: float
    unit_fit: WeightFit | None
    time_fit: WeightFit | None


def noise_level(donors_pre: FloatArray) -> float:
    """Return the standard deviation of first differences over all donors and times before treatment.

    Parameters
    ----------
    donors_pre : ndarray of shape (J, T0)
        Outcomes of the donors before treatment, T0 >= 2.

    Returns
    -------
    float
        In outcome units: equation 2.2 of Arkhangelsky et al. (2021), with the sample (n - 1) denominator of the
        reference software. Changes common to all donors count, so it is not free of common time shocks.
    """
    change = np.diff(donors_pre, axis=1)
    return float(change.std(ddof=1)) if change.size > 1 else 0.0


def balancing_weights(
    columns: FloatArray,
    target: FloatArray,
    *,
    zeta: float,
    intercept: bool,
    solver: Solver = "exact",
    noise: float = 1.0,
) -> WeightFit:
    r"""Weights on the simplex that make a weighted mean of columns reproduce a target.

    Parameters
    ----------
    columns : ndarray of shape (m, k)
        One column per donor (rows are times) or per time (rows are donors), outcome units.
    target : ndarray of shape (m,)
        What to reproduce, outcome units.
    zeta : float
        Penalty, outcome units.
    intercept : bool
        Allow a constant gap.
    solver : "exact" or FrankWolfe, default "exact"
        The exact optimum, or the early-stopped search of the reference software.
    noise : float, default 1.0
        Unit of ``FrankWolfe.min_decrease``, outcome units; the exact solver does not use it.

    Returns
    -------
    WeightFit

    Raises
    ------
    ConvergenceError
        If the exact search ends without a certificate.

    Notes
    -----
    Minimises :math:`\zeta^2 \lVert w \rVert^2 + \lVert b - Aw - w_0 \rVert^2 / m` over :math:`w_0` (zero without
    intercept) and the simplex: equations 2.1 and 2.3 of Arkhangelsky et al. (2021). The exact solver replaces
    :math:`m\zeta^2` by `TIE_BREAK` times the mean squared length of a column of differences where that is larger.
    """
    distance = columns - target[:, None]
    if intercept:
        distance = distance - distance.mean(axis=0)
    rows, k = columns.shape
    ridge = rows * zeta**2
    if solver == "exact":
        size = float((distance**2).sum()) / k
        ridge = max(ridge, TIE_BREAK * size) if size > 0 else max(ridge, 1.0)
        found = nearest_on_simplex(distance, ridge=ridge)
        if not found.converged:
            raise ConvergenceError(
                f"The weights of {k} columns did not reach a certified optimum (relative duality gap "
                f"{found.relative_gap:.2g} after {found.steps} steps).",
                hint="Look for outcomes that differ by many orders of magnitude, or raise the penalty.",
            )
    else:
        found = _frank_wolfe(distance.T @ distance, ridge, rows * (solver.min_decrease * noise) ** 2 / 2, solver)
    residual = distance @ found.weights
    gap = target - columns @ found.weights
    return WeightFit(
        weights=found.weights,
        intercept=float(gap.mean()) if intercept else 0.0,
        zeta=zeta,
        loss=float(zeta**2 * (found.weights**2).sum() + (residual**2).mean()),
        certificate=found,
    )


def _frank_wolfe(gram: FloatArray, ridge: float, min_decrease: float, solver: FrankWolfe) -> SimplexFit:
    k = len(gram)
    zero, start = np.zeros(k), np.full(k, 1.0 / k)
    first_steps = solver.first_steps if solver.sparsify else solver.max_steps
    found = early_stopped_simplex(
        gram, zero, ridge=ridge, start=start, min_decrease=min_decrease, max_steps=first_steps
    )
    if not solver.sparsify:
        return found
    kept = np.where(found.weights <= found.weights.max() / 4, 0.0, found.weights)
    return early_stopped_simplex(
        gram, zero, ridge=ridge, start=kept / kept.sum(), min_decrease=min_decrease, max_steps=solver.max_steps
    )


def block_weights(
    donors_before: FloatArray,
    donors_after: FloatArray,
    target_before: FloatArray,
    *,
    unit: Rule,
    time: Rule,
    solver: Solver = "exact",
) -> BlockWeights:
    """Find the unit and time weights of a block design.

    Parameters
    ----------
    donors_before : ndarray of shape (J, T0)
        Outcomes of the donors before treatment.
    donors_after : ndarray of shape (J,)
        Mean outcome of each donor after treatment.
    target_before : ndarray of shape (T0,)
        Mean outcome of the treated units before treatment.
    unit, time : Rule
        How unit and time weights are found.
    solver : "exact" or FrankWolfe, default "exact"
        Solver of both.

    Returns
    -------
    BlockWeights

    Raises
    ------
    ConvergenceError
        If a set of weights is not certified as optimal.
    """
    noise = noise_level(donors_before)
    omega, unit_fit = _weights(unit, donors_before.T, target_before, noise, solver)
    lambda_, time_fit = _weights(time, donors_before, donors_after, noise, solver)
    return BlockWeights(omega, lambda_, noise, unit_fit, time_fit)


def _weights(
    rule: Rule, columns: FloatArray, target: FloatArray, noise: float, solver: Solver
) -> tuple[FloatArray, WeightFit | None]:
    """One set of weights by its rule."""
    k = columns.shape[1]
    if rule.kind == "none":
        return np.zeros(k), None
    if rule.kind == "uniform":
        return np.full(k, 1.0 / k), None
    fitted = balancing_weights(
        columns, target, zeta=rule.eta * noise, intercept=rule.intercept, solver=solver, noise=noise
    )
    return fitted.weights, fitted
