"""The named designs: truth, noiseless recovery, and the failure each is made for."""

import numpy as np
import pandas as pd
import pytest

from groupeffect.errors import SpecError
from groupeffect.simulate import DGPS, dgp


def _did(frame: pd.DataFrame, truth: pd.DataFrame, base_lag: int = 1) -> pd.Series:
    """Difference-in-differences of every cell against never treated units, error against the truth."""
    wide = frame.pivot_table(index="unit", columns="time", values="y")
    cohort = frame.groupby("unit")["cohort"].first()
    errors = []
    for row in truth.itertuples():
        change = wide[row.time] - wide[row.cohort - base_lag]
        errors.append(change[cohort == row.cohort].mean() - change[cohort == 0].mean() - row.att)
    return pd.Series(errors)


@pytest.mark.parametrize("name", list(DGPS))
def test_shape_truth_and_seed(name: str) -> None:
    frame, truth = dgp(name, n_units=120, n_times=8, seed=3)
    assert list(frame.columns) == ["unit", "time", "y", "cohort", "treated", "x", "cluster"]
    assert list(truth.columns) == ["cohort", "time", "event_time", "att", "n_treated"]
    assert not frame.duplicated(["unit", "time"]).any()
    assert frame["unit"].nunique() == 120
    assert (frame["cohort"] == 0).any()
    cells = frame[frame["treated"]].groupby(["cohort", "time"]).size()
    post = truth[truth["event_time"] >= 0].set_index(["cohort", "time"])["n_treated"]
    pd.testing.assert_series_equal(cells, post, check_names=False, check_dtype=False)
    again, same = dgp(name, n_units=120, n_times=8, seed=3)
    pd.testing.assert_frame_equal(frame, again)
    pd.testing.assert_frame_equal(truth, same)
    other, _ = dgp(name, n_units=120, n_times=8, seed=4)
    assert not np.array_equal(frame["y"].to_numpy()[:100], other["y"].to_numpy()[:100])
    quiet, _ = dgp(name, n_units=120, n_times=8, seed=3, noise=0.0)
    pd.testing.assert_frame_equal(frame[["unit", "time", "cohort", "x"]], quiet[["unit", "time", "cohort", "x"]])


@pytest.mark.parametrize("name", ["constant_effects", "parallel_trends", "heterogeneous_cohorts", "few_clusters"])
def test_did_recovers_the_noiseless_truth(name: str) -> None:
    assert _did(*dgp(name, seed=1, noise=0.0)).abs().max() < 1e-12


def test_anticipation_needs_an_earlier_base() -> None:
    frame, truth = dgp("anticipation", seed=1, noise=0.0)
    assert truth["event_time"].min() == -1
    assert _did(frame, truth, base_lag=2).abs().max() < 1e-12
    assert _did(frame, truth, base_lag=1).abs().min() == pytest.approx(0.5)


def test_covariate_trends_are_parallel_only_given_x() -> None:
    frame, truth = dgp("covariate_trends", seed=1, noise=0.0)
    assert _did(frame, truth).mean() > 0.1
    wide = frame.pivot_table(index="unit", columns="time", values="y")
    units = frame.groupby("unit")[["cohort", "x"]].first()
    never, design = units["cohort"] == 0, np.column_stack([np.ones(len(units)), units["x"]])
    for row in truth.itertuples():
        change = (wide[row.time] - wide[row.cohort - 1]).to_numpy()
        slope, *_ = np.linalg.lstsq(design[never], change[never], rcond=None)
        treated = (units["cohort"] == row.cohort).to_numpy()
        assert (change - design @ slope)[treated].mean() == pytest.approx(row.att, abs=1e-10)


def test_factor_has_a_synthetic_control_and_no_parallel_trends() -> None:
    from scipy.optimize import nnls

    frame, truth = dgp("factor", n_units=80, n_times=20, seed=1, noise=0.0)
    assert _did(frame, truth).abs().max() > 0.3
    wide = frame.pivot_table(index="unit", columns="time", values="y")
    cohort = frame.groupby("unit")["cohort"].first()
    start = int(cohort.max())
    donors, treated = wide[cohort == 0].to_numpy(), wide[cohort > 0].to_numpy()
    before = wide.columns < start
    gap = []
    for unit in treated:
        stacked = np.vstack([donors[:, before].T, 1e4 * np.ones(len(donors))])
        weights, _ = nnls(stacked, np.r_[unit[before], 1e4])
        gap.append(unit[~before] - weights @ donors[:, ~before])
    np.testing.assert_allclose(np.mean(gap, axis=0), truth["att"], atol=1e-5)


def test_unbalanced_has_holes() -> None:
    frame, _ = dgp("unbalanced", n_units=400, seed=1)
    assert 0.80 < len(frame) / (400 * 8) < 0.92
    whole = frame.groupby("unit")["time"].size()
    assert 0.2 < (whole == 8).mean() < 0.6


def test_heterogeneous_cohorts_differ_in_sign() -> None:
    _, truth = dgp("heterogeneous_cohorts", seed=1)
    first = truth[truth["event_time"] == 0].set_index("cohort")["att"]
    assert first.is_monotonic_decreasing
    assert first.iloc[0] > 2 * abs(first.iloc[-1])


def test_few_clusters_are_treated_as_a_whole() -> None:
    frame, _ = dgp("few_clusters", seed=1)
    assert frame["cluster"].nunique() == 12
    cohorts = frame.groupby("cluster")["cohort"]
    assert (cohorts.min() == cohorts.max()).all()
    size = frame.groupby("cluster")["unit"].nunique()
    assert size.max() > 5 * size.min()


def test_refusals() -> None:
    with pytest.raises(SpecError, match="no design 'parallel'"):
        dgp("parallel")
    with pytest.raises(SpecError, match="too few"):
        dgp("factor", n_units=10)
    with pytest.raises(SpecError, match="negative"):
        dgp("factor", noise=-1.0)
