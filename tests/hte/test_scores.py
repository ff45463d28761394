"""Doubly robust scores: what they average to, how folds are cut, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

import groupeffect as ge
from groupeffect.errors import (
    DroppedUnitsWarning,
    EstimationError,
    NoComparisonError,
    OverlapError,
    SpecError,
    TooFewClustersError,
    WeakOverlapWarning,
)
from groupeffect.hte import ScoreOptions, dr_did_scores
from groupeffect.hte._linear_models import LeastSquares, RidgeLogit
from groupeffect.hte._nuisance import cluster_folds

ATT = ge.overall("cohort")


class Zero:
    """A regression that is wrong: no change is expected for anybody."""

    def fit(self, X, y):  # noqa: ARG002
        return self

    def predict(self, X):
        return np.zeros(len(X))


class Even:
    """A propensity that is wrong: everybody is as likely to join."""

    def fit(self, X, y):  # noqa: ARG002
        self.share = float(np.mean(y))
        return self

    def predict_proba(self, X):
        return np.column_stack([np.full(len(X), 1 - self.share), np.full(len(X), self.share)])


def std_error(scores):
    return float(np.sqrt((scores.influence().values ** 2).sum()) / len(scores.unit_ids))


def test_scores_are_the_effects_without_noise(clean):
    scores = dr_did_scores(clean.panel, clean.design)
    np.testing.assert_allclose(scores.values[clean.treated], clean.tau[clean.treated], atol=1e-9)
    assert np.isnan(scores.values[~clean.treated]).all()
    assert scores.weight.sum() == pytest.approx(1)
    assert scores.att == pytest.approx(clean.tau[clean.treated].mean(), abs=1e-10)


def test_weighted_mean_of_the_scores_is_the_effect(noisy):
    weight = np.random.default_rng(3).uniform(0.5, 2, noisy.panel.n_units)
    panel = noisy.panel.with_unit_weight(weight)
    scores = dr_did_scores(panel, noisy.design, ScoreOptions(by="group"))
    has = np.isfinite(scores.values)
    np.testing.assert_allclose(scores.weight[has], weight[has] / weight[has].sum(), rtol=1e-10)
    one = scores.project(np.ones((len(scores.stack.unit), 1)))
    assert np.average(scores.values[has], weights=weight[has]) == pytest.approx(one.coefficient[0], abs=1e-12)
    assert scores.att == pytest.approx(one.coefficient[0], abs=1e-12)


def test_agrees_with_callaway_santanna_averaged_by_cohort(noisy):
    scores = dr_did_scores(noisy.panel, noisy.design)
    peer = ge.fit(ge.did.CallawaySantAnna(), noisy.panel, noisy.design).aggregate(ATT).infer(ge.ClusterRobust())
    error = float(peer.uncertainty.std_error[0])
    assert scores.att == pytest.approx(float(peer.estimate[0]), abs=0.2 * error)
    assert std_error(scores) == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize(
    "options",
    [ScoreOptions(regression=Zero()), ScoreOptions(propensity=Even()), ScoreOptions()],
    ids=["wrong regression", "wrong propensity", "both right"],
)
def test_one_right_first_step_is_enough(draw, options):
    large = draw(1, 3000, trend=0.05)
    scores = dr_did_scores(large.panel, large.design, options)
    assert abs(scores.att - large.tau[large.treated].mean()) < 3 * std_error(scores)


def test_two_wrong_first_steps_are_not(draw):
    large = draw(1, 3000, trend=0.05)
    scores = dr_did_scores(large.panel, large.design, ScoreOptions(regression=Zero(), propensity=Even()))
    assert abs(scores.att - large.tau[large.treated].mean()) > 5 * std_error(scores)


def with_holes(panel, share=0.08):
    holes = np.random.default_rng(8).random(panel.outcome.shape) < share
    return panel.with_outcome(np.where(holes, np.nan, panel.outcome))


VARIANTS = {
    "plain": {},
    "never treated": {"comparison": "never_treated"},
    "window": {"base_period": ge.baseline_window(2016, 2019)},
    "anticipation": {"anticipation": 1},
}


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_influence_is_the_derivative_in_unit_weights(draw, variant, holes):
    one = draw(2, 160, design=VARIANTS[variant])
    panel = with_holes(one.panel) if holes else one.panel
    panel = panel.with_unit_weight(np.random.default_rng(4).uniform(0.5, 2, panel.n_units))
    options = ScoreOptions(by="group", folds=3)

    def numbers(weight):
        scores = dr_did_scores(panel.with_unit_weight(weight), one.design, options, modifiers=("x",))
        basis = np.column_stack([np.ones(len(scores.stack.unit)), scores.stack.modifiers])
        return np.append(scores.project(basis).coefficient, scores.att), scores, basis

    _, scores, basis = numbers(panel.unit_weight)
    influence = np.column_stack([scores.project(basis).influence, scores.influence().values]) / panel.n_units
    assert np.abs(influence.sum(axis=0)).max() < 1e-12
    direction = np.random.default_rng(5).normal(size=panel.n_units)
    step = 1e-5
    up, down = (numbers(panel.unit_weight * np.exp(sign * step * direction))[0] for sign in (1, -1))
    np.testing.assert_allclose((up - down) / (2 * step), direction @ influence, rtol=1e-5, atol=1e-9)


def test_partly_observed_baseline_windows_follow_the_common_course(draw):
    one = draw(0, 200, noise=0.0, design={"base_period": ge.baseline_window(2016, 2019)})
    scores = dr_did_scores(with_holes(one.panel), one.design, modifiers=("x",))
    has = np.isfinite(scores.values)
    assert has.sum() > 0.95 * one.treated.sum()
    # trends in x are not common, so a unit seen in part of the window is not exact; the time shocks (sd 1) are gone
    assert np.abs(scores.values[has] - one.tau[has]).max() < 0.15
    parallel = draw(0, 200, noise=0.0, trend=0.0, design={"base_period": ge.baseline_window(2016, 2019)})
    exact = dr_did_scores(with_holes(parallel.panel), parallel.design, modifiers=("x",))
    np.testing.assert_allclose(exact.values[has], parallel.tau[has], atol=1e-9)


def test_window_of_event_times(clean):
    panel = clean.panel
    elapsed = panel.times - panel.adoption[:, None]
    growing = panel.with_outcome(panel.outcome + np.where(elapsed > 0, elapsed, 0.0))
    first = dr_did_scores(growing, clean.design, ScoreOptions(event_times=(0, 0)))
    assert first.att == pytest.approx(clean.tau[clean.treated].mean(), abs=1e-9)
    second = dr_did_scores(growing, clean.design, ScoreOptions(event_times=(0, 1)))
    assert second.att - first.att == pytest.approx(0.5, abs=1e-9)
    with pytest.raises(NoComparisonError, match="event times 8 to 9"):
        dr_did_scores(panel, clean.design, ScoreOptions(event_times=(8, 9)))


def test_without_never_treated_the_last_cohort_has_no_score(draw):
    one = draw(3, 300)
    panel = replace(one.panel, adoption=np.where(np.isfinite(one.panel.adoption), one.panel.adoption, 2024.0))
    scores = dr_did_scores(panel, ge.staggered_design(panel))
    assert np.isnan(scores.values[panel.adoption == 2024]).all()
    assert np.isfinite(scores.values[panel.adoption < 2024]).all()
    assert {cell.time for cell in scores.stack.unidentified} == {2024.0, 2025.0}


def test_means_of_groups_and_their_influence(noisy):
    scores = dr_did_scores(noisy.panel, noisy.design, ScoreOptions(by="group"), modifiers=("x",))
    high = scores.stack.modifiers[:, 0] > 0
    both = scores.project(np.column_stack([high, ~high]).astype(float))
    apart = np.diff(both.coefficient)[0]
    truth = noisy.tau[noisy.treated]
    is_high = noisy.panel.covariates[noisy.treated, 0, 0] > 0
    error = np.sqrt(((both.influence[:, 1] - both.influence[:, 0]) ** 2).sum()) / noisy.panel.n_units
    assert abs(apart - (truth[~is_high].mean() - truth[is_high].mean())) < 3 * error
    assert apart < -2 * error


@pytest.mark.parametrize(
    "options",
    [ScoreOptions(regression="boosting", propensity="boosting", folds=2), ScoreOptions(regression=Ridge(0.1))],
    ids=["boosting", "ridge"],
)
def test_other_first_steps(noisy, options):
    scores = dr_did_scores(noisy.panel, noisy.design, options)
    assert abs(scores.att - noisy.tau[noisy.treated].mean()) < 4 * std_error(scores)
    assert np.abs(scores.influence().values.sum()) < 1e-9


def test_folds_never_split_a_group():
    labels = np.array(["a", "a", "b", "", "", "b", "c", "c"], dtype=object)
    labels[7] = None
    panel = _panel(labels)
    folds = cluster_folds(panel, "g", 3, 0)
    assert folds.of_unit[0] == folds.of_unit[1]
    assert folds.of_unit[2] == folds.of_unit[5]
    assert len(np.unique(folds.cluster)) == 6  # a, b, c and three schools on their own
    assert folds.of_unit.max() < 3


def test_folds_of_large_panels(noisy):
    folds = cluster_folds(noisy.panel, "group", 5, 0)
    for name in np.unique(noisy.panel.attributes["group"]):
        inside = noisy.panel.attributes["group"] == name
        assert len(np.unique(folds.of_unit[inside])) == 1
        assert len(np.unique(folds.inner[inside])) == 1
    assert np.bincount(folds.of_unit).min() > 25


def test_folds_depend_on_labels_and_seed_only(noisy):
    panel = noisy.panel
    folds = cluster_folds(panel, "group", 5, 0).of_unit
    rows = np.random.default_rng(0).permutation(panel.n_units)[:200]
    np.testing.assert_array_equal(cluster_folds(panel.take_units(rows), "group", 5, 0).of_unit, folds[rows])
    assert (cluster_folds(panel, "group", 5, 1).of_unit != folds).mean() > 0.5


def _panel(labels):
    n = len(labels)
    columns = ge.Columns(unit="u", time="t", outcome="y", attributes=("g",))
    return ge.Panel(
        np.zeros((n, 2)),
        np.arange(n),
        times=np.arange(2.0),
        adoption=np.full(n, np.inf),
        columns=columns,
        attributes={"g": labels},
    )


def test_fewer_than_five_groups_are_refused(noisy):
    panel = noisy.panel.with_attributes(county=np.where(np.arange(noisy.panel.n_units) % 2, "east", "west"))
    with pytest.raises(TooFewClustersError, match="Only 2 clusters have treated units"):
        dr_did_scores(panel, noisy.design, ScoreOptions(by="county"))


def test_no_overlap_is_refused_by_name(noisy):
    panel = noisy.panel
    apart = panel.covariates.copy()
    apart[:, :, 1] += 40 * noisy.treated[:, None]
    with pytest.raises(OverlapError, match=r"treated units have no comparable unit(.|\n)*'z'"):
        dr_did_scores(replace(panel, covariates=apart), noisy.design)


def test_a_few_units_without_overlap_are_left_out_and_named(noisy):
    odd = np.flatnonzero(noisy.treated)[:3]
    apart = noisy.panel.covariates.copy()
    apart[odd, :, 1] -= 60
    panel = replace(noisy.panel, covariates=apart)
    with pytest.warns(WeakOverlapWarning) as said:
        scores = dr_did_scores(panel, noisy.design)
    lost = np.flatnonzero(noisy.treated & np.isnan(scores.values))
    assert 0 < len(lost) <= 3
    assert set(lost) <= set(odd)
    assert f"{panel.unit_ids[lost[0]]}" in str(said[0].message)
    assert any("treated units have no comparable unit" in note for note in scores.notes)


def test_small_cohorts_are_left_out_with_a_note(noisy):
    adoption = noisy.panel.adoption.copy()
    adoption[np.flatnonzero(adoption == 2023)[3:]] = np.inf
    panel = replace(noisy.panel, adoption=adoption)
    with pytest.warns(DroppedUnitsWarning, match="cohorts 2023"):
        scores = dr_did_scores(panel, ge.staggered_design(panel))
    assert np.isnan(scores.values[adoption == 2023]).all()
    assert scores.weight.sum() == pytest.approx(1)


def test_nothing_large_enough_is_refused(draw):
    one = draw(0, 40)
    adoption = np.where(np.cumsum(one.treated) <= 6, one.panel.adoption, np.inf)
    panel = replace(one.panel, adoption=adoption)
    with pytest.raises(EstimationError, match="No cohort has enough units"):
        dr_did_scores(panel, ge.staggered_design(panel))


def test_weights_that_a_model_cannot_take_are_refused(noisy):
    options = ScoreOptions(regression=KNeighborsRegressor(20))
    assert np.isfinite(dr_did_scores(noisy.panel, noisy.design, options).att)
    weighted = noisy.panel.with_unit_weight(np.linspace(0.5, 2, noisy.panel.n_units))
    with pytest.raises(EstimationError, match="KNeighborsRegressor takes no sample_weight"):
        dr_did_scores(weighted, noisy.design, options)


def test_units_without_covariates_are_left_out_with_a_note(noisy):
    covariates = noisy.panel.covariates.copy()
    covariates[:4, :, 1] = np.nan
    scores = dr_did_scores(replace(noisy.panel, covariates=covariates), noisy.design)
    assert np.isnan(scores.values[:4]).all()
    assert any("outcome or covariates not observed" in note for note in scores.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regression": "lasso"}, "regression='lasso'"),
        ({"propensity": "linear"}, "propensity='linear'"),
        ({"propensity": Ridge()}, "propensity=Ridge"),
        ({"regression": Ridge}, "regression="),
        ({"folds": 1}, "folds=1"),
        ({"event_times": (-2, 1)}, "event_times"),
        ({"event_times": (3, 1)}, "event_times"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(SpecError, match=message):
        ScoreOptions(**options)


def test_unknown_cluster_column(noisy):
    with pytest.raises(SpecError, match="'county' is not an attribute"):
        dr_did_scores(noisy.panel, noisy.design, ScoreOptions(by="county"))


def test_own_first_steps_equal_scikit_learns():
    from sklearn.linear_model import LinearRegression, LogisticRegression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = x @ [1, 2, 3] + rng.normal(size=200)
    d = (rng.random(200) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
    weight = rng.uniform(0.5, 2, 200)
    weight /= weight.mean()
    line = LinearRegression().fit(x, y, weight)
    np.testing.assert_allclose(LeastSquares().fit(x, y, weight).predict(x), line.predict(x), rtol=1e-10)
    logit = LogisticRegression(C=1e4, solver="newton-cholesky", tol=1e-10, max_iter=200).fit(x, d, weight)
    np.testing.assert_allclose(RidgeLogit().fit(x, d, weight).predict_proba(x), logit.predict_proba(x), rtol=1e-6)


def test_separated_sides_get_extreme_propensities():
    x = np.linspace(-1, 1, 60)[:, None]
    d = (x[:, 0] > 0).astype(int)
    found = RidgeLogit().fit(x, d).predict_proba(x)[:, 1]
    assert found[-1] > 0.9999
    assert found[0] < 0.0001
