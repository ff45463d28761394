"""Fit: what it takes, what it repeats, and that every noun survives a pickle."""

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import DesignError, NoTreatedError, SpecError
from groupeffect.testing import staggered_panel


def test_class_instead_of_estimator(panel, design):
    with pytest.raises(SpecError, match="got the class CallawaySantAnna") as caught:
        ge.fit(ge.did.CallawaySantAnna, panel, design)
    assert caught.value.hint == "Write CallawaySantAnna()."


@pytest.mark.parametrize("change", ["fewer units", "other order", "other times"])
def test_design_of_another_panel(panel, design, change):
    other = {
        "fewer units": panel.take_units(np.arange(40)),
        "other order": panel.take_units(np.arange(80)[::-1]),
        "other times": replace(panel, times=panel.times + 1),
    }[change]
    with pytest.raises(DesignError, match="another panel"):
        ge.fit(ge.did.CallawaySantAnna(), other, design)


def test_design_without_treated_units(panel, design):
    with pytest.raises(NoTreatedError):
        ge.fit(ge.did.CallawaySantAnna(), panel, design.reassign(np.full(80, np.inf)))


def test_rerun_repeats_the_aggregation(cells, panel):
    again = cells.aggregate(ge.by_event_time(0, 2)).rerun(panel=panel.with_outcome(2 * panel.outcome))
    assert again.steps == (ge.by_event_time(0, 2),)
    expected = 2 * cells.aggregate(ge.by_event_time(0, 2)).effects.estimate
    np.testing.assert_allclose(again.effects.estimate, expected, rtol=1e-12)


def test_two_designs_on_one_panel_share_unit_labels(panel):
    """The covariance of two roles' effects comes from the sum of their influences."""
    members = np.where(np.arange(80) % 2 == 0, panel.adoption, np.inf)
    cores = np.where(np.arange(80) % 2 == 1, panel.adoption, np.inf)
    influences = []
    for cohort in (members, cores):
        design = ge.staggered_design(panel, cohort=cohort, comparison_pool=np.isinf(panel.adoption))
        fit = ge.fit(ge.did.CallawaySantAnna(), panel, design).aggregate(ge.overall())
        influences.append(fit.effects.influence)
    total = influences[0] + influences[1]
    variance = [(part.values**2).sum() for part in (*influences, total)]
    covariance = (influences[0].values * influences[1].values).sum()
    assert abs(covariance) > 1e-6
    assert variance[2] == pytest.approx(variance[0] + variance[1] + 2 * covariance)


def test_every_noun_survives_a_pickle(cells, panel, design):
    result = cells.aggregate(ge.by_event_time()).infer(ge.MultiplierBootstrap(draws=99))
    again = pickle.loads(pickle.dumps(result))
    assert again.to_json() == result.to_json()
    np.testing.assert_array_equal(again.fit.panel.outcome, panel.outcome)
    np.testing.assert_array_equal(again.fit.effects.weights.dense(), result.fit.effects.weights.dense())
    for thing in (panel, design, cells, cells.effects):
        assert repr(pickle.loads(pickle.dumps(thing)))


def test_pickled_panels_are_read_only_too(panel):
    again = pickle.loads(pickle.dumps(panel))
    with pytest.raises(ValueError, match="read-only"):
        again.outcome[0, 0] = 1
    with pytest.raises(TypeError, match="does not support item assignment"):
        again.attributes["cluster"] = np.zeros(80)


def test_panel_arrays_are_read_only(panel):
    for name in ("outcome", "times", "adoption", "exit", "unit_weight", "covariates", "unit_ids"):
        values = getattr(panel, name)
        if values.size:
            with pytest.raises(ValueError, match="read-only"):
                values[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        panel.attributes["cluster"][0] = 3


def test_nouns_are_frozen(cells, panel, design):
    for thing, name in ((panel, "outcome"), (design, "cohort"), (cells, "effects"), (cells.effects, "estimate")):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, None)


def test_estimators_are_frozen_and_comparable():
    assert ge.did.CallawaySantAnna() == ge.did.CallawaySantAnna(method="dr")
    with pytest.raises(FrozenInstanceError):
        ge.did.CallawaySantAnna().method = "reg"


def test_estimation_leaves_no_trace_in_the_panel():
    panel = staggered_panel(40)
    before = pickle.dumps(panel)
    ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel))
    assert pickle.dumps(panel) == before


@pytest.mark.parametrize("name", ["fit_times", "effect_times"])
def test_chosen_times_are_refused_where_they_would_be_ignored(panel, design, name):
    some = replace(design, **{name: panel.times < panel.times[-1]})
    with pytest.raises(DesignError, match=f"uses all times.*{name}") as caught:
        ge.fit(ge.did.CallawaySantAnna(), panel, some)
    assert "by_event_time" in caught.value.hint
