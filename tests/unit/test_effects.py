"""Influence by unit, implied weights, and the aggregation of cells."""

from dataclasses import replace

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.effects.effects import EffectIndex, Effects, ImpliedWeights
from groupeffect.effects.influence import Influence, Shares, cluster_codes
from groupeffect.errors import BeyondSupportError, EstimationError, InferenceError, SpecError
from groupeffect.testing import staggered_panel


def influence(n=6, k=2, seed=0):
    values = np.random.default_rng(seed).normal(size=(n, k))
    return Influence(values - values.mean(axis=0), np.arange(n))


class TestInfluence:
    def test_rows_are_matched_by_label(self):
        one = influence()
        order = np.array([3, 1, 0, 5, 4, 2])
        shuffled = Influence(one.values[order], one.unit_ids[order])
        np.testing.assert_array_equal((one + shuffled).values, 2 * one.values)
        np.testing.assert_array_equal(shuffled.aligned(one.unit_ids), one.values)

    def test_labels_may_be_text(self):
        values = influence().values
        names = np.array(["b", "a", "d", "c", "f", "e"])
        sorted_rows = Influence(values, names).aligned(np.sort(names))
        np.testing.assert_array_equal(sorted_rows, values[np.argsort(names)])

    def test_missing_units_get_zeros_and_the_mean_stays(self):
        part = Influence(np.array([[1.0], [-1.0]]), np.array([7, 9]))
        wide = part.aligned(np.array([9, 8, 7, 6]))
        np.testing.assert_array_equal(wide[:, 0], [-2, 0, 2, 0])
        # the standard error does not depend on rows of units that take no part
        assert np.sqrt((wide**2).sum()) / 4 == pytest.approx(np.sqrt((part.values**2).sum()) / 2)

    def test_unknown_units_are_refused(self):
        with pytest.raises(InferenceError, match="the panel does not have"):
            influence().aligned(np.arange(3))

    def test_map_is_linear(self):
        one, matrix = influence(), np.array([[1.0, -1.0], [0.5, 0.5], [0.0, 2.0]])
        np.testing.assert_allclose(one.map(matrix).values, one.values @ matrix.T)

    def test_cluster_sums_are_sums(self):
        one = influence()
        labels = np.array(["x", "y", "x", "x", "z", "y"])
        sums = one.cluster_sums(labels)
        expected = [one.values[labels == name].sum(axis=0) for name in ("x", "y", "z")]
        np.testing.assert_allclose(sums, expected)
        np.testing.assert_allclose(sums.sum(axis=0), 0, atol=1e-12)

    def test_every_unit_its_own_cluster(self):
        one = influence()
        np.testing.assert_array_equal(one.cluster_sums(one.unit_ids), one.values)

    def test_cluster_codes_of_mixed_labels(self):
        codes, number = cluster_codes(np.array(["b", 1, "a", 1], dtype=object))
        assert number == 3
        assert codes[1] == codes[3]


class TestEffects:
    def test_index_and_estimate_must_fit(self):
        with pytest.raises(EstimationError, match="2 index rows"):
            Effects(EffectIndex.build(term="att", size=2), np.zeros(3))

    def test_capabilities_follow_what_is_there(self, cells, block):
        assert cells.effects.capabilities == {"influence", "refit", "weights"}
        synthetic = ge.fit(ge.synth.SyntheticControl(intercept=True), *block).effects
        assert synthetic.capabilities == {"refit", "counterfactual", "weights"}

    def test_weights_are_mapped_with_the_estimates(self):
        weights = ImpliedWeights(lambda: np.arange(8.0).reshape(2, 2, 2))
        twice = weights.map(np.array([[1.0, 1.0]])).map(np.array([[2.0]]))
        np.testing.assert_array_equal(twice.dense(), 2 * np.arange(8.0).reshape(2, 2, 2).sum(axis=0)[None])


