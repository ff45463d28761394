"""Repeated cross-section blocks: derivative, weights, invariances, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from groupeffect.did._cross_sections import SECTION_METHODS, cross_section_block
from groupeffect.errors import EstimationError, OverlapError, SingularDesignError, SpecError


def sections(m: int = 240, seed: int = 3, weighted: bool = True) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, 2))
    treated = rng.random(m) < 1 / (1 + np.exp(-0.6 * x[:, 0] + 0.2))
    post = rng.random(m) < 0.5 + 0.1 * (x[:, 1] > 0)
    outcome = 3 + x @ [1.0, -0.5] + treated + 0.7 * post * (1 + x[:, 0]) + 2.0 * treated * post + rng.normal(size=m)
    weight = rng.uniform(0.4, 2.5, m) if weighted else np.ones(m)
    return {
        "outcome": outcome,
        "post": post,
        "treated": treated,
        "covariates": np.column_stack([np.ones(m), x]),
        "weight": weight,
    }


@pytest.mark.parametrize("method", SECTION_METHODS)
def test_influence_is_the_derivative_in_observation_weights(method: str) -> None:
    data = sections(m=120)
    result = cross_section_block(**data, method=method)
    w, m = data["weight"], len(data["weight"])
    numeric = np.empty(m)
    for i in range(m):
        step = 1e-4 * w[i]
        ends = []
        for sign in (1, -1):
            moved = w.copy()
            moved[i] += sign * step
            ends.append(cross_section_block(**{**data, "weight": moved}, method=method).estimate)
        numeric[i] = m * w[i] * (ends[0] - ends[1]) / (2 * step)
    assert np.abs(result.influence - numeric).max() < 1e-5 * np.abs(numeric).max()
    assert abs(result.influence.mean()) < 1e-9 * np.abs(result.influence).max()


@pytest.mark.parametrize("method", SECTION_METHODS)
def test_weights_reproduce_the_estimate(method: str) -> None:
    data = sections()
    result = cross_section_block(**data, method=method)
    assert result.weights @ data["outcome"] == pytest.approx(result.estimate, rel=1e-11)
    if method != "ipw_unnormalised":
        treated, post = data["treated"], data["post"]
        for side, total in ((treated & post, 1), (treated & ~post, -1), (~treated & post, -1), (~treated & ~post, 1)):
            assert result.weights[side].sum() == pytest.approx(total, abs=1e-10)


@pytest.mark.parametrize("method", SECTION_METHODS)
def test_weight_two_is_an_observation_twice_and_scale_does_not_matter(method: str) -> None:
    data = sections(weighted=False)
    heavy = {**data, "weight": np.where(np.arange(240) < 50, 2.0, 1.0)}
    twice = np.r_[np.arange(240), np.arange(50)]
    doubled = {key: value[twice] for key, value in data.items()}
    one = cross_section_block(**heavy, method=method)
    other = cross_section_block(**doubled, method=method)
    scaled = cross_section_block(**{**heavy, "weight": 7.5 * heavy["weight"]}, method=method)
    assert one.estimate == pytest.approx(other.estimate, rel=1e-10)
    assert one.estimate == pytest.approx(scaled.estimate, rel=1e-12)
    np.testing.assert_allclose(one.influence, scaled.influence, rtol=0, atol=1e-10 * np.abs(one.influence).max())


@pytest.mark.parametrize("method", [m for m in SECTION_METHODS if m != "ipw_unnormalised"])
def test_affine_invariance_and_covariate_basis(method: str) -> None:
    data = sections()
    base = cross_section_block(**data, method=method)
    moved = cross_section_block(**{**data, "outcome": 5 - 3 * data["outcome"]}, method=method)
    assert moved.estimate == pytest.approx(-3 * base.estimate, rel=1e-10)
    turned = data["covariates"] @ np.array([[1.0, 4.0, -2.0], [0, 100.0, 3.0], [0, 0.5, 1e-3]])
    again = cross_section_block(**{**data, "covariates": turned}, method=method)
    assert again.estimate == pytest.approx(base.estimate, rel=1e-7)


@pytest.mark.parametrize("method", SECTION_METHODS)
def test_constant_only_gives_the_four_means(method: str) -> None:
    data = sections()
    w, y, treated, post = data["weight"], data["outcome"], data["treated"], data["post"]

    def mean(side: np.ndarray) -> float:
        return float(np.average(y[side], weights=w[side]))

    expected = mean(treated & post) - mean(treated & ~post) - mean(~treated & post) + mean(~treated & ~post)
    result = cross_section_block(**{**data, "covariates": np.ones((240, 1))}, method=method)
    if method == "ipw_unnormalised":
        assert result.estimate != pytest.approx(expected)  # shares before and after differ between the sides
    else:
        assert result.estimate == pytest.approx(expected, rel=1e-10)


def test_exact_when_the_trend_is_linear_in_covariates() -> None:
    data = sections()
    x, treated, post = data["covariates"], data["treated"], data["post"]
    noiseless = x @ [1.0, 2.0, -1.0] + post * (x @ [0.5, 1.0, 3.0]) + 1.5 * treated * post
    # "reg" is not in the list: it takes raw means of the treated before and after, whose covariates differ
    for method in ("dr", "dr_simple", "dr_improved", "dr_improved_simple"):
        exact = cross_section_block(**{**data, "outcome": noiseless}, method=method)
        assert exact.estimate == pytest.approx(1.5, abs=1e-10)


def test_drdid_convention_moves_only_the_influence_of_two_methods() -> None:
    data = sections()
    for method in SECTION_METHODS:
        ours = cross_section_block(**data, method=method)
        theirs = cross_section_block(**data, method=method, convention="drdid")
        assert theirs.estimate == ours.estimate
        same = np.array_equal(theirs.influence, ours.influence)
        assert same == (method not in ("dr", "dr_simple"))


def test_refusals() -> None:
    data = sections()
    with pytest.raises(SpecError, match="method='did'"):
        cross_section_block(**data, method="did")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="convention"):
        cross_section_block(**data, method="dr", convention="r")  # type: ignore[arg-type]
    with pytest.raises(EstimationError, match="comparison before"):
        cross_section_block(**{**data, "post": data["post"] | ~data["treated"]}, method="reg")
    with pytest.raises(SingularDesignError):
        cross_section_block(**{**data, "covariates": np.column_stack([data["covariates"], np.ones(240)])}, method="dr")
    only_treated = np.where(data["treated"] & data["post"], 1.0, 0.0) * np.arange(240)
    with pytest.raises(SingularDesignError, match="comparison observations"):
        cross_section_block(**{**data, "covariates": np.column_stack([np.ones(240), only_treated])}, method="reg")
    apart = np.column_stack([np.ones(240), data["treated"] + 0.01 * data["outcome"]])
    for method in ("ipw", "dr", "dr_improved"):
        with pytest.raises(OverlapError):
            cross_section_block(**{**data, "covariates": apart}, method=method)


def test_extreme_propensity_is_trimmed_and_counted() -> None:
    rng = np.random.default_rng(0)
    m = 4000
    x = np.r_[rng.normal(size=m - 1), 3.1]
    treated = rng.random(m) < 1 / (1 + np.exp(-2.0 * x))
    treated[-1] = False
    treated[x > 3.1] = False
    post = np.arange(m) % 2 == 0
    data = {"outcome": rng.normal(size=m), "post": post, "treated": treated, "weight": np.ones(m)}
    result = cross_section_block(**data, covariates=np.column_stack([np.ones(m), x]), method="ipw")
    assert 0.995 <= result.propensity_max < 0.999
    assert result.n_trimmed >= 1
    assert result.weights[-1] == 0
