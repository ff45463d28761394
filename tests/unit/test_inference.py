"""Inference strategies: formulas, seeds, clusters, refusals."""

import numpy as np
import pytest
from scipy import stats

import groupeffect as ge
from groupeffect.effects.effects import Regression
from groupeffect.errors import (
    CapabilityError,
    FailedDrawsError,
    FewClustersWarning,
    InferenceError,
    SpecError,
    TooFewClustersError,
)
from groupeffect.inference.cluster import _small_sample
from groupeffect.inference.critical import critical_value, interval, lower_bound_p, one_sided_value, p_value
from groupeffect.numerics.random import rademacher_sums
from groupeffect.panel.panel import Panel
from groupeffect.testing import staggered_panel


def two_by_two(n_treated=30, n_comparison=50, seed=0, cluster=None):
    """One cohort, two times: the effect is a difference of two means of changes."""
    rng = np.random.default_rng(seed)
    n = n_treated + n_comparison
    treated = np.arange(n) < n_treated
    panel = Panel(
        rng.normal(size=(n, 2)) + treated[:, None] * [0, 1.0],
        np.arange(n),
        times=np.array([2001.0, 2002.0]),
        adoption=np.where(treated, 2002.0, np.inf),
        columns=ge.Columns("unit", "time", "y", "cohort", attributes=("cluster",)),
        attributes={"cluster": np.arange(n) if cluster is None else cluster},
    )
    return ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel))


def changes(fit):
    change = fit.panel.outcome[:, 1] - fit.panel.outcome[:, 0]
    treated = np.isfinite(fit.panel.adoption)
    return change[treated], change[~treated]


class TestClusterRobust:
    def test_is_the_two_sample_formula(self):
        fit = two_by_two()
        a, b = changes(fit)
        result = fit.infer(ge.ClusterRobust())
        assert result.estimate[0] == pytest.approx(a.mean() - b.mean())
        assert result.uncertainty.std_error[0] == pytest.approx(np.sqrt(a.var() / len(a) + b.var() / len(b)))

    def test_normal_and_t_critical_values(self):
        fit = two_by_two()
        none = fit.infer(ge.ClusterRobust(correction="none")).uncertainty
        cr1 = fit.infer(ge.ClusterRobust(correction="cr1")).uncertainty
        assert none.df is None
        assert cr1.df == 79
        assert (cr1.std_error / none.std_error)[0] == pytest.approx(np.sqrt(80 / 79))
        half = (cr1.interval[0, 1] - cr1.interval[0, 0]) / 2
        assert half == pytest.approx(stats.t.ppf(0.975, 79) * cr1.std_error[0])

    def test_small_sample_factor_of_a_regression(self):
        counts = Regression(n_obs=500, n_regressors=2, n_unit_effects=100, n_time_effects=5)
        assert _small_sample(100, counts) == pytest.approx(100 / 99 * 499 / 493)

    def test_unknown_correction(self):
        with pytest.raises(SpecError, match="cr7"):
            ge.ClusterRobust(correction="cr7")

    def test_sums_not_means_on_unequal_clusters(self):
        """20 clusters of 2 and 10 of 30 with common shocks: means understate the standard error by a fifth."""
        label = np.concatenate([np.repeat(np.arange(20), 2), np.repeat(np.arange(20, 30), 30)])
        shock = np.random.default_rng(5).normal(size=30)[label]
        fit = two_by_two(n_treated=170, n_comparison=170, cluster=label)
        panel = fit.panel.with_outcome(fit.panel.outcome + shock[:, None] * [0, 1.0])
        fit = ge.fit(fit.estimator, panel, fit.design)
        psi, sizes = fit.effects.influence.values[:, 0], np.bincount(label)
        sums = np.bincount(label, weights=psi)
        std_error = fit.infer(ge.ClusterRobust(by="cluster")).uncertainty.std_error[0]
        assert std_error == pytest.approx(np.sqrt((sums**2).sum()) / 340)
        means = np.sqrt(((sums / sizes) ** 2).sum()) / 30
        assert abs(std_error / means - 1) > 0.1

    def test_rows_zero_by_construction_get_no_standard_error(self, panel):
        fit = ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel, base_period="universal"))
        table = fit.infer(ge.ClusterRobust()).tidy()
        reference = table.event_time == -1
        assert table.loc[reference, ["std_error", "statistic", "p_value", "conf_low"]].isna().all(axis=None)
        assert (table.loc[reference, "estimate"] == 0).all()
        assert table.loc[~reference, "std_error"].notna().all()


