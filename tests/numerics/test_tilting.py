"""Tilted odds: exact balance, no solution, extreme shares."""

from __future__ import annotations

import numpy as np
import pytest

from groupeffect.errors import OverlapError
from groupeffect.numerics.ols import orthonormal
from groupeffect.numerics.tilting import fit_tilting


def draw(n: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    treated = rng.random(n) < 1 / (1 + np.exp(-shift - 0.7 * x[:, 0]))
    weight = rng.uniform(0.2, 3, n)
    weight /= weight.mean()
    return orthonormal(np.column_stack([np.ones(n), x]), weight), treated, weight


@pytest.mark.parametrize("shift", [-4.0, 0.0, 2.0])
def test_odds_balance_all_moments(shift: float) -> None:
    basis, treated, weight = draw(2000, shift)
    fitted = fit_tilting(basis, treated, weight)
    odds = fitted.probability / (1 - fitted.probability)
    balance = basis.T @ np.where(treated, weight, -weight * odds) / len(weight)
    assert np.abs(balance).max() < 1e-11
    used = np.where(treated, 0.0, weight * odds)
    np.testing.assert_allclose(fitted.hessian, (basis * used[:, None]).T @ basis / len(weight), atol=1e-12)


def test_constant_only_gives_the_share() -> None:
    treated = np.arange(10) < 3
    fitted = fit_tilting(np.ones((10, 1)), treated, np.ones(10))
    np.testing.assert_allclose(fitted.probability, 0.3, atol=1e-12)


def test_treated_outside_the_range_of_the_untreated() -> None:
    basis, treated, weight = draw(200, 0.0)
    apart = basis.copy()
    apart[:, 1] += 100 * treated
    with pytest.raises(OverlapError, match="no solution"):
        fit_tilting(orthonormal(apart, weight), treated, weight)
