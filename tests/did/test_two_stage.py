"""Two-stage estimator: contract under every option, rows before treatment, agreement with imputation."""

from __future__ import annotations

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import DesignError, SpecError
from groupeffect.testing import check_estimator
from groupeffect.testing.panels import growing_effect, staggered_panel

MOST = ("pure", "shape", "recovery", "derivative", "jackknife", "invariance", "weights", "refusal")
VARIANTS = [
    (ge.did.TwoStage(), (*MOST, "documentation")),
    (ge.did.TwoStage(kind="event_study"), MOST),
    (ge.did.TwoStage(kind="static"), ("pure", "shape", "derivative", "jackknife", "invariance", "weights", "refusal")),
    (ge.did.TwoStage(unit_trends=True), MOST),
    (ge.did.TwoStage(covariates="by_time"), MOST),
]


@pytest.mark.parametrize(("estimator", "only"), VARIANTS, ids=repr)
def test_contract(estimator: ge.did.TwoStage, only: tuple[str, ...]) -> None:
    check_estimator(estimator, only=only).raise_if_failed()


@pytest.mark.parametrize("trends", [False, True])
def test_after_treatment_it_is_imputation(trends: bool) -> None:
    panel = staggered_panel(64, effect=growing_effect, covariate=True, weighted=True, hole_share=0.06)
    design = ge.staggered_design(panel)
    one = ge.did.TwoStage(unit_trends=trends).estimate(panel, design)
    other = ge.did.Imputation(unit_trends=trends, pretrends=0, variance="derivative").estimate(panel, design)
    after = one.index.time >= one.index.cohort
    np.testing.assert_array_equal(one.estimate[after], other.estimate)
    np.testing.assert_array_equal(one.influence.values[:, after], other.influence.values)


def test_rows_before_treatment_are_mean_residuals_and_sum_to_zero_in_a_balanced_panel() -> None:
    panel = staggered_panel(64)
    own = ge.did.TwoStage().estimate(panel, ge.staggered_design(panel))
    for g in (2003, 2005, 2006):
        before = (own.index.cohort == g) & (own.index.time < g)
        assert before.sum() == g - 2001
        assert own.estimate[before].sum() == pytest.approx(0, abs=1e-12)


def test_a_single_untreated_time_is_zero_by_construction() -> None:
    panel = staggered_panel(64)
    early = np.where(panel.adoption == 2003, 2002.0, panel.adoption)
    own = ge.fit(ge.did.TwoStage(), panel, ge.staggered_design(panel, cohort=early))
    row = (own.effects.index.cohort == 2002) & (own.effects.index.time == 2001)
    assert own.effects.index.is_reference[row].all()
    assert own.effects.estimate[row] == [0.0]
    assert np.isnan(own.infer(ge.ClusterRobust()).tidy()["std_error"][row]).all()
    assert not own.effects.weights.dense()[row].any()


def test_clusters_above_the_unit() -> None:
    panel = staggered_panel(240, clusters=60)
    own = ge.fit(ge.did.TwoStage(), panel, ge.staggered_design(panel)).aggregate(ge.overall())
    by_cluster = own.infer(ge.ClusterRobust(by="cluster")).tidy()["std_error"][0]
    jackknife = own.infer(ge.Jackknife(by="cluster")).tidy()["std_error"][0]
    assert by_cluster == pytest.approx(jackknife, rel=0.05)
    assert by_cluster != own.infer(ge.ClusterRobust()).tidy()["std_error"][0]


def test_refusals() -> None:
    panel = staggered_panel(48)
    for options in ({"kind": "pretrends"}, {"covariates": "linear"}):
        with pytest.raises(SpecError):
            ge.did.TwoStage(**options)
    with pytest.raises(DesignError, match="no baseline window"):
        ge.did.TwoStage().estimate(panel, ge.staggered_design(panel, base_period=ge.baseline_window(2001, 2002)))
