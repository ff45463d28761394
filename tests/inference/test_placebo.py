"""Placebo treatments: variance, ranks, refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest

import groupeffect as ge
from groupeffect.errors import CapabilityError, InferenceError, PoorPreFitWarning, SpecError

SC = ge.synth.SyntheticControl
SDID = ge.synth.SyntheticDiD


def panel_of(outcome, cohort=None):
    n, n_times = outcome.shape
    frame = pd.DataFrame(
        {
            "unit": np.repeat([f"u{row:02d}" for row in range(n)], n_times),
            "time": np.tile(np.arange(n_times), n),
            "y": outcome.ravel(),
        }
    )
    if cohort is not None:
        frame["g"] = np.repeat(cohort, n_times)
    return ge.read_panel(
        frame, ge.Columns(unit="unit", time="time", outcome="y", cohort=None if cohort is None else "g")
    )


@pytest.fixture(scope="module")
def panel():
    """Two factors, 16 units, 15 times; unit u00 gains 3 from time 11 on."""
    rng = np.random.default_rng(2)
    outcome = rng.normal(size=(16, 2)) @ rng.normal(size=(2, 15)).cumsum(axis=1) + 0.4 * rng.normal(size=(16, 15))
    outcome[0, 11:] += 3.0
    return panel_of(outcome)


@pytest.fixture(scope="module")
def single(panel):
    return ge.fit(SC(intercept=True), panel, ge.block_design(panel, treated=("u00",), start=11))


@pytest.fixture(scope="module")
def several(panel):
    return ge.fit(SDID(), panel, ge.block_design(panel, treated=("u00", "u01", "u02"), start=11))


def gaps_by_hand(panel, estimator):
    """Gap path of each donor against the other donors, without the treated unit u00."""
    paths = []
    for j in range(1, 16):
        donors = tuple(f"u{row:02d}" for row in range(1, 16) if row != j)
        design = ge.block_design(panel, treated=(f"u{j:02d}",), start=11, donors=donors)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PoorPreFitWarning)
            paths.append(ge.fit(estimator, panel, design).effects.estimate)
    return np.array(paths)


def test_every_donor_once_equals_a_loop_by_hand(panel, single):
    paths = gaps_by_hand(panel, SC(intercept=True))
    result = single.infer(ge.PlaceboUnits())
    np.testing.assert_allclose(result.uncertainty.draws, paths, atol=1e-12)
    np.testing.assert_allclose(result.uncertainty.std_error, paths.std(axis=0), atol=1e-12)
    half = 1.959963984540054 * paths.std(axis=0)
    expected = np.column_stack([single.effects.estimate - half, single.effects.estimate + half])
    np.testing.assert_allclose(result.uncertainty.interval, expected)
    np.testing.assert_allclose(np.diag(result.uncertainty.vcov), paths.var(axis=0), atol=1e-12)


def test_rank_p_value_is_that_of_the_rmspe_ratio(panel, single):
    paths = np.vstack([single.effects.estimate, gaps_by_hand(panel, SC(intercept=True))])
    pre = np.sqrt((paths[:, :11] ** 2).mean(axis=1))
    ratio = np.sqrt((paths[:, 11:] ** 2).mean(axis=1)) / pre
    one = single.aggregate(ge.overall()).infer(ge.PlaceboUnits())
    assert one.uncertainty.statistic[0] == pytest.approx(ratio[0])
    assert one.uncertainty.p_value[0] == (ratio >= ratio[0]).sum() / 16 == 1 / 16
    assert any("rank 1 of 16: p = 0.0625" in note for note in one.notes)
    assert "rank of RMSPE ratio" in one.uncertainty.method
    rows = single.infer(ge.PlaceboUnits()).uncertainty
    by_time = np.abs(paths[:, 11:]) / pre[:, None]
    np.testing.assert_allclose(rows.statistic[11:], by_time[0])
    np.testing.assert_allclose(rows.p_value[11:], (by_time >= by_time[0]).mean(axis=0))
    assert np.isnan(rows.p_value[:11]).all()
    by_event = single.aggregate(ge.by_event_time(-2, 3)).infer(ge.PlaceboUnits()).uncertainty
    np.testing.assert_allclose(by_event.p_value, rows.p_value[9:15])


@pytest.mark.filterwarnings("ignore::groupeffect.errors.PoorPreFitWarning")
def test_no_effect_gives_no_small_p_value():
    """Under the sharp null the rank is uniform: over 60 panels about a tenth of p-values is at most 0.1."""
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(60):
        panel = panel_of(rng.normal(size=(20, 10)))
        fit = ge.fit(SDID(), panel, ge.block_design(panel, treated=("u00",), start=7)).aggregate(ge.overall())
        p_values.append(fit.infer(ge.PlaceboUnits()).uncertainty.p_value[0])
    assert 1 <= (np.array(p_values) <= 0.1).sum() <= 13
    assert 0.35 < np.mean(p_values) < 0.7


def test_random_groups(several):
    result = several.aggregate(ge.overall()).infer(ge.PlaceboUnits(draws=60, seed=3))
    again = several.aggregate(ge.overall()).infer(ge.PlaceboUnits(draws=60, seed=3))
    other = several.aggregate(ge.overall()).infer(ge.PlaceboUnits(draws=60, seed=4))
    fewer = several.aggregate(ge.overall()).infer(ge.PlaceboUnits(draws=25, seed=3))
    draws = result.uncertainty.draws
    assert draws.shape == (60, 1)
    assert draws.tobytes() == again.uncertainty.draws.tobytes()
    assert (draws != other.uncertainty.draws).any()
    np.testing.assert_array_equal(fewer.uncertainty.draws, draws[:25])  # one stream per draw
    assert result.uncertainty.std_error[0] == pytest.approx(draws.std())
    z = result.estimate[0] / draws.std()
    assert result.uncertainty.statistic[0] == pytest.approx(z)
    assert 0 < result.uncertainty.p_value[0] < 1
    assert "60 random groups, seed 3" in result.uncertainty.method
    assert "p-value normal" in result.uncertainty.method


def test_default_number_of_groups(several):
    assert several.aggregate(ge.overall()).infer(ge.PlaceboUnits()).uncertainty.draws.shape == (200, 1)


def test_single_treated_unit_with_random_donors(single):
    result = single.aggregate(ge.overall()).infer(ge.PlaceboUnits(draws=40, seed=0))
    assert len(np.unique(result.uncertainty.draws)) <= 15
    assert "p-value normal" in result.uncertainty.method


def test_treated_units_take_no_part_in_placebos(panel, several):
    """Whatever the treated units do after treatment, the placebo runs do not change."""
    moved = panel.outcome.copy()
    moved[:3, 11:] += 1000.0
    changed = ge.fit(SDID(), panel.with_outcome(moved), several.design)
    strategy = ge.PlaceboUnits(draws=10, seed=1)
    np.testing.assert_array_equal(changed.infer(strategy).uncertainty.draws, several.infer(strategy).uncertainty.draws)


def test_poor_fits_of_placebos_do_not_warn():
    """No mean of other donors reaches u03; only the treated unit's own fit may warn, and it is good."""
    rng = np.random.default_rng(0)
    outcome = rng.normal(size=(8, 9))
    outcome[3] += 30.0
    outcome[0] = 0.5 * (outcome[1] + outcome[2])
    panel = panel_of(outcome)
    fit = ge.fit(SC(), panel, ge.block_design(panel, treated=("u00",), start=6))
    assert fit.infer(ge.PlaceboUnits()).uncertainty.draws[2].min() > 20


def test_too_few_donors(panel):
    four = ge.block_design(panel, treated=("u00", "u01", "u02", "u03"), start=11, donors=("u05", "u06", "u07", "u08"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorPreFitWarning)
        fit = ge.fit(SDID(), panel, four)
    with pytest.raises(InferenceError, match="4 treated units and 4 donors"):
        fit.infer(ge.PlaceboUnits())
    with pytest.raises(SpecError, match="draws=1"):
        ge.PlaceboUnits(draws=1)


def test_estimators_without_a_counterfactual_are_refused():
    rng = np.random.default_rng(0)
    panel = panel_of(rng.normal(size=(30, 6)), cohort=np.repeat([np.inf, 3, 4], 10))
    fit = ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel))
    with pytest.raises(CapabilityError, match="counterfactual"):
        fit.infer(ge.PlaceboUnits())


def test_tidy_has_the_columns_of_every_result(single):
    table = single.aggregate(ge.overall()).infer(ge.PlaceboUnits()).tidy()
    assert table.loc[0, "n_treated"] == 1
    assert table.loc[0, "n_comparison"] == 15
    assert table[["band_low", "band_high"]].isna().all(axis=None)