class TestAggregation:
    @pytest.mark.parametrize(
        ("make", "named"),
        [
            (lambda: ge.overall("simple"), "simple"),
            (lambda: ge.by_event_time(3, 1), "first is after the last"),
            (lambda: ge.by_event_time(balance=-1), "negative"),
        ],
    )
    def test_unknown_options(self, make, named):
        with pytest.raises(SpecError, match=named):
            make()

    def test_what_is_not_a_scheme(self, cells):
        with pytest.raises(EstimationError, match="not an aggregation"):
            cells.aggregate("overall")

    def test_rows_can_be_aggregated_once(self, cells):
        with pytest.raises(EstimationError, match="aggregated already"):
            cells.aggregate(ge.by_cohort()).aggregate(ge.overall())

    def test_event_times_outside_the_data(self, cells):
        with pytest.raises(EstimationError, match="No cell has an event time from 20 to 30"):
            cells.aggregate(ge.by_event_time(20, 30))

    def test_event_times_after_the_data_are_said(self, cells):
        effects = cells.aggregate(ge.by_event_time(-1, 9)).effects
        assert effects.index.event_time.tolist() == [-1, 0, 1, 2, 3]
        assert any("event times after 3 are not observed (asked up to 9)" in note for note in effects.notes)

    def test_no_estimate_beyond_the_last_comparison(self):
        panel = staggered_panel(80)
        everybody = replace(panel, adoption=np.where(np.isinf(panel.adoption), 2005, panel.adoption))
        fit = ge.fit(ge.did.CallawaySantAnna(), everybody, ge.staggered_design(everybody))
        assert fit.aggregate(ge.by_event_time()).effects.index.event_time.max() == 2
        with pytest.raises(BeyondSupportError, match=r"Event times 3 were asked for.*last identified event time is 2"):
            fit.aggregate(ge.by_event_time(0, 3))
        assert any("last identified event time is 2" in note for note in fit.effects.notes)

    def test_balanced_event_study_keeps_cohorts_and_says_so(self, cells):
        effects = cells.aggregate(ge.by_event_time(balance=1)).effects
        assert effects.index.event_time.max() == 1
        at_zero = effects.index.event_time == 0
        at_one = effects.index.event_time == 1
        assert effects.index.n_treated[at_zero] == effects.index.n_treated[at_one]
        assert any("cohorts 2006 left out" in note for note in effects.notes)

    def test_a_cohort_without_any_estimate_is_left_out(self, cells):
        lost = np.where(cells.effects.index.cohort == 2005, np.nan, cells.effects.estimate)
        effects = replace(cells.effects, estimate=lost)
        assert effects.aggregate(ge.by_event_time(balance=1)).index.event_time.max() == 1
        assert 2005 not in effects.aggregate(ge.by_cohort()).index.cohort

    def test_nothing_after_treatment(self, cells):
        before = cells.effects.index.event_time < 0
        effects = replace(cells.effects, estimate=np.where(before, cells.effects.estimate, np.nan))
        with pytest.raises(EstimationError, match="No post-treatment cell"):
            effects.aggregate(ge.overall())

    def test_shares_weigh_units(self):
        shares = Shares(np.array([2003.0, 2005.0]), np.array([0, 0, 1, -1]), np.array([1.0, 2.0, 3.0, 4.0]))
        np.testing.assert_allclose(shares.values, [0.3, 0.3])

    def test_counts_are_of_units(self, cells, panel):
        overall = cells.aggregate(ge.overall()).effects.index
        assert overall.n_treated.tolist() == [int(np.isfinite(panel.adoption).sum())]
        assert (cells.aggregate(ge.by_cohort()).effects.index.n_treated == [20, 20, 10]).all()

    def test_overall_of_cohorts_is_the_share_weighted_mean_of_cohorts(self, cells):
        by_cohort = cells.aggregate(ge.by_cohort()).effects
        overall = cells.aggregate(ge.overall("cohort")).effects
        expected = np.average(by_cohort.estimate, weights=by_cohort.index.n_treated)
        assert overall.estimate[0] == pytest.approx(expected, rel=1e-12)

    def test_share_term_matters_where_cohorts_differ(self, cells):
        """Without it the influence of the overall effect is the plain map of the cells' influence."""
        overall = cells.effects.aggregate(ge.overall())
        after = cells.effects.index.event_time >= 0
        size = cells.effects.index.n_treated * after
        plain = cells.effects.influence.map((size / size.sum())[None, :])
        difference = overall.influence.values - plain.values
        assert np.abs(difference).max() > 0.01
        np.testing.assert_allclose(difference.mean(axis=0), 0, atol=1e-12)
