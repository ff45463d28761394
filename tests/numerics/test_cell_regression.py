"""Least squares from cell sums against dense least squares on dummies."""

from __future__ import annotations

import numpy as np
import pytest

from groupeffect.errors import SingularDesignError
from groupeffect.numerics.cell_regression import CellRegression, cell_regression, unit_effects

N, T = 40, 6
RNG = np.random.default_rng(3)
TIMES = 2001.0 + np.arange(T)
Y = RNG.normal(size=(N, T)) + 100
X = RNG.normal(size=(N, T, 2))
WEIGHT = RNG.uniform(0.5, 2, N)
GROUP = np.arange(N) % 3
USED = RNG.random((N, T)) > 0.15


def design() -> np.ndarray:
    """Time effects, and two cells of the first group."""
    columns = np.zeros((3, T, T + 2))
    columns[:, :, :T] = np.eye(T)
    columns[0, 4, T] = columns[0, 5, T + 1] = 1
    return columns


def fitted(*, lines: bool = False, weight: np.ndarray = WEIGHT) -> CellRegression:
    return cell_regression(Y, X, unit_effects(USED, TIMES, lines=lines), weight, GROUP, design(), ("a", "b"))


def dense(*, lines: bool) -> np.ndarray:
    unit, time = np.indices((N, T))
    parts = [design()[GROUP].reshape(N * T, -1), X.reshape(N * T, 2), np.eye(N)[unit.ravel()]]
    if lines:
        parts.append(parts[2] * time.ravel()[:, None])
    root = np.sqrt(np.repeat(WEIGHT, T)) * USED.ravel()
    return np.linalg.lstsq(np.hstack(parts) * root[:, None], Y.ravel() * root, rcond=1e-12)[0]


def contrast() -> np.ndarray:
    """Difference of time effects is not determined with lines; cells and covariates are."""
    return np.eye(T + 4)[T:]


@pytest.mark.parametrize("lines", [False, True])
def test_coefficients_and_residuals(lines: bool) -> None:
    own = fitted(lines=lines)
    assert own.estimable(contrast()).all()
    np.testing.assert_allclose(own.coefficient[T:], dense(lines=lines)[T : T + 4], atol=1e-10)
    assert not own.residual[~USED].any()
    np.testing.assert_allclose(own.residual.sum(axis=1), 0, atol=1e-11)
    np.testing.assert_allclose((WEIGHT[:, None] * own.residual).sum(axis=0), 0, atol=1e-10)


@pytest.mark.parametrize("lines", [False, True])
def test_what_is_not_determined_is_known(lines: bool) -> None:
    own = fitted(lines=lines)
    assert own.null.shape[1] == (2 if lines else 1)
    level, difference, curve = np.zeros((3, T + 4))
    level[2] = 1
    difference[[2, 0]] = 1, -1
    curve[[0, 1, 2]] = 1, -2, 1
    np.testing.assert_array_equal(own.estimable(np.stack([level, difference, curve])), [False, not lines, True])


@pytest.mark.parametrize("lines", [False, True])
def test_weights_on_outcomes(lines: bool) -> None:
    own = fitted(lines=lines)
    weights = own.outcome_weights(contrast())
    np.testing.assert_allclose((weights * Y).sum(axis=(1, 2)), own.coefficient[T:], atol=1e-10)
    assert not weights[:, ~USED].any()


@pytest.mark.parametrize("lines", [False, True])
def test_unit_scores_are_derivatives(lines: bool) -> None:
    scores = fitted(lines=lines).unit_scores(contrast())
    np.testing.assert_allclose(scores.sum(axis=0), 0, atol=1e-10)
    for unit in (0, 7, 20):
        ends = []
        for sign in (1, -1):
            weight = WEIGHT.copy()
            weight[unit] *= np.exp(sign * 1e-4)
            ends.append(fitted(lines=lines, weight=weight).coefficient[T:])
        np.testing.assert_allclose(scores[unit], (ends[0] - ends[1]) / 2e-4, atol=1e-7)


def test_beyond_extrapolates_lines() -> None:
    used = np.zeros((2, T), dtype=bool)
    used[0, [0, 2]] = used[1, [1]] = True
    effects = unit_effects(used, TIMES, lines=True)
    np.testing.assert_array_equal(effects.known, [True, False])
    np.testing.assert_array_equal(effects.degrees, [2, 1])
    line = np.vstack([3 + 2 * TIMES, np.full(T, 5.0)])
    np.testing.assert_allclose(effects.beyond(line)[0], 0, atol=1e-9)
    np.testing.assert_allclose(effects.beyond(line)[1], 0, atol=1e-12)
    mean = unit_effects(used, TIMES)
    np.testing.assert_allclose(mean.beyond(line)[0], line[0] - line[0, [0, 2]].mean(), atol=1e-9)


def test_contrast_adds_the_maps_of_units() -> None:
    effects = unit_effects(USED, TIMES, lines=True)
    weight, rows = RNG.random((N, T)), GROUP == 1
    path = RNG.normal(size=T)
    each = effects.beyond(np.broadcast_to(path, (N, T)))
    np.testing.assert_allclose(effects.contrast(weight, rows) @ path, (weight * each)[rows].sum(axis=0), atol=1e-11)


def test_covariates_that_are_not_determined_are_named() -> None:
    effects = unit_effects(USED, TIMES)
    constant = np.stack([np.repeat(X[:, :1, 0], T, axis=1), X[:, :, 1]], axis=2)
    with pytest.raises(SingularDesignError, match="explain a completely"):
        cell_regression(Y, constant, effects, WEIGHT, GROUP, design(), ("a", "b"))
    twice = np.stack([X[:, :, 0], 2 * X[:, :, 0] + np.arange(T)], axis=2)
    with pytest.raises(SingularDesignError, match="a, b"):
        cell_regression(Y, twice, effects, WEIGHT, GROUP, design(), ("a", "b"))
