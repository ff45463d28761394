from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from groupeffect import ClusterRobust, Columns, Panel, baseline_window, by_event_time, fit, overall, staggered_design
from groupeffect.diagnostics import (
    attrition,
    attrition_boundary,
    baseline_balance,
    equivalence,
    hedges_g,
    pretrends,
    reliability,
    wwc_category,
)
from groupeffect.did import CallawaySantAnna
from groupeffect.effects.effects import EffectIndex
from groupeffect.errors import DesignError, SpecError
from groupeffect.protocols import Uncertainty
from groupeffect.result import _restore


def event_study(estimate, vcov, event_time, n_clusters=None, df=None):
    error = np.sqrt(np.diag(vcov))
    k = len(estimate)
    uncertainty = Uncertainty(
        "given", np.full((k, 2), np.nan), np.full(k, np.nan), error, vcov=vcov, n_clusters=n_clusters, df=df
    )
    index = EffectIndex.build(term="att", event_time=np.array(event_time, dtype=float), size=k)
    return _restore(index, np.array(estimate, dtype=float), uncertainty, 0.95, {}, (), None)


def staggered(n=90, n_times=8, seed=0, drift=0.0):
    rng = np.random.default_rng(seed)
    adoption = np.r_[np.full(n // 3, 5.0), np.full(n // 3, 7.0), np.full(n - 2 * (n // 3), np.inf)]
    times = np.arange(1.0, n_times + 1)
    y = rng.standard_normal((n, 1)) + 0.3 * rng.standard_normal((n, n_times))
    y += drift * np.where(np.isfinite(adoption), 1.0, 0.0)[:, None] * times
    return Panel(y, np.arange(n), times=times, adoption=adoption, columns=Columns("u", "t", "y", "g"))


def test_wald_statistic_and_reference_distribution():
    vcov = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, 0.0], [0.0, 0.0, 1.0]])
    known = pretrends(event_study([0.1, -0.2, 5.0], vcov, [-2, -1, 0]))
    expected = np.array([0.1, -0.2]) @ np.linalg.solve(vcov[:2, :2], [0.1, -0.2])
    assert known.statistic == pytest.approx(expected)
    assert (known.rank, known.df, known.n_rows) == (2, None, 2)
    assert known.p_value == pytest.approx(stats.chi2.sf(expected, 2))
    assert known.largest == 0.2
    few = pretrends(event_study([0.1, -0.2, 5.0], vcov, [-2, -1, 0], n_clusters=12))
    assert few.df == 10
    assert few.p_value == pytest.approx(stats.f.sf(expected * 10 / (2 * 11), 2, 10))
    assert few.p_value > known.p_value


def test_rows_that_add_up_to_zero_count_once():
    basis = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    vcov = basis @ np.diag([0.04, 0.01]) @ basis.T
    found = pretrends(event_study(basis @ [0.2, 0.1], vcov, [-3, -2, -1]))
    assert (found.rank, found.n_rows) == (2, 3)
    assert found.statistic == pytest.approx(0.2**2 / 0.04 + 0.1**2 / 0.01)


def test_size_and_power_on_data():
    strategy = ClusterRobust()

    def p_value(seed, drift):
        panel = staggered(seed=seed, drift=drift)
        design = staggered_design(panel, base_period="universal")
        found = fit(CallawaySantAnna(), panel, design).aggregate(by_event_time(-4, 1))
        return pretrends(found.infer(strategy)).p_value

    assert np.mean([p_value(seed, 0.0) < 0.05 for seed in range(60)]) <= 0.15
    assert np.mean([p_value(seed, 0.15) < 0.05 for seed in range(20)]) >= 0.9


def test_reference_rows_are_not_tested():
    panel = staggered()
    found = fit(CallawaySantAnna(), panel, staggered_design(panel, base_period="universal"))
    assert pretrends(found.aggregate(by_event_time(-4, 1)).infer(ClusterRobust())).n_rows == 3


def test_pretrends_refusals():
    with pytest.raises(DesignError, match="no pre-treatment row"):
        pretrends(event_study([0.1], np.eye(1), [0]))
    bare = event_study([0.1], np.eye(1), [-1])
    from dataclasses import replace

    without = _restore(bare.index, bare.estimate, replace(bare.uncertainty, vcov=None), 0.95, {}, (), None)
    with pytest.raises(SpecError, match="no covariance"):
        pretrends(without)


