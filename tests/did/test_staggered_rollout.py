"""Efficient estimator under random timing: contract under every option, special cases, efficiency, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import EstimationError, NoComparisonError, SpecError
from groupeffect.testing import check_estimator
from groupeffect.testing.panels import staggered_panel

MOST = ("pure", "shape", "recovery", "derivative", "jackknife", "invariance", "weights", "refusal")
SINGLE = ("pure", "shape", "derivative", "jackknife", "invariance", "weights", "refusal")
Rollout = ge.did.StaggeredRollout
VARIANTS = [
    (Rollout(), (*MOST, "documentation")),
    (Rollout(method="callaway_santanna"), MOST),
    (Rollout(method="sun_abraham"), MOST),
    (Rollout(target="by_event_time"), MOST),
    (Rollout(target="overall"), SINGLE),
    (Rollout(target="overall_by_cohort"), SINGLE),
    (Rollout(target="overall_by_calendar_time"), SINGLE),
    (Rollout(variance="neyman"), ("pure", "shape", "weights", "jackknife")),
    (Rollout(variance="design", target="overall"), ("pure", "shape", "weights")),
]


@pytest.mark.parametrize(("estimator", "only"), VARIANTS, ids=repr)
def test_contract(estimator: Rollout, only: tuple[str, ...]) -> None:
    check_estimator(estimator, only=only).raise_if_failed()


@pytest.mark.parametrize("comparison", ["not_yet_treated", "never_treated"])
@pytest.mark.parametrize("base", ["varying", "universal", ge.baseline_window(2001, 2002)])
def test_with_multiple_one_it_is_callaway_santanna(comparison: str, base: object) -> None:
    panel = staggered_panel(64, weighted=True)
    design = ge.staggered_design(panel, comparison=comparison, base_period=base)
    one = Rollout(method="callaway_santanna").estimate(panel, design)
    other = ge.did.CallawaySantAnna(method="reg").estimate(panel, design)
    assert one.index.keys() == other.index.keys()
    np.testing.assert_allclose(one.estimate, other.estimate, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.influence.values, other.influence.values, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(one.index.n_comparison, other.index.n_comparison)


def test_sun_abraham_compares_with_the_last_cohort_only() -> None:
    panel = staggered_panel(64)
    panel = panel.take_units(panel.adoption < np.inf)
    design = ge.staggered_design(panel)
    own = Rollout(method="sun_abraham").estimate(panel, design)
    cell = (own.index.cohort == 2003) & (own.index.time == 2004)
    change = panel.outcome[:, 3] - panel.outcome[:, 1]
    wanted = change[panel.adoption == 2003].mean() - change[panel.adoption == 2006].mean()
    assert own.estimate[cell][0] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("target", "scheme"),
    [
        ("by_event_time", ge.by_event_time()),
        ("overall", ge.overall()),
        ("overall_by_cohort", ge.overall("cohort")),
        ("overall_by_calendar_time", ge.overall("calendar_time")),
    ],
)
def test_targets_are_the_aggregations_when_the_multiple_is_fixed(target: str, scheme: object) -> None:
    panel = staggered_panel(64, weighted=True, hole_share=0.05)
    design = ge.staggered_design(panel)
    direct = ge.fit(Rollout(method="callaway_santanna", target=target), panel, design).effects
    cells = ge.fit(Rollout(method="callaway_santanna"), panel, design).aggregate(scheme).effects
    np.testing.assert_allclose(direct.estimate, cells.estimate, atol=1e-12)
    np.testing.assert_allclose(direct.influence.values, cells.influence.values, atol=1e-10)
    np.testing.assert_array_equal(direct.index.n_treated, cells.index.n_treated)


def test_it_is_more_precise_than_differences_in_differences_when_outcomes_hardly_persist() -> None:
    rng = np.random.default_rng(3)
    panel = staggered_panel(240)
    panel = panel.with_outcome(rng.normal(size=panel.outcome.shape))
    design = ge.staggered_design(panel)
    errors = [
        ge.fit(Rollout(method=method, target="overall", variance=variance), panel, design)
        .infer(ge.ClusterRobust())
        .tidy()["std_error"][0]
        for method, variance in (
            ("efficient", "design"),
            ("efficient", "neyman"),
            ("efficient", "derivative"),
            ("callaway_santanna", "derivative"),
        )
    ]
    assert errors[0] <= errors[1]
    assert errors[1] == pytest.approx(errors[2], rel=0.1)
    assert errors[2] < 0.8 * errors[3]


def test_units_outside_pool_are_never_compared_with() -> None:
    panel = staggered_panel(64)
    pool = np.isinf(panel.adoption)
    pool[::5] = False
    design = ge.staggered_design(panel, comparison_pool=pool)
    own = Rollout().estimate(panel, design)
    dense = own.weights.dense()
    outside = ~pool & np.isinf(panel.adoption)
    assert not dense[:, outside].any()
    for j, g in enumerate(own.index.cohort):
        assert not dense[j][~pool & (panel.adoption != g)].any()


def test_cells_of_the_design_variance_are_not_aggregated() -> None:
    panel = staggered_panel(48)
    own = ge.fit(Rollout(variance="design"), panel, ge.staggered_design(panel))
    with pytest.raises(EstimationError, match="aggregated"):
        own.aggregate(ge.overall())


def fisher_p_value(panel: ge.Panel, draws: int) -> float:
    """Share of re-assigned join times with a larger studentised estimate than the actual ones."""
    rng = np.random.default_rng(8)
    own = ge.fit(Rollout(target="overall", variance="design"), panel, ge.staggered_design(panel))

    def statistic(fit: ge.Fit) -> float:
        return float(abs(fit.infer(ge.ClusterRobust()).uncertainty.statistic[0]))

    shuffled = [own.rerun(design=own.design.reassign(rng.permutation(panel.adoption))) for _ in range(draws)]
    return (1 + sum(statistic(again) >= statistic(own) for again in shuffled)) / (1 + draws)


def test_fisher_test_by_reassigning_join_times() -> None:
    rng = np.random.default_rng(5)
    panel = staggered_panel(80)
    treated = panel.times[None, :] >= panel.adoption[:, None]
    noise = rng.normal(size=panel.outcome.shape)
    assert fisher_p_value(panel.with_outcome(noise), 99) > 0.1
    assert fisher_p_value(panel.with_outcome(noise + treated), 99) == 0.01


def test_a_cohort_of_one_unit_is_named() -> None:
    panel = staggered_panel(48)
    adoption = panel.adoption.copy()
    adoption[np.flatnonzero(adoption == 2006)[1:]] = np.inf
    own = Rollout().estimate(panel, ge.staggered_design(panel, cohort=adoption))
    assert any("cohorts of one unit add nothing" in note and "2006" in note for note in own.notes)


def test_notes_and_refusals() -> None:
    panel = staggered_panel(48, covariate=True, hole_share=0.05)
    notes = " ".join(Rollout().estimate(panel, ge.staggered_design(panel)).notes)
    assert "timing" in notes
    assert "covariates are not used: x" in notes
    assert "not observed" in notes
    for options in ({"method": "beta"}, {"target": "simple"}, {"variance": "hc1"}):
        with pytest.raises(SpecError):
            Rollout(**options)
    everyone = np.full(panel.n_units, 2003.0)
    with pytest.raises(NoComparisonError):
        Rollout().estimate(panel, ge.staggered_design(panel).reassign(everyone))
