"""DRLearner: effects, modifiers, predicted effects, refusals."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import groupeffect as ge
from groupeffect.errors import EstimationError, SpecError
from groupeffect.hte import DRLearner

LEARNER = DRLearner(modifiers=("x",), by="group")
CLUSTERS = ge.ClusterRobust(by="group")


def correlation(effects, one):
    has = np.isfinite(effects.scores.tau_hat)
    return float(np.corrcoef(effects.scores.tau_hat[has], one.tau[has])[0, 1])


def test_finds_a_linear_modifier_without_noise(clean):
    effects = LEARNER.estimate(clean.panel, clean.design)
    x = clean.panel.covariates[clean.treated, 0, 0]
    assert effects.index.term.tolist() == ["att", "projection:x"]
    assert effects.estimate[0] == pytest.approx(clean.tau[clean.treated].mean(), abs=1e-9)
    assert effects.estimate[1] == pytest.approx(0.05 * x.std(), abs=1e-9)
    np.testing.assert_allclose(effects.scores.tau_hat[clean.treated], clean.tau[clean.treated], atol=1e-7)
    assert np.isnan(effects.scores.tau_hat[~clean.treated]).all()


def test_recovery_within_monte_carlo_error(draw):
    misses, covered, ranks = [], [], []
    for seed in range(30):
        one = draw(seed, 240)
        result = ge.fit(LEARNER, one.panel, one.design).infer(CLUSTERS)
        truth = np.array([one.tau[one.treated].mean(), 0.05 * one.panel.covariates[one.treated, 0, 0].std()])
        misses.append(result.estimate - truth)
        low, high = result.uncertainty.interval.T
        covered.append((low <= truth) & (truth <= high))
        ranks.append(correlation(result.fit.effects, one))
    error = np.std(misses, axis=0, ddof=1) / np.sqrt(30)
    assert (np.abs(np.mean(misses, axis=0)) < 2.5 * error).all()
    assert (np.mean(covered, axis=0) > 0.85).all()
    assert np.mean(ranks) > 0.75


def test_homogeneous_effects_have_no_slope(draw):
    one = draw(5, 300, slope=0.0)
    result = ge.fit(LEARNER, one.panel, one.design).infer(CLUSTERS)
    assert abs(result.uncertainty.statistic[1]) < 2.5


@pytest.mark.parametrize("final", ["linear", "forest", Ridge(1.0)], ids=["linear", "forest", "own"])
def test_predictions_follow_the_truth(draw, final):
    one = draw(1, 800, slope=0.1)
    learner = replace(LEARNER, final=final, folds=2)
    effects = learner.estimate(one.panel, one.design)
    assert correlation(effects, one) > 0.8
    again = learner.estimate(one.panel, one.design)
    np.testing.assert_array_equal(effects.scores.tau_hat, again.scores.tau_hat)


def test_a_curved_effect_is_found_by_the_forest_only(draw):
    one = draw(2, 1000, slope=0.0)
    x = one.panel.covariates[:, 0, 0]
    bend = 0.5 * (np.abs(x) < 0.7)
    after = one.panel.times >= one.panel.adoption[:, None]
    panel = one.panel.with_outcome(one.panel.outcome + np.where(after, bend[:, None], 0))
    curved = replace(one, tau=one.tau + bend)
    linear, forest = (
        correlation(replace(LEARNER, final=final, folds=2).estimate(panel, one.design), curved)
        for final in ("linear", "forest")
    )
    assert forest > 0.7
    assert abs(linear) < 0.4


def test_predictions_never_saw_their_own_fold(noisy):
    from groupeffect.hte._nuisance import cluster_folds

    fold = cluster_folds(noisy.panel, "group", 5, 0).of_unit
    outcome = (
        noisy.panel.outcome
        + 10 * np.random.default_rng(0).normal(size=noisy.panel.outcome.shape) * (fold == 0)[:, None]
    )
    before = LEARNER.estimate(noisy.panel, noisy.design).scores.tau_hat
    after = LEARNER.estimate(noisy.panel.with_outcome(outcome), noisy.design).scores.tau_hat
    own = (fold == 0) & noisy.treated
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own & noisy.treated] != after[~own & noisy.treated]).all()


def test_the_seed_moves_estimates_little(noisy):
    found = [ge.fit(replace(LEARNER, seed=seed), noisy.panel, noisy.design).infer(CLUSTERS) for seed in (0, 1)]
    difference = np.abs(found[0].estimate - found[1].estimate)
    assert (difference > 0).all()
    assert (difference < 0.5 * found[0].uncertainty.std_error).all()


def test_worded_attributes_and_indicators(noisy):
    rng = np.random.default_rng(1)
    stage = np.array(["primary", "junior", "nine_year"])[rng.integers(0, 3, noisy.panel.n_units)]
    remote = rng.random(noisy.panel.n_units) < 0.4
    after = noisy.panel.times >= noisy.panel.adoption[:, None]
    panel = noisy.panel.with_outcome(noisy.panel.outcome + np.where(after, 0.4 * remote[:, None], 0))
    panel = panel.with_attributes(stage=stage, remote=remote)
    result = ge.fit(DRLearner(modifiers=("stage", "remote"), by="group"), panel, noisy.design).infer(CLUSTERS)
    terms = ["att", "projection:stage=nine_year", "projection:stage=primary", "projection:remote"]
    assert result.tidy()["term"].tolist() == terms
    low, high = result.uncertainty.interval[3]
    assert low < 0.4 < high  # the difference itself, not per standard deviation
    assert low > 0.2


def test_without_modifiers_only_the_average(noisy):
    effects = DRLearner(modifiers=()).estimate(noisy.panel, noisy.design)
    assert effects.index.term.tolist() == ["att"]
    assert effects.scores.tau_hat is None
    assert DRLearner().estimate(noisy.panel, noisy.design).index.term.tolist() == [
        "att",
        "projection:x",
        "projection:z",
    ]


def test_every_strategy_that_needs_influence_or_refitting_works(draw):
    one = draw(0, 200)
    fit = ge.fit(DRLearner(modifiers=("x",), by="group", folds=2), one.panel, one.design)
    analytic = fit.infer(ge.ClusterRobust(by="group")).uncertainty.std_error
    banded = fit.infer(ge.MultiplierBootstrap(by="group", draws=499)).uncertainty
    jackknife = fit.infer(ge.Jackknife(by="group")).uncertainty.std_error
    np.testing.assert_allclose(banded.std_error, analytic, rtol=0.2)
    np.testing.assert_allclose(jackknife, analytic, rtol=0.15)
    assert banded.band is not None


def test_the_synthetic_reform():
    frame, truth = ge.simulate.simulate_panel("clean", n_schools=900, seed=1)
    early = frame[frame["year"] <= 2017].groupby("school_id")["score"].mean()
    frame["baseline"] = frame["school_id"].map(early)
    columns = ge.Columns(
        unit="school_id",
        time="year",
        outcome="score",
        cohort="join_year",
        never=(0,),
        attributes=("role", "cluster", "baseline"),
    )
    panel = ge.read_panel(frame[~frame["new_school"].astype(bool)], columns)
    role = panel.attributes["role"]
    design = ge.staggered_design(
        panel,
        cohort=np.where(role == "member", panel.adoption, np.inf),
        comparison_pool=role != "core",
        base_period=ge.baseline_window(2018, 2019),
    )
    learner = DRLearner(modifiers=("baseline",), by="cluster")
    result = ge.fit(learner, panel, design).infer(ge.ClusterRobust(by="cluster"))
    after = truth.event_time >= 0
    mean = np.where(after, truth.tau, 0).sum(axis=1) / np.maximum(after.sum(axis=1), 1)
    effect = dict(zip(truth.labels["school_id"], mean, strict=True))
    treated = np.isfinite(result.fit.effects.scores.values)
    actual = np.mean([effect[unit] for unit in panel.unit_ids[treated]])
    assert treated.sum() > 200
    assert abs(result.estimate[0] - actual) < 3 * result.uncertainty.std_error[0]


def test_missing_modifiers_are_refused(noisy):
    with pytest.raises(SpecError, match=r"'travel' is neither a covariate nor an attribute .*known: x, z, group"):
        DRLearner(modifiers=("travel",)).estimate(noisy.panel, noisy.design)
    travel = np.full(noisy.panel.n_units, 30.0)
    travel[:7] = np.nan
    panel = noisy.panel.with_attributes(travel=travel)
    with pytest.raises(EstimationError, match=r"'travel' is missing in the base period for 7 units.*school 0000"):
        DRLearner(modifiers=("travel",)).estimate(panel, noisy.design)


def test_constant_modifiers_are_refused(noisy):
    for values in (np.full(noisy.panel.n_units, 30.0), np.where(noisy.treated, 1.0, np.arange(noisy.panel.n_units))):
        panel = noisy.panel.with_attributes(travel=values)
        with pytest.raises(EstimationError, match=r"'travel' is constant among the \d+ treated units"):
            DRLearner(modifiers=("x", "travel"), regression="linear").estimate(panel, noisy.design)


def test_collinear_modifiers_are_refused(noisy):
    panel = noisy.panel.with_attributes(twice=2 * noisy.panel.covariates[:, 0, 0])
    with pytest.raises(EstimationError, match="collinear among the treated"):
        DRLearner(modifiers=("x", "twice")).estimate(panel, noisy.design)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modifiers": "x"}, "one word"),
        ({"final": "lasso"}, "final='lasso'"),
        ({"final": Ridge}, "final="),
        ({"folds": 0}, "folds=0"),
        ({"regression": "forest"}, "regression='forest'"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(SpecError, match=message):
        DRLearner(**options)


def test_labels_and_doubles_are_no_modifiers(noisy):
    with pytest.raises(SpecError, match=r"'group' has \d+ different values"):
        DRLearner(modifiers=("group",)).estimate(noisy.panel, noisy.design)
    with pytest.raises(SpecError, match="named twice"):
        DRLearner(modifiers=("x", "x")).estimate(noisy.panel, noisy.design)


def test_lists_are_taken_as_tuples():
    assert DRLearner(modifiers=["x"], event_times=[0, 2]) == DRLearner(modifiers=("x",), event_times=(0, 2))


def test_naming_the_family_loads_nothing_heavy():
    code = (
        "import sys, groupeffect as ge; ge.hte.DRLearner; ge.hte.refute; ge.hte.identify; ge.hte.dr_did_scores;"
        "print([m for m in ('econml', 'dowhy', 'sklearn', 'networkx', 'pandas', 'scipy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
