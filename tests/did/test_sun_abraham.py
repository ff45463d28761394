"""Sun-Abraham: contract under every option, closed forms, last cohort as comparison, shares, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import BeyondSupportError, DesignError, EstimationError, NoComparisonError, SpecError
from groupeffect.testing import check_estimator
from groupeffect.testing.panels import growing_effect, staggered_panel

MOST = ("pure", "shape", "recovery", "derivative", "jackknife", "invariance", "weights", "refusal")
LESS = tuple(name for name in MOST if name != "recovery")  # rows that mix effects have no single truth
VARIANTS = [
    (ge.did.SunAbraham(), (*MOST, "documentation")),
    (ge.did.SunAbraham(shares="fixed"), MOST),
    (ge.did.SunAbraham(kind="event_study"), MOST),
    (ge.did.SunAbraham(kind="cohort"), LESS),
    (ge.did.SunAbraham(kind="static"), LESS),
    (ge.did.SunAbraham(covariates="by_time"), MOST),
    (ge.did.SunAbraham(reference=-2), ("pure", "shape", "derivative")),
]


@pytest.mark.parametrize(("estimator", "only"), VARIANTS, ids=repr)
def test_contract(estimator: ge.did.SunAbraham, only: tuple[str, ...]) -> None:
    check_estimator(estimator, only=only).raise_if_failed()


def test_balanced_cells_are_changes_against_the_never_treated() -> None:
    panel = staggered_panel(64, weighted=True)
    own = ge.did.SunAbraham().estimate(panel, ge.staggered_design(panel))
    mean = {
        g: np.average(panel.outcome[rows], axis=0, weights=panel.unit_weight[rows])
        for g in np.unique(panel.adoption)
        if (rows := panel.adoption == g).any()
    }
    for g, t, value in zip(own.index.cohort, own.index.time, own.estimate, strict=True):
        now, base = int(t - 2001), int(g - 1 - 2001)
        change = mean[g][now] - mean[g][base] - mean[np.inf][now] + mean[np.inf][base]
        assert value == pytest.approx(change, abs=1e-12)
    universal = ge.staggered_design(panel, comparison="never_treated", base_period="universal")
    other = ge.did.CallawaySantAnna().estimate(panel, universal)
    assert own.index.keys() == other.index.keys()
    np.testing.assert_allclose(own.estimate, other.estimate, atol=1e-12)
    np.testing.assert_allclose(own.influence.values, other.influence.values, atol=1e-10)


def test_cells_are_those_of_dense_least_squares() -> None:
    panel = staggered_panel(64, covariate=True, weighted=True, hole_share=0.08)
    own = ge.did.SunAbraham().estimate(panel, ge.staggered_design(panel))
    free = ~own.index.is_reference
    n, t = panel.outcome.shape
    unit, time = np.indices((n, t))
    cells = [
        ((panel.adoption[unit] == g) & (panel.times[time] == when)).ravel().astype(float)
        for g, when in zip(own.index.cohort[free], own.index.time[free], strict=True)
    ]
    x = np.column_stack([*cells, panel.covariates.ravel(), np.eye(n)[unit.ravel()], np.eye(t)[time.ravel()]])
    use = np.isfinite(panel.outcome).ravel()
    root = np.sqrt(np.repeat(panel.unit_weight, t))[use]
    solution = np.linalg.lstsq(x[use] * root[:, None], panel.outcome.ravel()[use] * root, rcond=1e-12)[0]
    np.testing.assert_allclose(own.estimate[free], solution[: free.sum()], atol=1e-10)


def test_effects_are_found_exactly_with_holes() -> None:
    panel = staggered_panel(64, noise=0.0, effect=growing_effect, weighted=True, hole_share=0.1)
    own = ge.did.SunAbraham().estimate(panel, ge.staggered_design(panel))
    elapsed = own.index.time - own.index.cohort
    np.testing.assert_allclose(
        own.estimate, np.where(elapsed < 0, 0.0, growing_effect(own.index.cohort, elapsed)), atol=1e-10
    )


def test_without_never_treated_units_the_last_cohort_is_the_comparison() -> None:
    panel = staggered_panel(64)
    panel = panel.take_units(np.isfinite(panel.adoption))
    own = ge.fit(ge.did.SunAbraham(), panel, ge.staggered_design(panel))
    index = own.effects.index
    assert set(index.cohort) == {2003.0, 2005.0}
    assert index.time.max() == 2005
    last, first = panel.outcome[panel.adoption == 2006].mean(axis=0), panel.outcome[panel.adoption == 2003].mean(axis=0)
    row = (index.cohort == 2003) & (index.time == 2005)
    assert own.effects.estimate[row] == pytest.approx(first[4] - first[1] - last[4] + last[1], abs=1e-12)
    assert {(cell.cohort, cell.time) for cell in own.effects.unidentified} == {
        (2003.0, 2006.0),
        (2005.0, 2006.0),
        (2006.0, 2006.0),
    }
    assert "last cohort 2006" in " ".join(own.effects.notes)
    with pytest.raises(BeyondSupportError):
        own.aggregate(ge.by_event_time(0, 3))
    weights = own.effects.weights.dense()
    assert not weights[:, :, panel.times >= 2006].any()


def test_the_last_cohort_is_used_before_its_anticipation() -> None:
    panel = staggered_panel(64)
    panel = panel.take_units(np.isfinite(panel.adoption))
    own = ge.did.SunAbraham().estimate(panel, ge.staggered_design(panel, anticipation=1))
    assert own.index.time.max() == 2004
    assert set(own.index.event_time[own.index.is_reference]) == {-2.0}


def test_estimated_shares_add_to_the_variance_and_fixed_ones_do_not() -> None:
    panel = staggered_panel(240, effect=growing_effect)
    design = ge.staggered_design(panel)

    def error(shares: str, scheme: object) -> float:
        own = ge.fit(ge.did.SunAbraham(shares=shares), panel, design).aggregate(scheme)
        return float(own.infer(ge.ClusterRobust()).tidy()["std_error"].iloc[-1])

    assert error("estimated", ge.overall()) != pytest.approx(error("fixed", ge.overall()), rel=1e-3)
    one_cohort = ge.by_event_time(-5, -5)
    assert error("estimated", one_cohort) == pytest.approx(error("fixed", one_cohort), rel=1e-12)
    own = ge.fit(ge.did.SunAbraham(shares="fixed"), panel, design)
    kinds = {"event_study": ge.by_event_time(), "cohort": ge.by_cohort(), "static": ge.overall()}
    for kind, scheme in kinds.items():
        for shares in ("fixed", "estimated"):
            own = ge.fit(ge.did.SunAbraham(shares=shares), panel, design).aggregate(scheme).effects
            direct = ge.did.SunAbraham(kind=kind, shares=shares).estimate(panel, design)
            np.testing.assert_allclose(direct.estimate, own.estimate, atol=1e-12)
            np.testing.assert_allclose(direct.influence.values, own.influence.values, atol=1e-9)
            assert direct.index.keys() == own.index.keys()
            np.testing.assert_array_equal(direct.index.n_treated, own.index.n_treated)


def test_a_cohort_without_its_reference_is_left_out_and_said() -> None:
    panel = staggered_panel(64)
    own = ge.did.SunAbraham(reference=-3).estimate(panel, ge.staggered_design(panel))
    assert 2003.0 not in own.index.cohort
    assert {cell.cohort for cell in own.unidentified} == {2003.0}
    assert "no reference time of the cohort" in " ".join(own.notes)
    with pytest.raises(NoComparisonError):
        ge.did.SunAbraham(reference=-9).estimate(panel, ge.staggered_design(panel))


def test_pool_restricts_the_comparison() -> None:
    panel = staggered_panel(64)
    never = np.flatnonzero(np.isinf(panel.adoption))
    pool = np.ones(64, dtype=bool)
    pool[never[: len(never) // 2]] = False
    own = ge.did.SunAbraham().estimate(panel, ge.staggered_design(panel, comparison_pool=pool))
    assert (own.index.n_comparison == len(never) - len(never) // 2).all()
    assert not own.influence.values[~pool].any()


def test_refusals() -> None:
    panel = staggered_panel(48)
    design = ge.staggered_design(panel)
    for options in ({"kind": "dynamic"}, {"shares": "known"}, {"covariates": "x"}, {"reference": 0}, {"reference": ()}):
        with pytest.raises(SpecError):
            ge.did.SunAbraham(**options)
    with pytest.raises(DesignError, match="no baseline window"):
        ge.did.SunAbraham().estimate(panel, ge.staggered_design(panel, base_period=ge.baseline_window(2001, 2002)))
    with pytest.raises(DesignError, match="anticipation"):
        ge.did.SunAbraham(reference=-1).estimate(panel, ge.staggered_design(panel, anticipation=1))
    leaver = np.where(panel.adoption == 2003, 2005.0, np.inf)
    with pytest.raises(DesignError, match="leave treatment"):
        ge.did.SunAbraham().estimate(replace(panel, exit=leaver), design)
    few = np.array([0, 1, 2, 5])  # one unit of each cohort: as many coefficients as observations
    with pytest.raises(EstimationError, match="observations for"):
        ge.did.SunAbraham().estimate(panel.take_units(few), design.take_units(few))
