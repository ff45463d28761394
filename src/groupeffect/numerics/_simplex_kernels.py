"""Compiled loops behind :mod:`groupeffect.numerics.simplex` (imports numba, so it is imported where it is used).

``active_set`` and ``frank_wolfe`` see the problem only through a Gram matrix ``G`` and a vector ``c``: the objective is
``w' G w / 2 - c' w + ridge * w' w / 2`` over weights that are not negative and sum to one. Columns outside
``allowed`` do not take part, so that many problems (placebos) can share one Gram matrix. ``dual_newton`` needs the
columns themselves.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from groupeffect._types import BoolArray, FloatArray, IntArray

__all__ = ["active_set", "dual_newton", "frank_wolfe"]

DEPENDENT = 1e-14
"""A column whose squared distance from the span of the support is below this share of its length is not added."""


@njit(cache=True)
def _grow(factor: FloatArray, size: int) -> FloatArray:
    """Copy of a square work array with room for more rows."""
    wider = np.zeros((size, size))
    for a in range(factor.shape[0]):
        for b in range(a + 1):
            wider[a, b] = factor[a, b]
    return wider


@njit(cache=True)
def _normalise(weights: FloatArray) -> None:
    """Scale to sum one, in place (a loop: array expressions take seconds to compile)."""
    total = 0.0
    for j in range(weights.shape[0]):
        total += weights[j]
    for j in range(weights.shape[0]):
        weights[j] /= total


@njit(cache=True)
def _append(
    factor: FloatArray, support: IntArray, k: int, j: int, gram: FloatArray, ridge: float, shift: float
) -> bool:
    """Add column ``j`` as row ``k`` of the Cholesky factor of ``G + ridge I + shift 11'`` on the support.

    Returns False, and leaves the factor as it is, if the column depends on the support numerically.
    """
    diagonal = gram[j, j] + ridge + shift
    rest = diagonal
    for a in range(k):
        value = gram[support[a], j] + shift
        for b in range(a):
            value -= factor[a, b] * factor[k, b]
        value /= factor[a, a]
        factor[k, a] = value
        rest -= value * value
    if rest <= DEPENDENT * diagonal:
        return False
    factor[k, k] = math.sqrt(rest)
    support[k] = j
    return True


@njit(cache=True)
def _remove(factor: FloatArray, support: IntArray, k: int, position: int) -> None:
    """Take row ``position`` out of the Cholesky factor of size ``k`` by plane rotations."""
    for a in range(position, k - 1):
        support[a] = support[a + 1]
        for b in range(a + 2):
            factor[a, b] = factor[a + 1, b]
        x, y = factor[a, a], factor[a, a + 1]
        length = math.hypot(x, y)
        cosine, sine = x / length, y / length
        factor[a, a] = length
        factor[a, a + 1] = 0.0
        for r in range(a + 2, k):
            low, high = factor[r, a], factor[r, a + 1]
            factor[r, a] = cosine * low + sine * high
            factor[r, a + 1] = cosine * high - sine * low


@njit(cache=True)
def _direction(factor: FloatArray, k: int, gradient: FloatArray, step: FloatArray, one: FloatArray) -> float:
    """Step to the minimum over the affine hull of the support; returns the common gradient reached there.

    With ``H = G + ridge I + shift 11'`` the step solves ``H d = nu 1 - g`` with ``1'd = 0``.
    """
    top, bottom = 0.0, 0.0
    for a in range(k):
        s, t = gradient[a], 1.0
        for b in range(a):
            s -= factor[a, b] * step[b]
            t -= factor[a, b] * one[b]
        step[a] = s / factor[a, a]
        one[a] = t / factor[a, a]
        top += step[a] * one[a]
        bottom += one[a] * one[a]
    nu = top / bottom
    for a in range(k):
        step[a] = nu * one[a] - step[a]
    for a in range(k - 1, -1, -1):
        value = step[a] / factor[a, a]
        step[a] = value
        for b in range(a):
            step[b] -= factor[a, b] * value
    return nu


@njit(cache=True)
def _full_gradient(
    gram: FloatArray, linear: FloatArray, ridge: float, weights: FloatArray, support: IntArray, k: int, out: FloatArray
) -> None:
    """Gradient of the objective in every column."""
    n = gram.shape[0]
    for j in range(n):
        out[j] = ridge * weights[j] - linear[j]
    for a in range(k):
        p = support[a]
        share = weights[p]
        for j in range(n):
            out[j] += share * gram[p, j]


@njit(cache=True)
def _start(
    gram: FloatArray, linear: FloatArray, ridge: float, allowed: BoolArray, start: FloatArray
) -> tuple[FloatArray, float]:
    """Feasible first weights (the best single column unless a start is given) and the shift of the factor."""
    n = gram.shape[0]
    best, lowest, trace, count, total = -1, np.inf, 0.0, 0, 0.0
    weights = np.zeros(n)
    for j in range(n):
        if allowed[j]:
            trace += gram[j, j]
            count += 1
            value = 0.5 * (gram[j, j] + ridge) - linear[j]
            if best < 0 or value < lowest:
                best, lowest = j, value
            if start.shape[0] == n and start[j] > 0.0:
                weights[j] = start[j]
                total += start[j]
    if total <= 0.0:
        weights[best] = 1.0
    shift = trace / count + ridge
    return weights, shift if shift > 0.0 else 1.0


@njit(cache=True)
def _look(
    gradient: FloatArray,
    linear: FloatArray,
    weights: FloatArray,
    support: IntArray,
    k: int,
    allowed: BoolArray,
    blocked: BoolArray,
) -> tuple[float, float, float, int]:
    """Objective, duality gap, best decrease rate of a column that is not blocked, and that column (-1: none)."""
    value, level = 0.0, 0.0
    for a in range(k):
        p = support[a]
        level += weights[p] * gradient[p]
        value += 0.5 * weights[p] * (gradient[p] - linear[p])
    entering, lowest, floor = -1, level, level
    for j in range(gradient.shape[0]):
        if allowed[j]:
            floor = min(floor, gradient[j])
            if gradient[j] < lowest and not blocked[j]:
                entering, lowest = j, gradient[j]
    return value, level - floor, level - lowest, entering


@njit(cache=True)
def _descend(
    factor: FloatArray,
    support: IntArray,
    k: int,
    weights: FloatArray,
    gradient: FloatArray,
    work: FloatArray,
    fresh: int,
    blocked: BoolArray,
) -> tuple[int, int]:
    """Move to the minimum over the support, dropping columns whose weight reaches zero on the way.

    `fresh` is the column that has just entered, -1 for none. Returns the size of the support and the systems solved.
    """
    local, step, one = work[0], work[1], work[2]
    for a in range(k):
        local[a] = gradient[support[a]]
    steps = 0
    while True:
        nu = _direction(factor, k, local, step, one)
        steps += 1
        share, binding = 1.0, -1
        for a in range(k):
            if step[a] < 0.0 and weights[support[a]] + share * step[a] <= 0.0:
                share, binding = -weights[support[a]] / step[a], a
        if binding >= 0 and support[binding] == fresh and weights[fresh] == 0.0:
            blocked[fresh] = True  # rounding: the column cannot improve the fit after all
        elif share > 0.0:
            for j in range(blocked.shape[0]):
                blocked[j] = False
            fresh = -1
        for a in range(k):
            weights[support[a]] = max(weights[support[a]] + share * step[a], 0.0)
            local[a] += share * (nu - local[a])
        if binding < 0:
            return k, steps
        weights[support[binding]] = 0.0
        for a in range(binding, k - 1):
            local[a] = local[a + 1]
        _remove(factor, support, k, binding)
        k -= 1


@njit(cache=True)
def active_set(
    gram: FloatArray,
    linear: FloatArray,
    ridge: float,
    allowed: BoolArray,
    start: FloatArray,
    tolerance: float,
    max_steps: int,
    max_support: int,
) -> tuple[FloatArray, float, float, int]:
    """Weights, objective, duality gap and number of linear solves of an exact active-set search.

    The search gives up, with the gap it has by then, when more than ``max_support`` columns have weight.

    Wolfe's method for the point of a polytope nearest to the origin, written for a Gram matrix: the support stays
    affinely independent, so singular Gram matrices need no special case. ``tolerance`` is in objective units.
    """
    n = gram.shape[0]
    weights, shift = _start(gram, linear, ridge, allowed, start)
    support = np.empty(n, dtype=np.int64)
    factor = np.zeros((min(n, 32), min(n, 32)))
    gradient, work = np.empty(n), np.empty((3, n))
    blocked = np.zeros(n, dtype=np.bool_)
    k = 0
    for j in range(n):
        if weights[j] > 0.0:
            if k == factor.shape[0]:
                factor = _grow(factor, min(n, 2 * k))
            if _append(factor, support, k, j, gram, ridge, shift):
                k += 1
            else:
                weights[j] = 0.0
    _normalise(weights)
    refine = k > 1  # a start with several columns is first taken to the minimum over them
    steps, stalled, lowest = 0, 0, np.inf
    while True:
        _full_gradient(gram, linear, ridge, weights, support, k, gradient)
        value, gap, decrease, entering = _look(gradient, linear, weights, support, k, allowed, blocked)
        stalled = 0 if value < lowest else stalled + 1
        lowest = min(lowest, value)
        if (
            steps >= max_steps
            or k > max_support
            or stalled > 20
            or (not refine and (entering < 0 or decrease <= tolerance))
        ):
            return weights, value, gap, steps
        fresh = -1
        if refine:
            refine = False
        elif weights[entering] > 0.0:
            blocked[entering] = True  # rounding inside the support: one more solve evens it out
        else:
            if k == factor.shape[0]:
                factor = _grow(factor, min(n, 2 * k))
            if not _append(factor, support, k, entering, gram, ridge, shift):
                blocked[entering] = True
                continue
            k += 1
            fresh = entering
        k, solved = _descend(factor, support, k, weights, gradient, work, fresh, blocked)
        steps += solved
        _normalise(weights)


@njit(cache=True)
def frank_wolfe(
    gram: FloatArray, linear: FloatArray, ridge: float, start: FloatArray, min_decrease: float, max_steps: int
) -> tuple[FloatArray, float, float, int]:
    """Weights, objective, duality gap and number of steps of Frank-Wolfe with exact line search, stopped early.

    The search ends when one step lowers the objective by no more than ``min_decrease`` (objective units), or after
    ``max_steps``; at least two steps are taken.
    """
    n = gram.shape[0]
    weights = start.copy()
    image = np.zeros(n)
    for j in range(n):
        for i in range(n):
            image[j] += weights[i] * gram[i, j]
    steps, value, drop = 0, 0.0, np.inf
    while steps < max_steps and (steps < 2 or drop > min_decrease):
        vertex, slope = 0, np.inf
        level = 0.0
        for j in range(n):
            here = image[j] + ridge * weights[j] - linear[j]
            level += weights[j] * here
            if here < slope:
                vertex, slope = j, here
        curvature = gram[vertex, vertex] - 2.0 * image[vertex] + ridge * (1.0 - 2.0 * weights[vertex])
        for j in range(n):
            curvature += weights[j] * (image[j] + ridge * weights[j])
        share = min(1.0, max(0.0, (level - slope) / curvature)) if curvature > 0.0 else 0.0
        drop = share * (level - slope) - 0.5 * share * share * curvature
        for j in range(n):
            weights[j] *= 1.0 - share
            image[j] += share * (gram[vertex, j] - image[j])
        weights[vertex] += share
        steps += 1
    level, slope, value = 0.0, np.inf, 0.0
    for j in range(n):
        here = image[j] + ridge * weights[j] - linear[j]
        level += weights[j] * here
        value += 0.5 * weights[j] * (here - linear[j])
        slope = min(slope, here)
    return weights, value, level - slope, steps


@njit(cache=True)
def _project(point: FloatArray, weights: FloatArray) -> None:
    """Put the nearest point of the simplex into `weights`."""
    n = point.shape[0]
    top = point[0]
    for j in range(1, n):
        top = max(top, point[j])
    level, count = top - 1.0, n + 1
    while True:
        total, inside = 0.0, 0
        for j in range(n):
            if point[j] > level:
                total += point[j] - top
                inside += 1
        level = top + (total - 1.0) / inside
        if inside == count:
            break
        count = inside
    for j in range(n):
        weights[j] = max(point[j] - level, 0.0)


@njit(cache=True)
def _dual_residual(
    columns: FloatArray, ridge: float, dual: FloatArray, point: FloatArray, weights: FloatArray, out: FloatArray
) -> None:
    """Weights that a dual vector implies, and how far their residual is from it: ``out = dual - A w``."""
    m, n = columns.shape
    for j in range(n):
        point[j] = 0.0
    for i in range(m):
        scale = dual[i] / ridge
        for j in range(n):
            point[j] -= scale * columns[i, j]
    _project(point, weights)
    for i in range(m):
        value = dual[i]
        for j in range(n):
            value -= columns[i, j] * weights[j]
        out[i] = value


@njit(cache=True)
def _newton_step(columns: FloatArray, ridge: float, weights: FloatArray, residual: FloatArray) -> FloatArray:
    """Solve ``(I + A_S C A_S' / ridge) p = -residual`` on the support S, with C the centring matrix."""
    m, n = columns.shape
    mean, count = np.zeros(m), 0
    for j in range(n):
        count += weights[j] > 0.0
    for i in range(m):
        for j in range(n):
            if weights[j] > 0.0:
                mean[i] += columns[i, j] / count
    system = np.zeros((m, m))
    centred = np.empty(m)
    for j in range(n):
        if weights[j] > 0.0:
            for i in range(m):
                centred[i] = columns[i, j] - mean[i]
            for i in range(m):
                scale = centred[i] / ridge
                for h in range(i + 1):
                    system[i, h] += scale * centred[h]
    step = np.empty(m)
    for i in range(m):  # Cholesky factor and forward substitution in one pass
        system[i, i] += 1.0
        value = -residual[i]
        for h in range(i):
            part = system[i, h]
            for q in range(h):
                part -= system[i, q] * system[h, q]
            part /= system[h, h]
            system[i, h] = part
            system[i, i] -= part * part
            value -= part * step[h]
        system[i, i] = math.sqrt(system[i, i])
        step[i] = value / system[i, i]
    for i in range(m - 1, -1, -1):
        step[i] /= system[i, i]
        for h in range(i):
            step[h] -= system[i, h] * step[i]
    return step


@njit(cache=True)
def dual_newton(
    columns: FloatArray, ridge: float, start: FloatArray, max_steps: int
) -> tuple[FloatArray, FloatArray, int, bool]:
    """Weights, dual vector, Newton steps and success for ``|A w|^2 / 2 + ridge * |w|^2 / 2`` over the simplex.

    Works on the residual ``A w`` (one number per row of A) instead of the weights, so that a solution with many
    positive weights costs no more than one with few; ridge > 0. Success means that the support did not change in the
    last full step, on which the equations are linear.
    """
    m, n = columns.shape
    dual, trial, residual, ahead = start.copy(), np.empty(m), np.empty(m), np.empty(m)
    point, weights, other = np.empty(n), np.empty(n), np.empty(n)
    _dual_residual(columns, ridge, dual, point, weights, residual)
    for steps in range(1, max_steps + 1):
        step = _newton_step(columns, ridge, weights, residual)
        first = 0.0
        for i in range(m):
            first += residual[i] * step[i]
        low, high, share = 0.0, 1.0, 1.0
        for _ in range(40):  # the slope along the step rises with the share: look for where it is nearly zero
            for i in range(m):
                trial[i] = dual[i] + share * step[i]
            _dual_residual(columns, ridge, trial, point, other, ahead)
            slope = 0.0
            for i in range(m):
                slope += ahead[i] * step[i]
            if (slope <= 0.0 and share == 1.0) or abs(slope) <= 0.2 * abs(first):
                break
            if slope > 0.0:
                high = share
            else:
                low = share
            share = 0.5 * (low + high)
        same = share == 1.0
        for j in range(n):
            same = same and (other[j] > 0.0) == (weights[j] > 0.0)
            weights[j] = other[j]
        for i in range(m):
            dual[i] = trial[i]
            residual[i] = ahead[i]
        if same:
            return weights, dual, steps, True
    return weights, dual, max_steps, False
