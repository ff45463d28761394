"""Panel 2x2 blocks through their public door: derivative, weights, invariances, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.did._improved import FURTHER_METHODS, further_panel_block
from groupeffect.did.basic import PANEL_METHODS
from groupeffect.errors import (
    NoComparisonError,
    NoTreatedError,
    OverlapError,
    PanelError,
    SingularDesignError,
    SpecError,
)

N = 150


def units(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 2))
    treated = rng.random(N) < 1 / (1 + np.exp(0.5 - 0.8 * x[:, 0]))
    before = x @ [1.0, 1.0] + rng.normal(size=N)
    after = before + x @ [0.5, -1.0] + 2.0 * treated + rng.normal(size=N)
    return {
        "outcome_post": after,
        "outcome_pre": before,
        "treated": treated,
        "covariates": x,
        "weight": rng.uniform(0.5, 2.0, N),
    }


@pytest.mark.parametrize("method", PANEL_METHODS)
def test_influence_is_the_derivative_in_unit_weights(method: str) -> None:
    data = units()
    result = ge.did.two_by_two(**data, method=method)
    w = data["weight"]
    numeric = np.empty(N)
    for i in range(N):
        ends = []
        for sign in (1, -1):
            moved = w.copy()
            moved[i] *= 1 + sign * 1e-4
            ends.append(ge.did.two_by_two(**{**data, "weight": moved}, method=method).estimate)
        numeric[i] = N * (ends[0] - ends[1]) / 2e-4
    assert np.abs(result.influence - numeric).max() < 1e-5 * np.abs(numeric).max()
    assert abs(result.influence.mean()) < 1e-10 * np.abs(result.influence).max()


@pytest.mark.parametrize("method", PANEL_METHODS)
def test_weights_reproduce_the_estimate(method: str) -> None:
    data = units()
    result = ge.did.two_by_two(**data, method=method)
    change = data["outcome_post"] - data["outcome_pre"]
    assert result.weights @ change == pytest.approx(result.estimate, rel=1e-11)
    assert result.weights[data["treated"]].sum() == pytest.approx(1.0, abs=1e-12)
    if method != "ipw_unnormalised":
        assert result.weights[~data["treated"]].sum() == pytest.approx(-1.0, abs=1e-12)


def test_improved_odds_balance_the_covariates_exactly() -> None:
    data = units()
    weights = ge.did.two_by_two(**data, method="dr_improved").weights
    assert np.abs(weights @ data["covariates"]).max() < 1e-11
    comparison = weights[~data["treated"]]
    assert (comparison < 0).all()  # pure weighting: no extrapolation is left in the regression step


@pytest.mark.parametrize("method", FURTHER_METHODS)
def test_several_changes_at_once_equal_one_by_one(method: str) -> None:
    data = units()
    change = np.column_stack([data["outcome_post"] - data["outcome_pre"], data["outcome_post"] ** 2])
    args = data["treated"], data["covariates"], data["weight"]
    both = further_panel_block(change, *args, method=method)
    for j in range(2):
        one = further_panel_block(change[:, j : j + 1], *args, method=method)
        assert both.estimate[j] == pytest.approx(one.estimate[0], rel=1e-12)
        np.testing.assert_allclose(both.influence[:, j], one.influence[:, 0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", [m for m in PANEL_METHODS if m not in ("twfe", "ipw", "ipw_unnormalised")])
def test_exact_when_the_change_is_linear_in_covariates(method: str) -> None:
    data = units()
    after = data["outcome_pre"] + 1 + data["covariates"] @ [2.0, -3.0] + 1.25 * data["treated"]
    result = ge.did.two_by_two(**{**data, "outcome_post": after}, method=method)
    assert result.estimate == pytest.approx(1.25, abs=1e-11)
    assert np.abs(result.influence).max() < 1e-9


def test_two_way_effects_adjust_for_nothing_that_is_constant() -> None:
    data = units()
    adjusted = ge.did.two_by_two(**data, method="twfe")
    plain = ge.did.two_by_two(**{**data, "covariates": None}, method="dr")
    assert adjusted.estimate == plain.estimate


@pytest.mark.parametrize("method", PANEL_METHODS)
def test_weight_two_is_a_unit_twice(method: str) -> None:
    data = units()
    twice = np.r_[np.arange(N), np.arange(40)]
    heavy = {**data, "weight": np.where(np.arange(N) < 40, 2.0, 1.0)}
    doubled = {key: value[twice] for key, value in data.items() if key != "weight"}
    one, other = ge.did.two_by_two(**heavy, method=method), ge.did.two_by_two(**doubled, method=method)
    assert one.estimate == pytest.approx(other.estimate, rel=1e-10)


def test_cross_sections_of_a_panel_give_the_panel_estimate() -> None:
    """Stacking a balanced panel keeps the estimate and loses the precision of within-unit changes."""
    data = units()
    stacked = {
        "outcome": np.r_[data["outcome_pre"], data["outcome_post"]],
        "post": np.repeat([0, 1], N),
        "treated": np.tile(data["treated"], 2),
        "covariates": np.tile(data["covariates"], (2, 1)),
        "weight": np.tile(data["weight"], 2),
    }
    for method in ("reg", "ipw", "dr", "dr_improved", "ipw_unnormalised"):
        panel = ge.did.two_by_two(**data, method=method)
        sections = ge.did.two_by_two_cross_sections(**stacked, method=method)
        assert sections.estimate == pytest.approx(panel.estimate, rel=1e-9)
        by_unit = sections.influence[:N] + sections.influence[N:]
        # the sums by unit are the panel's influence again: cluster sums, not means
        np.testing.assert_allclose(by_unit / 2, panel.influence, rtol=1e-6, atol=1e-8)


def test_refusals() -> None:
    data = units()
    with pytest.raises(SpecError, match="dr_improved"):
        ge.did.two_by_two(**data, method="best")  # type: ignore[arg-type]
    with pytest.raises(SpecError):
        further_panel_block(np.ones((N, 1)), data["treated"], data["covariates"], data["weight"], method="dr")  # type: ignore[arg-type]
    with pytest.raises(NoTreatedError):
        ge.did.two_by_two(**{**data, "treated": np.zeros(N)})
    with pytest.raises(NoComparisonError):
        ge.did.two_by_two(**{**data, "treated": np.ones(N)})
    with pytest.raises(PanelError, match="0 or 1"):
        ge.did.two_by_two(**{**data, "treated": np.arange(N)})
    with pytest.raises(PanelError, match="not finite"):
        ge.did.two_by_two(**{**data, "outcome_pre": np.where(np.arange(N) == 3, np.nan, data["outcome_pre"])})
    with pytest.raises(PanelError, match="expected 150 rows"):
        ge.did.two_by_two(**{**data, "weight": np.ones(3)})
    with pytest.raises(PanelError, match="not positive"):
        ge.did.two_by_two(**{**data, "weight": np.zeros(N)})
    for method in ("ipw_unnormalised", "dr_improved"):
        with pytest.raises(OverlapError):
            ge.did.two_by_two(**{**data, "covariates": data["treated"] * 5.0 + data["outcome_pre"]}, method=method)
        with pytest.raises(SingularDesignError):
            ge.did.two_by_two(**{**data, "covariates": data["covariates"][:, [0, 0]]}, method=method)
