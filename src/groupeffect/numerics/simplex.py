"""Least squares over the simplex, exactly: the one solver behind every synthetic control in the package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray

__all__ = ["SimplexFit", "early_stopped_simplex", "nearest_on_simplex", "simplex_least_squares"]

TOLERANCE = 1e-14
"""Stopping rule of the exact search: duality gap relative to the largest diagonal element of the Gram matrix."""

FEW = 64
"""Positive weights up to which the active set is always the quicker search."""

STRONG = 0.01
"""Ridge, as a share of the mean squared length of a column, from which the weights are spread over many columns."""

CERTIFIED = 1e-10
"""A fit counts as converged if its relative duality gap is at most this."""


@dataclass(frozen=True, slots=True)
class SimplexFit:
    """Weights on the simplex, with a certificate of how far they are from the optimum.

    Parameters
    ----------
    weights : ndarray of shape (n,)
        Not negative, sum one; exactly zero outside the support.
    objective : float
        ``w' G w / 2 - c' w + ridge * w' w / 2``.
    gap : float
        Duality gap in objective units: the objective exceeds its minimum by at most this.
    scale : float
        Largest diagonal element of the Gram matrix plus ridge, the size against which `gap` is judged.
    steps : int
        Linear systems solved (exact search) or steps taken (Frank-Wolfe).
    converged : bool
        Whether the gap is at most 1e-10 of the scale; an early-stopped search is usually not.
    """

    weights: FloatArray
    objective: float
    gap: float
    scale: float
    steps: int
    converged: bool

    @property
    def relative_gap(self) -> float:
        """Duality gap as a share of `scale`."""
        return self.gap / self.scale if self.scale > 0 else 0.0


def simplex_least_squares(
    gram: FloatArray,
    linear: FloatArray,
    *,
    ridge: float,
    allowed: BoolArray | None = None,
    start: FloatArray | None = None,
) -> SimplexFit:
    r"""Minimise a convex quadratic over weights that are not negative and sum to one.

    Solves :math:`\min_w \tfrac12 w'Gw - c'w + \tfrac{\rho}{2} w'w` subject to :math:`w \ge 0, 1'w = 1`. For the least
    squares problem :math:`\min_w \lVert Aw - b \rVert^2 / 2` pass ``A.T @ A`` and ``A.T @ b``, best after subtracting
    a common vector (the target, or the mean column) from every column of A and from b: the problem stays the same and
    the Gram matrix keeps its digits.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
        Symmetric positive semidefinite matrix; it may be singular.
    linear : ndarray of shape (n,)
        Linear term.
    ridge : float
        Penalty :math:`\rho \ge 0` on the squared weights, in units of `gram`. With more columns than rows of A the
        optimum is not unique; any positive ridge makes it so, and a tiny one picks, among the best weights, those
        with the smallest sum of squares. With ``ridge=0`` and a singular `gram` a deterministic vertex of the set of
        optima is returned, which depends on `start`.
    allowed : ndarray of bool, shape (n,), optional
        Columns that may receive weight; the others get exactly zero. Lets many problems share one Gram matrix.
    start : ndarray of shape (n,), optional
        Weights to start from (a warm start); rescaled to sum to one over the allowed columns. The best single column
        by default.

    Returns
    -------
    SimplexFit
        The exact optimum up to rounding, with its duality gap.

    Notes
    -----
    An active-set search in the manner of Wolfe [1]_: the support is kept affinely independent, its Gram matrix is
    held as a Cholesky factor that is updated when a column enters and rotated when one leaves, and every iterate is
    the exact minimum over its support. It ends after finitely many steps, usually about as many as there are donors
    with weight. The certificate is :math:`\max_v \nabla f(w)'(w - v)` over the vertices :math:`v`, which bounds
    :math:`f(w) - f^*` from above. Few donors with weight make it fast; a dense solution with k of them costs of the
    order of :math:`k^3`.

    References
    ----------
    .. [1] Wolfe, P. (1976). Finding the nearest point in a polytope. Mathematical Programming 11, 128-149.
    """
    from groupeffect.numerics._simplex_kernels import active_set

    gram, linear, mask = _prepared(gram, linear, ridge, allowed)
    first = np.empty(0) if start is None else _own(start)
    scale = float(gram.diagonal()[mask].max()) + ridge
    weights, objective, gap, steps = active_set(
        gram, linear, float(ridge), mask, first, TOLERANCE * scale, 50 + 20 * len(linear), len(linear)
    )
    return _certified(weights, objective, gap, scale, steps)


def nearest_on_simplex(columns: FloatArray, *, ridge: float) -> SimplexFit:
    r"""Weights whose combination of columns is nearest to zero, fast for few and for many positive weights.

    Solves :math:`\min_w \tfrac12\lVert Aw \rVert^2 + \tfrac{\rho}{2} w'w` over weights that are not negative and sum to
    one. To come near to a target instead of zero, subtract it from every column.

    Parameters
    ----------
    columns : ndarray of shape (m, n)
        The matrix A.
    ridge : float
        Penalty :math:`\rho \ge 0` on the squared weights, in units of ``columns**2``.

    Returns
    -------
    SimplexFit
        As from :func:`simplex_least_squares`, with the same certificate.

    Notes
    -----
    The rule, fixed by the shape and the ridge: the active set of :func:`simplex_least_squares` costs the cube of the
    number k of positive weights, which is at most m + 1 unless the ridge spreads them. With more than 64 columns and
    more than four for each row it is therefore stopped once k exceeds both 64 and m + 1, and a semismooth Newton search
    in the m residuals takes over (it goes first, and no Gram matrix is formed, where the ridge is at least a hundredth
    of the mean squared length of a column): each step costs :math:`nm^2` whatever k is. A small ridge is approached
    from larger ones. Weights without a certificate are handed back to the active set.

    References
    ----------
    Qi, L. and Sun, J. (1993). A nonsmooth version of Newton's method. Mathematical Programming 58, 353-367.
    """
    columns = _own(columns)
    m, n = columns.shape
    lengths = (columns**2).sum(axis=0)
    size = float(lengths.mean())
    many = n > max(FEW, 4 * m) and ridge > 0 and size > 0
    if many and ridge >= STRONG * size:
        spread = _spread_weights(columns, ridge, size, float(lengths.max()))
        if spread.converged:
            return spread
    return _active_then_spread(columns, ridge, size, max(FEW, m + 1) if many else n)


def _active_then_spread(columns: FloatArray, ridge: float, size: float, max_support: int) -> SimplexFit:
    """Active set while few weights are positive, then Newton, then the active set to the end."""
    from groupeffect.numerics._simplex_kernels import active_set

    n = columns.shape[1]
    gram, zero, mask = columns.T @ columns, np.zeros(n), np.ones(n, dtype=bool)
    scale = float(gram.diagonal().max()) + ridge
    limit = 50 + 20 * n
    found = active_set(gram, zero, float(ridge), mask, np.empty(0), TOLERANCE * scale, limit, max_support)
    fit = _certified(*found[:3], scale, found[3])
    if int((fit.weights > 0).sum()) <= max_support:
        return fit
    spread = _spread_weights(columns, ridge, size, scale - ridge)
    if spread.converged:
        return spread
    found = active_set(gram, zero, float(ridge), mask, fit.weights, TOLERANCE * scale, limit, n)
    return _certified(*found[:3], scale, found[3])


def _spread_weights(columns: FloatArray, ridge: float, size: float, longest: float) -> SimplexFit:
    """Newton search in the residuals, from a ridge of the size of the columns down to the one asked for."""
    from groupeffect.numerics._simplex_kernels import dual_newton

    dual, steps = columns.mean(axis=1), 0
    stage = max(ridge, STRONG * size)
    while True:
        weights, dual, used, _ = dual_newton(columns, stage, dual, 50)
        steps += used
        if stage <= ridge:
            break
        stage = max(ridge, stage / 10)
    weights = weights / weights.sum()
    image = columns @ weights
    gradient = columns.T @ image + ridge * weights
    level = float(weights @ gradient)
    objective = 0.5 * level
    return _certified(weights, objective, level - float(gradient.min()), longest + ridge, steps)


def early_stopped_simplex(
    gram: FloatArray,
    linear: FloatArray,
    *,
    ridge: float,
    start: FloatArray,
    min_decrease: float,
    max_steps: int,
) -> SimplexFit:
    """Frank-Wolfe search for the same problem, ended by a stopping rule instead of at the optimum.

    It exists to reproduce published weights that were computed this way (the reference software of synthetic
    difference-in-differences); use :func:`simplex_least_squares` for everything else.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
        Symmetric positive semidefinite matrix.
    linear : ndarray of shape (n,)
        Linear term.
    ridge : float
        Penalty on the squared weights, in units of `gram`.
    start : ndarray of shape (n,)
        First weights, on the simplex.
    min_decrease : float
        The search ends after a step that lowers the objective by no more than this (at least two steps are taken).
    max_steps : int
        Largest number of steps.

    Returns
    -------
    SimplexFit
        ``gap`` says how far from the optimum the search was left.
    """
    from groupeffect.numerics._simplex_kernels import frank_wolfe

    gram, linear, _ = _prepared(gram, linear, ridge, None)
    first = _own(start)
    weights, objective, gap, steps = frank_wolfe(gram, linear, float(ridge), first, float(min_decrease), int(max_steps))
    return _certified(weights, objective, gap, float(gram.diagonal().max()) + ridge, steps)


def _own(values: FloatArray) -> FloatArray:
    """Contiguous writable floats: the compiler makes a second version of each loop for read-only arrays."""
    return np.require(values, np.float64, ["C", "W"])


def _prepared(
    gram: FloatArray, linear: FloatArray, ridge: float, allowed: BoolArray | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Contiguous float arrays of matching shapes."""
    gram, linear = _own(gram), _own(linear)
    n = len(linear)
    mask = np.ones(n, dtype=bool) if allowed is None else np.require(allowed, bool, ["C", "W"])
    if gram.shape != (n, n) or mask.shape != (n,):
        raise ValueError(f"gram {gram.shape}, linear {linear.shape} and allowed {mask.shape} do not fit together")
    if not mask.any():
        raise ValueError("no column may receive weight")
    if ridge < 0:
        raise ValueError(f"ridge={ridge} is negative")
    return gram, linear, mask


def _certified(weights: FloatArray, objective: float, gap: float, scale: float, steps: int) -> SimplexFit:
    gap = max(float(gap), 0.0)
    return SimplexFit(
        weights=weights,
        objective=float(objective),
        gap=gap,
        scale=scale,
        steps=int(steps),
        converged=gap <= CERTIFIED * scale,
    )