class TestClusters:
    def test_unknown_column(self, cells):
        with pytest.raises(SpecError, match=r"'county' is not an attribute of the panel \(known: cluster\)") as caught:
            cells.infer(ge.ClusterRobust(by="county"))
        assert 'attributes=("county",)' in caught.value.hint.replace("'", '"')

    def test_units_without_label(self):
        label = np.array([""] + [f"c{i}" for i in range(79)])
        with pytest.raises(InferenceError, match="1 units have no 'cluster'"):
            two_by_two(cluster=label).infer(ge.ClusterRobust(by="cluster"))

    @pytest.mark.parametrize("strategy", [ge.ClusterRobust, ge.MultiplierBootstrap, ge.Jackknife])
    def test_few_clusters_are_announced_and_noted(self, strategy):
        fit = two_by_two(cluster=np.arange(80) % 10)
        with pytest.warns(FewClustersWarning, match="only 10 clusters"):
            result = fit.infer(strategy(by="cluster"))
        assert any("only 10 clusters" in note for note in result.notes)
        assert result.uncertainty.n_clusters == 10

    @pytest.mark.parametrize("strategy", [ge.ClusterRobust, ge.MultiplierBootstrap, ge.Jackknife])
    def test_one_cluster_is_refused(self, strategy):
        with pytest.raises(TooFewClustersError, match="There is 1 cluster"):
            two_by_two(cluster=np.zeros(80)).infer(strategy(by="cluster"))


class TestMultiplierBootstrap:
    def test_seed_decides(self, cells):
        draws = [cells.infer(ge.MultiplierBootstrap(draws=99, seed=seed)).uncertainty.draws for seed in (4, 4, 5)]
        np.testing.assert_array_equal(draws[0], draws[1])
        assert not np.array_equal(draws[0], draws[2])

    def test_fewer_draws_are_the_first_ones(self, cells):
        """Streams belong to blocks of draws, so neither their number nor later draws move earlier ones."""
        few, many = (cells.infer(ge.MultiplierBootstrap(draws=b, seed=2)).uncertainty.draws for b in (300, 999))
        np.testing.assert_array_equal(few, many[:300])

    def test_chunks_of_clusters_do_not_matter(self, monkeypatch):
        from groupeffect.numerics import random

        rows = np.random.default_rng(0).normal(size=(1000, 3))
        whole = rademacher_sums(rows, 70, 9)
        monkeypatch.setattr(random, "_CHUNK", 128)
        np.testing.assert_allclose(rademacher_sums(rows, 70, 9), whole, atol=1e-10)

    def test_signs_are_fair_and_independent(self):
        draws = rademacher_sums(np.eye(64), 4000, 1)
        assert set(np.unique(draws)) == {-1.0, 1.0}
        assert np.abs(draws.mean(axis=0)).max() < 0.07
        correlation = np.corrcoef(draws.T) - np.eye(64)
        assert np.abs(correlation).max() < 0.09

    @pytest.mark.parametrize(("kind", "tolerance"), [("iqr", 0.12), ("sd", 0.05)])
    def test_agrees_with_the_analytic_standard_error(self, cells, kind, tolerance):
        """With ten treated units the sums of signs are lumpy, and so is their interquartile range."""
        boot = cells.infer(ge.MultiplierBootstrap(draws=4000, std_error=kind)).uncertainty.std_error
        analytic = cells.infer(ge.ClusterRobust()).uncertainty.std_error
        np.testing.assert_allclose(boot, analytic, rtol=tolerance)

    def test_band_covers_all_rows_together(self, cells):
        u = cells.infer(ge.MultiplierBootstrap(draws=2000, seed=1), level=0.9).uncertainty
        half = (u.band[:, 1] - u.band[:, 0]) / 2
        inside = (np.abs(u.draws) <= half + 1e-12).all(axis=1)
        assert inside.mean() == pytest.approx(0.9, abs=0.001)
        assert (half > 1.1 * (u.interval[:, 1] - u.interval[:, 0]) / 2).all()

    def test_band_of_one_row_is_the_interval_or_wider(self, cells):
        u = cells.aggregate(ge.overall()).infer(ge.MultiplierBootstrap(draws=999)).uncertainty
        assert u.band[0, 0] <= u.interval[0, 0]

    @pytest.mark.parametrize(("options", "named"), [({"draws": 1}, "draws=1"), ({"std_error": "mad"}, "mad")])
    def test_unknown_options(self, options, named):
        with pytest.raises(SpecError, match=named):
            ge.MultiplierBootstrap(**options)


