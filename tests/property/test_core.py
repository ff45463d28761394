"""Properties that hold for any data: drawn by hypothesis, checked against loops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import groupeffect as ge
from groupeffect.effects.effects import EffectIndex, Effects
from groupeffect.effects.influence import Influence, Shares
from groupeffect.errors import DesignError
from groupeffect.panel.panel import Panel
from groupeffect.result import Result
from groupeffect.testing.derivative import AGGREGATIONS, log_weight_derivative

pytestmark = pytest.mark.filterwarnings("ignore::groupeffect.errors.GroupEffectWarning")

QUICK = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
NUMBERS = st.floats(-1e3, 1e3, allow_nan=False)


@st.composite
def panels(draw):
    """Panels of 12 to 30 units in 3 to 6 years with any adoption pattern, weights and outcomes."""
    n, n_times = draw(st.integers(12, 30)), draw(st.integers(3, 6))
    times = 2001.0 + np.arange(n_times)
    choices = [np.inf, *times[1:].tolist()]
    adoption = np.array(draw(st.lists(st.sampled_from(choices), min_size=n, max_size=n)))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    return Panel(
        rng.normal(size=(n, n_times)),
        np.arange(n),
        times=times,
        adoption=adoption,
        columns=ge.Columns("u", "t", "y", "g"),
        unit_weight=rng.uniform(0.5, 2.0, n),
    )


def usable(panel, **options):
    try:
        return ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel, **options))
    except DesignError:
        assume(False)
        raise


@given(panels(), st.sampled_from(["not_yet_treated", "never_treated"]), st.sampled_from(["varying", "universal"]))
@QUICK
def test_influence_of_any_design_is_the_derivative_in_every_aggregation(panel, comparison, base):
    fit = usable(panel, comparison=comparison, base_period=base)
    direction = np.random.default_rng(1).normal(size=(2, panel.n_units))
    for scheme in (None, *AGGREGATIONS):
        effects = fit.effects if scheme is None else fit.effects.aggregate(scheme)

        def values_at(weight, scheme=scheme):
            again = fit.rerun(panel=panel.with_unit_weight(weight)).effects
            return (again if scheme is None else again.aggregate(scheme)).estimate

        numeric = log_weight_derivative(values_at, panel.unit_weight, direction)
        np.testing.assert_allclose(direction @ effects.influence.values / panel.n_units, numeric, atol=1e-6)


@given(panels())
@QUICK
def test_treated_effects_come_back_whatever_the_pattern(panel):
    """Unit effect + time effect + an effect that differs by cell: every cell is found."""
    unit, time = panel.outcome[:, :1], panel.outcome[:1, :]
    elapsed = panel.times[None, :] - panel.adoption[:, None]
    effect = np.where(elapsed >= 0, 1 + 0.5 * np.maximum(elapsed, 0) + 0.1 * (panel.times[None, :] - 2000), 0.0)
    fit = usable(panel.with_outcome(unit + time + effect))
    index = fit.effects.index
    after = index.event_time >= 0
    expected = np.where(after, 1 + 0.5 * np.maximum(index.event_time, 0) + 0.1 * (index.time - 2000), 0.0)
    np.testing.assert_allclose(fit.effects.estimate, expected, atol=1e-12)


@given(panels())
@QUICK
def test_implied_weights_reproduce_every_estimate(panel):
    fit = usable(panel)
    for scheme in (None, ge.overall(), ge.by_event_time(), ge.by_cohort()):
        effects = fit.effects if scheme is None else fit.effects.aggregate(scheme)
        made = (effects.weights.dense() * panel.outcome).sum(axis=(1, 2))
        np.testing.assert_allclose(made, effects.estimate, atol=1e-12)


@given(panels())
@QUICK
def test_order_of_units_does_not_matter(panel):
    fit = usable(panel)
    order = np.random.default_rng(2).permutation(panel.n_units)
    again = usable(panel.take_units(order))
    np.testing.assert_allclose(again.effects.estimate, fit.effects.estimate, atol=1e-12)
    np.testing.assert_allclose(
        again.effects.influence.aligned(panel.unit_ids), fit.effects.influence.values, atol=1e-12
    )


@given(hnp.arrays(float, (12, 3), elements=NUMBERS), st.lists(st.integers(0, 4), min_size=12, max_size=12))
@QUICK
def test_cluster_sums_add_up_and_ignore_names(values, labels):
    influence = Influence(values, np.arange(12))
    labels = np.array(labels)
    sums = influence.cluster_sums(labels)
    np.testing.assert_allclose(sums.sum(axis=0), values.sum(axis=0), atol=1e-9)
    renamed = influence.cluster_sums(np.array([f"county {label}" for label in labels]))
    np.testing.assert_allclose(renamed, sums, atol=1e-9)


@given(
    hnp.arrays(float, (8, 2), elements=NUMBERS), hnp.arrays(float, (8, 2), elements=NUMBERS), st.permutations(range(8))
)
@QUICK
def test_sum_of_influences_is_matched_by_label(one, other, order):
    order = np.array(order)
    total = Influence(one, np.arange(8)) + Influence(other[order], order)
    np.testing.assert_allclose(total.values, one + other, atol=1e-9)


@given(
    hnp.arrays(float, 6, elements=NUMBERS),
    st.lists(st.integers(0, 3), min_size=20, max_size=20).filter(lambda c: {0, 1, 2} <= set(c)),
    st.integers(0, 2**16),
)
@QUICK
def test_averages_weigh_cells_with_the_size_of_their_cohort(estimate, cohort_of_unit, seed):
    """Any cells of three cohorts at two times each, against plain loops."""
    weight = np.random.default_rng(seed).uniform(0.5, 2.0, 20)
    cohorts = np.array([2003.0, 2004.0, 2005.0])
    code = np.array(cohort_of_unit)
    cohort = np.repeat(cohorts, 2)
    time = cohort + np.tile([0.0, 1.0], 3)
    effects = Effects(
        EffectIndex.build(term="att", cohort=cohort, time=time, event_time=time - cohort),
        estimate,
        shares=Shares(cohorts, np.where(code < 3, code, -1), weight),
    )
    size = np.array([weight[code == k].sum() for k in range(3)])
    overall = effects.aggregate(ge.overall()).estimate[0]
    assert overall == pytest.approx(np.average(estimate, weights=np.repeat(size, 2)), abs=1e-9)
    by_time = effects.aggregate(ge.by_calendar_time())
    for t, value in zip(by_time.index.time, by_time.estimate, strict=True):
        expected = np.average(estimate[time == t], weights=np.repeat(size, 2)[time == t])
        assert value == pytest.approx(expected, abs=1e-9)


@given(
    hnp.arrays(float, 4, elements=st.floats(-1e100, 1e100) | st.sampled_from([np.nan, np.inf, -np.inf])),
    st.floats(0.5, 0.999),
    st.text(max_size=30),
)
@settings(QUICK, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_result_survives_its_file(tmp_path, values, level, note):
    panel = Panel(
        np.random.default_rng(0).normal(size=(20, 3)),
        np.arange(20),
        times=np.array([2001.0, 2002.0, 2003.0]),
        adoption=np.resize([2002.0, 2003.0, np.inf, np.inf], 20),
        columns=ge.Columns("u", "t", "y", "g"),
    )
    fit = ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel))
    effects = replace(fit.effects, estimate=values[: len(fit.effects.estimate)], notes=(note,))
    result = replace(fit, effects=effects).infer(ge.ClusterRobust(), level=level)
    text = result.to_json(tmp_path / "result.json")
    assert Result.from_json(tmp_path / "result.json").to_json() == text