def test_equivalence_is_two_one_sided_tests():
    z = stats.norm.ppf(0.95)
    found = equivalence(event_study([0.01, -0.02, 9.0], np.diag([1e-4, 4e-4, 1.0]), [-2, -1, 0]), 0.06)
    assert found.smallest_margin == pytest.approx(0.02 + z * 0.02)
    assert found.p_value == pytest.approx(stats.norm.sf((0.06 - 0.02) / 0.02))
    assert found.equivalent
    assert found.n_rows == 2
    assert not equivalence(event_study([0.01, -0.02], np.diag([1e-4, 4e-4]), [-2, -1]), 0.05).equivalent
    t = equivalence(event_study([0.0], np.diag([1e-4]), [-1], df=4), 0.05)
    assert t.smallest_margin == pytest.approx(stats.t.ppf(0.95, 4) * 0.01)


def test_equivalence_refusals():
    with pytest.raises(SpecError, match="not positive"):
        equivalence(event_study([0.1], np.eye(1), [-1]), 0.0)
    with pytest.raises(DesignError):
        equivalence(event_study([0.1], np.eye(1), [0]), 0.1)


def test_hedges_g_by_hand():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 2.0, np.nan])
    pooled = np.sqrt((3 * a.var(ddof=1) + 2 * b[:3].var(ddof=1)) / 5)
    assert hedges_g(a, b) == pytest.approx((1 - 3 / (4 * 7 - 9)) * (2.5 - 1.0) / pooled)
    assert hedges_g(b, a) == -hedges_g(a, b)
    with pytest.raises(SpecError, match="two values on each side"):
        hedges_g(a, np.array([1.0]))
    with pytest.raises(SpecError, match="do not vary"):
        hedges_g(np.ones(3), np.ones(3))


@pytest.mark.parametrize(
    ("g", "category"),
    [
        (0.0, "satisfied"),
        (-0.05, "satisfied"),
        (0.0501, "satisfied_with_adjustment"),
        (0.25, "satisfied_with_adjustment"),
        (-0.2501, "not_satisfied"),
    ],
)
def test_wwc_thresholds(g, category):
    assert wwc_category(g) == category


def test_category_of_nothing_is_refused():
    with pytest.raises(SpecError):
        wwc_category(float("nan"))


def test_balance_compares_each_cohort_with_its_own_comparison():
    times, window = np.arange(1.0, 7.0), baseline_window(1, 2)
    adoption = np.array([4.0, 4.0, 5.0, np.inf, np.inf])
    y = np.array([1.0, 3.0, 10.0, 0.0, 2.0])[:, None] + np.zeros((5, 6))
    panel = Panel(y, np.arange(5), times=times, adoption=adoption, columns=Columns("u", "t", "y", "g"))
    (row,) = baseline_balance(panel, staggered_design(panel, base_period=window), sd=2.0)
    # cohort 4: mean 2 against {10, 0, 2}; cohort 5: 10 against {0, 2}
    assert row.treated_mean == pytest.approx((2 * 2 + 10) / 3)
    assert row.comparison_mean == pytest.approx((2 * 4 + 1) / 3)
    assert row.g == pytest.approx((1 - 3 / (4 * 6 - 9)) * (row.treated_mean - row.comparison_mean) / 2.0)
    assert (row.n_treated, row.n_comparison) == (3, 3)


def test_balance_lists_covariates_and_uses_the_pooled_spread():
    rng = np.random.default_rng(0)
    n = 40
    x = rng.standard_normal((n, 1)) + np.r_[np.ones(20), np.zeros(20)][:, None]
    panel = Panel(
        rng.standard_normal((n, 6)),
        np.arange(n),
        times=np.arange(1.0, 7.0),
        adoption=np.r_[np.full(20, 4.0), np.full(20, np.inf)],
        columns=Columns("u", "t", "y", "g", covariates=("x",)),
        covariates=np.repeat(x[:, None, :], 6, axis=1),
    )
    rows = baseline_balance(panel, staggered_design(panel))
    assert [row.name for row in rows] == ["y", "x"]
    assert rows[1].g == pytest.approx(hedges_g(x[:20, 0], x[20:, 0]))
    assert rows[1].category == "not_satisfied"


