"""Planted faults: the contract suite must fail on each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.effects.influence import Influence, Shares, cluster_codes
from groupeffect.registry import EstimatorInfo
from groupeffect.testing import check_estimator, check_inference, staggered_panel


@dataclass(frozen=True)
class Mutant:
    """Callaway-Sant'Anna with a fault around it."""

    fault: Callable
    info: ClassVar[EstimatorInfo] = ge.did.CallawaySantAnna.info

    def estimate(self, panel, design):
        return self.fault(ge.did.CallawaySantAnna(), panel, design)


def none(estimator, panel, design):
    return estimator.estimate(panel, design)


def rows_permuted(estimator, panel, design):
    effects = estimator.estimate(panel, design)
    values = np.roll(effects.influence.values, 1, axis=0)
    return replace(effects, influence=Influence(values, effects.influence.unit_ids))


def scale_doubled(estimator, panel, design):
    effects = estimator.estimate(panel, design)
    return replace(effects, influence=Influence(2 * effects.influence.values, effects.influence.unit_ids))


def labels_lost(estimator, panel, design):
    effects = estimator.estimate(panel, design)
    return replace(effects, influence=Influence(effects.influence.values, np.arange(panel.n_units)))


def covariate_a_year_early(estimator, panel, design):
    earlier = panel.covariates[:, [0, *range(panel.n_times - 1)]]
    return estimator.estimate(replace(panel, covariates=earlier), design)


def covariates_ignored(estimator, panel, design):
    columns = replace(panel.columns, covariates=())
    return estimator.estimate(replace(panel, covariates=panel.covariates[:, :, :0], columns=columns), design)


def weights_ignored(estimator, panel, design):
    return estimator.estimate(panel.with_unit_weight(np.ones(panel.n_units)), design)


def anticipation_ignored(estimator, panel, design):
    return estimator.estimate(panel, replace(design, anticipation=0))


def treated_units_compared(estimator, panel, design):
    """Cohort by cohort against everybody else, as if later effects of earlier cohorts were no effects."""
    parts = []
    for g in design.cohorts:
        alone = design.reassign(np.where(design.cohort == g, g, np.inf), np.ones(panel.n_units, dtype=bool))
        parts.append(estimator.estimate(panel, alone))
    full = estimator.estimate(panel, design)
    return replace(full, estimate=np.concatenate([part.estimate for part in parts]))


def units_in_file_order(estimator, panel, design):
    """Weights the units by where they stand."""
    return estimator.estimate(panel.with_unit_weight(np.linspace(1, 2, panel.n_units)), design)


_CALLS = []


def remembers(estimator, panel, design):
    _CALLS.append(1)
    effects = estimator.estimate(panel, design)
    return replace(effects, estimate=effects.estimate + 1e-6 * len(_CALLS))


def rows_repeated(estimator, panel, design):
    effects = estimator.estimate(panel, design)
    same = np.full_like(effects.index.time, design.times[-1])
    return replace(effects, index=replace(effects.index, time=same))


def silent_gap(estimator, panel, design):
    effects = estimator.estimate(panel, design)
    return replace(effects, estimate=np.where(effects.index.event_time == 1, np.nan, effects.estimate), notes=())


def capability_not_declared(estimator, panel, design):
    return replace(estimator.estimate(panel, design), weights=None)


MUTANTS = [
    (rows_permuted, "derivative [each unit, plain]"),
    (scale_doubled, "derivative [each unit, plain]"),
    (scale_doubled, "jackknife"),
    (rows_permuted, "derivative [random directions, covariates]"),
    (labels_lost, "shape [plain]"),
    (covariate_a_year_early, "recovery [trends that depend on a covariate]"),
    (covariates_ignored, "recovery [trends that depend on a covariate]"),
    (covariates_ignored, "refusal [covariates handled or said]"),
    (weights_ignored, "refusal [unit_weight handled or said]"),
    (weights_ignored, "invariance [duplication, plain]"),
    (anticipation_ignored, "refusal [anticipation handled or said]"),
    (treated_units_compared, "recovery [effects that differ by cohort]"),
    (units_in_file_order, "invariance [unit_order, plain]"),
    (remembers, "pure [plain]"),
    (rows_repeated, "shape [plain]"),
    (silent_gap, "shape [plain]"),
    (capability_not_declared, "shape [plain]"),
]


@pytest.mark.parametrize(("fault", "check"), MUTANTS, ids=lambda value: getattr(value, "__name__", value))
def test_the_suite_fails_on(fault, check):
    report = check_estimator(Mutant(fault), only=(check.split(" [")[0],))
    assert check in {outcome.name for outcome in report.failures}


def test_the_suite_passes_without_a_fault():
    report = check_estimator(Mutant(none), only=("pure", "shape", "recovery", "refusal"))
    assert not report.failures


def test_permuted_rows_leave_unclustered_standard_errors_alone():
    """Why the derivative check exists: no golden standard error sees this fault."""
    panel = staggered_panel()
    design = ge.staggered_design(panel)
    right = ge.fit(ge.did.CallawaySantAnna(), panel, design).infer(ge.ClusterRobust())
    wrong = ge.fit(Mutant(rows_permuted), panel, design).infer(ge.ClusterRobust())
    np.testing.assert_allclose(wrong.uncertainty.std_error, right.uncertainty.std_error, rtol=1e-12)


def _aggregated_failures(report):
    return {outcome.name: outcome.detail for outcome in report.failures}


def test_a_dropped_share_term_fails(monkeypatch):
    """The term for estimated cohort shares moves standard errors by a few percent only, and the derivative a lot."""
    monkeypatch.setattr(Shares, "influence", lambda _self, _derivative: 0.0)
    report = check_estimator(ge.did.CallawaySantAnna(), only=("derivative",))
    failed = _aggregated_failures(report)
    assert set(failed) == {outcome.name for outcome in report.outcomes}
    # the cells have no share term: only aggregations differ
    assert all("Overall" in detail or "By" in detail for detail in failed.values())


def test_cluster_means_instead_of_sums_fail(monkeypatch):
    right = Influence.cluster_sums

    def means(self, labels):
        codes, n_clusters = cluster_codes(labels)
        sizes = np.bincount(codes, minlength=n_clusters)[:, None]
        return right(self, labels) / sizes * sizes.mean()

    monkeypatch.setattr(Influence, "cluster_sums", means)
    report = check_estimator(ge.did.CallawaySantAnna(), only=("derivative",))
    assert [outcome.name for outcome in report.failures] == ["derivative [cluster sums, plain]"]
    for strategy in (ge.ClusterRobust(), ge.MultiplierBootstrap()):
        assert "clusters" in {outcome.name for outcome in check_inference(strategy).failures}


def test_a_lost_small_sample_scale_fails(monkeypatch):
    """Standard errors off by a factor are caught by the jackknife over the same clusters."""
    from groupeffect.inference import cluster

    monkeypatch.setattr(cluster, "_std_error", lambda vcov, live: np.where(live, 1.5 * np.sqrt(np.diag(vcov)), np.nan))
    assert "clusters" in {outcome.name for outcome in check_inference(ge.ClusterRobust()).failures}
