"""dowhy's refuters on our own estimates."""

from dataclasses import replace

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import CapabilityError, SpecError
from groupeffect.hte import refute

SIMULATED = ["placebo_treatment", "random_common_cause", "data_subset"]


def estimate(one, panel=None):
    return ge.fit(ge.did.CallawaySantAnna(), panel or one.panel, one.design).aggregate(ge.overall())


def by_name(report):
    return {item.refuter: item for item in report.refutations}


@pytest.fixture(scope="module")
def effect(draw):
    return refute(estimate(draw(0, 400, trend=0.0)), draws=30, by="group")


def test_a_true_effect_stands(effect):
    found = by_name(effect)
    assert list(found) == [*SIMULATED, "unobserved_common_cause"]
    assert effect.stands
    assert found["placebo_treatment"].rank == pytest.approx(1 / 31)
    assert abs(found["placebo_treatment"].effect) < 0.1 * effect.estimate
    assert found["data_subset"].low < effect.estimate < found["data_subset"].high
    assert found["random_common_cause"].high - found["random_common_cause"].low < effect.std_error
    assert effect.robustness_value > 0.2


def test_a_null_effect_stands_and_looks_like_a_placebo(draw):
    one = draw(1, 400, effect=0.0, slope=0.0, trend=0.0)
    report = refute(estimate(one), draws=30, by="group")
    found = by_name(report)
    assert all(found[name].verdict == "stands" for name in SIMULATED)
    assert found["placebo_treatment"].rank > 0.05


def test_a_planted_confounder_moves(draw):
    # x drives who joins and how scores develop; a cause as strong as x would explain a small effect away
    one = draw(2, 400, effect=0.05, slope=0.0, trend=0.05, selection=1.0)
    found = by_name(refute(estimate(one), draws=10, by="group"))["unobserved_common_cause"]
    assert found.verdict == "moves"
    assert "'x'" in found.note
    assert found.shift < -1
    weak = draw(2, 400, effect=0.3, slope=0.0, trend=0.0, selection=1.0)
    assert by_name(refute(estimate(weak), draws=10, by="group"))["unobserved_common_cause"].verdict == "stands"


def test_an_estimator_that_sees_effects_where_there_are_none_moves(draw):
    """A placebo that is not zero on average: the estimate of a trend that the estimator takes for an effect."""
    one = draw(3, 300)
    found = by_name(refute(ge.fit(Drifting(), one.panel, one.design), draws=20))["placebo_treatment"]
    assert found.verdict == "moves"
    assert found.effect == pytest.approx(0.5, abs=0.05)


class Drifting:
    """An estimator that is off by a half whoever is treated, as one that takes a common trend for an effect."""

    info = replace(ge.did.CallawaySantAnna.info, handles=frozenset({"staggered"}))

    def estimate(self, panel, design):
        effects = ge.did.CallawaySantAnna().estimate(panel, design).aggregate(ge.overall())
        return replace(effects, estimate=effects.estimate + 0.5)


def test_estimators_without_covariates_skip_the_common_cause(draw):
    one = draw(3, 200)
    found = by_name(refute(ge.fit(Drifting(), one.panel, one.design), draws=5))
    assert found["random_common_cause"].verdict == "not_run"
    assert "takes no covariates" in found["random_common_cause"].note


def test_same_seed_same_report_and_the_global_generator_is_left_alone(draw, effect):
    np.random.seed(5)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again = refute(estimate(draw(0, 400, trend=0.0)), draws=30, by="group")
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert again.frame().equals(effect.frame())
    other = refute(estimate(draw(0, 400, trend=0.0)), draws=30, seed=1, by="group")
    assert by_name(other)["data_subset"].effect != by_name(effect)["data_subset"].effect


def test_without_covariates(draw):
    one = draw(4, 200)
    columns = replace(one.panel.columns, covariates=())
    panel = replace(one.panel, covariates=one.panel.covariates[:, :, :0], columns=columns)
    found = by_name(refute(estimate(one, panel), draws=10))
    assert found["unobserved_common_cause"].verdict == "not_run"
    assert found["random_common_cause"].verdict == "stands"


def test_pools_move_with_the_cohorts(draw):
    """Units outside the comparison stay outside in every draw, and holes are no obstacle."""
    one = draw(5, 240)
    outside = ~one.treated & (np.arange(240) % 3 == 0)
    outcome = one.panel.outcome.copy()
    outcome[outside] += 100 * np.arange(10)
    outcome[np.random.default_rng(0).random(outcome.shape) < 0.03] = np.nan
    panel = one.panel.with_outcome(outcome)
    design = ge.staggered_design(panel, comparison_pool=~outside)
    fit = ge.fit(ge.did.CallawaySantAnna(unbalanced="pairs"), panel, design).aggregate(ge.overall())
    report = refute(fit, draws=10)
    assert all(item.failed == 0 for item in report.refutations)
    assert abs(by_name(report)["placebo_treatment"].effect) < 0.2


def test_frame(effect):
    frame = effect.frame()
    assert frame["refuter"].tolist() == [*SIMULATED, "unobserved_common_cause"]
    assert set(frame["verdict"]) == {"stands"}


def test_refusals(draw):
    one = draw(0, 160)
    cells = ge.fit(ge.did.CallawaySantAnna(), one.panel, one.design)
    with pytest.raises(SpecError, match="needs a fit with one estimate"):
        refute(cells)
    with pytest.raises(SpecError, match="draws=1"):
        refute(estimate(one), draws=1)
    with pytest.raises(SpecError, match="'county' is not an attribute"):
        refute(estimate(one), by="county")
    single = estimate(one)
    with pytest.raises(CapabilityError, match="no influence function"):
        refute(replace(single, effects=replace(single.effects, influence=None)))


def test_the_log_stays_clean(draw, caplog):
    with caplog.at_level("WARNING"):
        refute(estimate(draw(0, 160)), draws=3)
    assert not caplog.records