@pytest.mark.parametrize(
    ("overall_rate", "points"),
    [
        (0.0, 5.7),
        (0.10, 6.3),
        (0.20, 5.4),
        (0.30, 4.1),
        (0.40, 2.6),
        (0.50, 1.0),
        (0.57, 0.0),
        (0.104, 6.3),
        (0.105, 6.2),
    ],
)
def test_attrition_boundary(overall_rate, points):
    assert attrition_boundary(overall_rate) == pytest.approx(points / 100)


def test_attrition_boundary_ends_at_58_percent():
    assert np.isnan(attrition_boundary(0.58))
    with pytest.raises(SpecError, match="not a share"):
        attrition_boundary(12.0)


def test_attrition_counts_unit_times_since_joining():
    panel = staggered(n=9)
    y = panel.outcome.copy()
    y[0, 5] = np.nan  # cohort 5, joined: treated
    y[3, 4] = np.nan  # cohort 7, still waiting at 5: comparison
    y[8, 6:] = np.nan  # never: comparison
    y[1, 1] = np.nan  # before joining: no attrition
    y[7, :4] = np.nan  # never seen before the first joining: not in the study
    found = attrition(panel.with_outcome(y), staggered_design(panel))
    assert found.n_treated == 3 * 4 + 3 * 2
    assert found.n_comparison == 3 * 2 + 2 * 4
    assert found.treated == pytest.approx(1 / 18)
    assert found.comparison == pytest.approx(3 / 14)
    assert found.overall == pytest.approx(4 / 32)
    assert found.differential == pytest.approx(3 / 14 - 1 / 18)
    assert not found.low
    assert attrition(panel, staggered_design(panel)).low


def test_attrition_leaves_out_schools_about_to_join():
    panel = staggered(n=9)
    assert attrition(panel, staggered_design(panel, anticipation=1)).n_comparison == 3 * 1 + 3 * 4


def test_heavy_attrition_is_never_low():
    panel = staggered(n=9)
    y = np.where((panel.times >= 6) & (np.arange(9)[:, None] % 3 > 0), np.nan, panel.outcome)
    y[:, 6:] = np.nan
    found = attrition(panel.with_outcome(y), staggered_design(panel))
    assert found.overall > 0.58
    assert np.isnan(found.allowed)
    assert not found.low


def test_reliability_recovers_the_variance_components():
    rng = np.random.default_rng(2)
    y = 0.4 * rng.standard_normal((4000, 1)) + 0.2 * rng.standard_normal((4000, 4)) + rng.standard_normal(4)
    found = reliability(np.where(rng.random(y.shape) < 0.1, np.nan, y))
    assert found.sd_between == pytest.approx(0.4, rel=0.05)
    assert found.sd_within == pytest.approx(0.2, rel=0.05)
    assert found.single_year == pytest.approx(0.8, abs=0.02)
    assert found.window_mean == pytest.approx(0.16 / (0.16 + 0.04 / 3.6), abs=0.02)


def test_shocks_of_areas_are_no_noise():
    rng = np.random.default_rng(2)
    area = np.arange(600) % 6
    y = 0.4 * rng.standard_normal((600, 1)) + 0.1 * rng.standard_normal((600, 4)) + rng.standard_normal((6, 4))[area]
    assert reliability(y).single_year < 0.6
    level = y - y.mean(axis=1, keepdims=True)
    assert np.abs(level).max() > 1
    assert reliability(y, area).sd_within == pytest.approx(0.1, rel=0.1)


def test_reliability_limits():
    assert reliability(np.arange(5.0)[:, None] + np.zeros((5, 3))).window_mean == 1.0
    rng = np.random.default_rng(0)
    assert reliability(rng.standard_normal((500, 3))).window_mean < 0.3
    assert reliability(np.zeros((4, 3))).single_year == 1.0
    with pytest.raises(DesignError, match="two times"):
        reliability(np.ones((5, 1)))


def test_overall_needs_no_pre_rows():
    panel = staggered()
    one = fit(CallawaySantAnna(), panel, staggered_design(panel)).aggregate(overall()).infer(ClusterRobust())
    with pytest.raises(DesignError):
        pretrends(one)