class TestJackknife:
    def test_closed_form_for_a_difference_of_means(self):
        fit = two_by_two()
        u = fit.infer(ge.Jackknife()).uncertainty
        deviations = np.concatenate([(x - x.mean()) / (len(x) - 1) for x in changes(fit)])
        assert u.std_error[0] == pytest.approx(np.sqrt(79 / 80 * (deviations**2).sum()), rel=1e-10)
        assert u.df == 79
        assert u.draws.shape == (80, 1)

    def test_clusters_are_left_out_whole(self):
        label = np.arange(80) % 40
        fit = two_by_two(cluster=label)
        u = fit.infer(ge.Jackknife(by="cluster")).uncertainty
        keep = label != 7
        again = fit.rerun(panel=fit.panel.take_units(keep), design=fit.design.take_units(keep))
        assert u.draws[7, 0] == again.effects.estimate[0]

    def test_lost_rows_are_nan_and_counted(self):
        panel = staggered_panel(80)
        lonely = np.flatnonzero(panel.adoption == 2006)[1:]
        keep = np.setdiff1d(np.arange(80), lonely)
        panel = panel.take_units(keep)
        fit = ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel))
        u = fit.infer(ge.Jackknife()).uncertainty
        assert u.failed_draws == 1
        assert np.isnan(u.draws).any(axis=1).sum() == 1

    def test_treated_units_in_one_cluster(self):
        fit = two_by_two(cluster=np.where(np.arange(80) < 30, 0, np.arange(80)))
        with pytest.raises(TooFewClustersError, match="All treated units are in one cluster"):
            fit.infer(ge.Jackknife(by="cluster"))

    def test_too_many_lost_draws(self):
        panel = staggered_panel(80)
        panel = panel.with_attributes(cluster=np.where(panel.adoption == 2003, 0, 1))
        fit = ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel))
        with pytest.raises(FailedDrawsError, match="2 of 2 deletions"), pytest.warns(FewClustersWarning):
            fit.infer(ge.Jackknife(by="cluster"))


class TestRefusals:
    def test_capability_refusal_lists_what_works(self, block):
        fit = ge.fit(ge.synth.SyntheticControl(intercept=True), *block)
        with pytest.raises(CapabilityError, match="ClusterRobust needs influence, which SyntheticControl") as caught:
            fit.infer(ge.ClusterRobust())
        assert caught.value.hint == "Strategies that work here: Jackknife, PlaceboUnits."

    def test_placebo_needs_a_counterfactual(self, cells):
        with pytest.raises(CapabilityError, match="PlaceboUnits needs counterfactual") as caught:
            cells.infer(ge.PlaceboUnits())
        assert "ClusterRobust" in caught.value.hint
        assert "PlaceboUnits" not in caught.value.hint

    @pytest.mark.parametrize("level", [0, 1, 95, -0.5])
    def test_level_out_of_range(self, cells, level):
        with pytest.raises(SpecError, match="not between 0 and 1"):
            cells.infer(ge.ClusterRobust(), level=level)

    def test_class_instead_of_strategy(self, cells):
        with pytest.raises(SpecError, match=r"got the class ClusterRobust") as caught:
            cells.infer(ge.ClusterRobust)
        assert caught.value.hint == "Write ClusterRobust()."


class TestCritical:
    def test_values(self):
        assert critical_value(0.95) == pytest.approx(1.959964, abs=1e-6)
        assert critical_value(0.9, 10) == pytest.approx(1.812461, abs=1e-6)
        assert one_sided_value(0.95) == pytest.approx(1.644854, abs=1e-6)
        assert p_value(np.array([-1.959964]))[0] == pytest.approx(0.05, abs=1e-6)
        assert lower_bound_p(0.0, 1.0, -1.644854) == pytest.approx(0.05, abs=1e-6)

    def test_no_interval_without_a_standard_error(self):
        found = interval(np.array([1.0, 2.0]), np.array([0.0, np.nan]), 1.96)
        assert np.isnan(found).all()
