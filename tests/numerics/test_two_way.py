"""Two-way effects against explicit dummy variables; derivative, components, collinearity."""

from __future__ import annotations

import numpy as np
import pytest

from groupeffect.errors import SingularDesignError
from groupeffect.numerics.two_way import TwoWay, two_way, within_regression


def weights(kind: str, n: int = 30, n_times: int = 7) -> np.ndarray:
    rng = np.random.default_rng(8)
    weight = np.ones((n, n_times))
    if kind in ("unbalanced", "both"):
        weight[rng.random((n, n_times)) < 0.35] = 0.0
    if kind in ("weighted", "both"):
        weight *= rng.uniform(0.2, 4.0, (n, 1))
    if kind == "cells":
        weight *= rng.uniform(0.2, 4.0, (n, n_times))
    if kind == "two_parts":
        weight[:12, 4:] = 0.0
        weight[12:, :4] = 0.0
    if kind == "gaps":
        weight[:, 3] = 0.0
        weight[5] = 0.0
        weight[6, 1:] = 0.0
    return weight


KINDS = ("balanced", "unbalanced", "weighted", "both", "cells", "two_parts", "gaps")


def dummies(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = np.nonzero(weight)
    return np.column_stack([np.eye(weight.shape[0])[rows], np.eye(weight.shape[1])[columns]]), rows, columns


@pytest.mark.parametrize("kind", KINDS)
def test_residuals_equal_those_of_a_dummy_regression(kind: str) -> None:
    weight = weights(kind)
    rng = np.random.default_rng(1)
    values = rng.normal(size=(*weight.shape, 2)) + 50 * rng.normal(size=(weight.shape[0], 1, 1))
    values[weight == 0] = np.nan
    effects = two_way(weight)
    rest = effects.residuals(values)
    design, rows, columns = dummies(weight)
    root = np.sqrt(weight[rows, columns])[:, None]
    own = values[rows, columns]
    slope, _, rank, _ = np.linalg.lstsq(root * design, root * own, rcond=None)
    np.testing.assert_allclose(rest[rows, columns], own - design @ slope, atol=1e-10)
    assert (rest[weight == 0] == 0).all()
    assert effects.n_effects == rank
    np.testing.assert_allclose(effects.residuals(values[:, :, 0]), rest[:, :, 0], atol=1e-12)


def test_counts_of_levels_and_parts() -> None:
    assert _counts(two_way(weights("balanced"))) == (30, 7, 1)
    assert _counts(two_way(weights("two_parts"))) == (30, 7, 2)
    assert _counts(two_way(weights("gaps"))) == (29, 6, 1)


def _counts(effects: TwoWay) -> tuple[int, int, int]:
    return effects.n_unit_effects, effects.n_time_effects, effects.n_components


def test_levels_of_a_million_leave_nothing() -> None:
    weight = weights("both")
    level = 1e6 * np.arange(weight.shape[0])[:, None] + 1e7 * np.sin(np.arange(weight.shape[1]))[None, :]
    assert np.abs(two_way(weight).residuals(level)).max() < 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_regression_equals_dummy_regression(kind: str) -> None:
    weight = weights(kind)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(*weight.shape, 3)) * [1.0, 1e4, 1e-3]
    y = rng.normal(size=weight.shape) + x @ [1.0, 2e-4, 50.0]
    fitted = within_regression(y, x, two_way(weight), ("a", "b", "c"))
    design, rows, columns = dummies(weight)
    root = np.sqrt(weight[rows, columns])[:, None]
    full = np.column_stack([x[rows, columns] / [1.0, 1e4, 1e-3], design])
    slope = np.linalg.lstsq(root * full, root[:, 0] * y[rows, columns], rcond=None)[0]
    np.testing.assert_allclose(fitted.coefficient * [1.0, 1e4, 1e-3], slope[:3], rtol=1e-9)
    np.testing.assert_allclose(fitted.residual[rows, columns], y[rows, columns] - full @ slope, atol=1e-10)
    np.testing.assert_allclose((fitted.weights * y).sum(axis=(1, 2)), fitted.coefficient, rtol=1e-9)
    again = np.einsum("ntj,nt,ntk->jk", fitted.regressors, weight, fitted.regressors)
    np.testing.assert_allclose(fitted.inverse @ again, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("kind", ["balanced", "both"])
def test_unit_scores_are_the_derivative(kind: str) -> None:
    weight = weights(kind)
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(*weight.shape, 2)), rng.normal(size=weight.shape)
    fitted = within_regression(y, x, two_way(weight), ("a", "b"))
    numeric = np.empty((len(weight), 2))
    for i in range(len(weight)):
        ends = []
        for sign in (1, -1):
            moved = weight.copy()
            moved[i] *= 1 + sign * 1e-4
            ends.append(within_regression(y, x, two_way(moved), ("a", "b")).coefficient)
        numeric[i] = (ends[0] - ends[1]) / 2e-4
    assert np.abs(fitted.unit_scores() - numeric).max() < 1e-6 * np.abs(numeric).max()
    assert np.abs(fitted.unit_scores().sum(axis=0)).max() < 1e-12


def test_collinear_regressors_are_named() -> None:
    weight = weights("unbalanced")
    rng = np.random.default_rng(4)
    x = rng.normal(size=(*weight.shape, 3))
    constant = np.repeat(rng.normal(size=(len(weight), 1)), weight.shape[1], axis=1)
    effects = two_way(weight)
    with pytest.raises(SingularDesignError, match="explain size completely"):
        within_regression(x[:, :, 0], np.stack([x[:, :, 1], constant], axis=2), effects, ("x", "size"))
    x[:, :, 2] = 2 * x[:, :, 0] + constant
    with pytest.raises(SingularDesignError, match=r"1 of 3 .* involved: a, c"):
        within_regression(x[:, :, 0], x, effects, ("a", "b", "c"))
