"""Result: tables, files, and what it says about itself."""

import json
import pickle

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import ReportError
from groupeffect.result import TIDY_COLUMNS, Result

TIDY = [
    "term", "cohort", "time", "event_time", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high",
    "band_low", "band_high", "n_treated", "n_comparison",
]  # fmt: skip
SCHEMES = [
    None, ge.overall(), ge.overall("cohort"), ge.by_event_time(), ge.by_event_time(-1, 1), ge.by_cohort(),
    ge.by_calendar_time(),
]  # fmt: skip
STRATEGIES = [ge.ClusterRobust(), ge.ClusterRobust(by="cluster"), ge.MultiplierBootstrap(draws=49), ge.Jackknife()]


@pytest.fixture(scope="module")
def event_study(cells):
    return cells.aggregate(ge.by_event_time(-2, 2)).infer(ge.MultiplierBootstrap(draws=199, seed=1))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_tidy_columns_are_always_the_same(cells, scheme, strategy):
    fit = cells if scheme is None else cells.aggregate(scheme)
    table = fit.infer(strategy).tidy()
    assert list(table.columns) == TIDY == list(TIDY_COLUMNS)
    assert len(table) == len(fit.effects.index)
    assert table["estimate"].notna().all()
    assert table["band_low"].notna().all() == isinstance(strategy, ge.MultiplierBootstrap)


def test_json_round_trip_is_stable_to_the_byte(event_study, tmp_path):
    path = tmp_path / "result.json"
    text = event_study.to_json(path)
    assert path.read_text(encoding="utf-8") == text
    again = Result.from_json(path)
    assert again.to_json() == text
    assert again.fit is None
    assert again.tidy().equals(event_study.tidy())
    assert repr(again) == repr(event_study)
    np.testing.assert_array_equal(again.uncertainty.vcov, event_study.uncertainty.vcov)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_json_of_every_strategy(cells, strategy, tmp_path):
    result = cells.infer(strategy)
    text = result.to_json(tmp_path / "result.json")
    assert Result.from_json(tmp_path / "result.json").to_json() == text


def test_json_of_a_synthetic_control(block, tmp_path):
    result = ge.fit(ge.synth.SyntheticDiD(), *block).aggregate(ge.overall()).infer(ge.PlaceboUnits(draws=20))
    text = result.to_json(tmp_path / "result.json")
    assert Result.from_json(tmp_path / "result.json").to_json() == text


def test_json_has_no_nan_and_is_strict(cells, tmp_path):
    body = json.loads(cells.infer(ge.ClusterRobust()).to_json(), parse_constant=lambda name: pytest.fail(name))
    assert body["rows"][0]["band_low"] is None


def test_two_runs_write_the_same_bytes(cells):
    strategy = ge.MultiplierBootstrap(draws=99, seed=7)
    assert cells.infer(strategy).to_json() == cells.infer(strategy).to_json()


@pytest.mark.parametrize("text", ["{}", "[]", '{"format": "other"}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ReportError, match="not a result file"):
        Result.from_json(path)


def test_glance_is_one_row(event_study):
    row = event_study.glance()
    assert len(row) == 1
    assert row.loc[0, "estimator"] == "CallawaySantAnna"
    assert row.loc[0, "n_units"] == 80
    assert row.loc[0, "n_treated"] == 50
    assert row.loc[0, "base_period"] == "varying"


def test_dropped_units_reach_notes_and_glance(panel):
    holes = panel.outcome.copy()
    holes[:4, 0] = np.nan
    balanced = panel.with_outcome(holes).balanced()
    fit = ge.fit(ge.did.CallawaySantAnna(), balanced, ge.staggered_design(balanced))
    result = fit.infer(ge.ClusterRobust())
    assert "4 units" in result.notes[0]
    assert result.glance().loc[0, "n_dropped_units"] == 4


def test_augment_puts_the_cell_effect_beside_each_treated_row(cells, panel):
    result = cells.infer(ge.ClusterRobust())
    table = result.augment(panel)
    assert len(table) == 80 * 6
    row = table[(table.cohort == 2003) & (table.time == 2005)].iloc[0]
    cell = result.tidy().query("cohort == 2003 and time == 2005").iloc[0]
    assert row.effect == cell.estimate
    assert row.event_time == 2
    assert table.loc[~table.treated, "effect"].isna().all()
    assert table.loc[np.isinf(table.cohort), "event_time"].isna().all()


@pytest.mark.parametrize("scheme", [ge.overall(), ge.by_event_time(), ge.by_cohort(), ge.by_calendar_time()], ids=repr)
def test_augment_of_aggregations(cells, panel, scheme):
    table = cells.aggregate(scheme).infer(ge.ClusterRobust()).augment(panel)
    assert table.loc[table.treated, "effect"].notna().all()


def test_results_are_read_only(event_study):
    with pytest.raises(AttributeError, match="read-only"):
        event_study.level = 0.9


def test_repr_shows_intervals_and_no_stars(event_study):
    text = repr(event_study)
    assert "95 % interval" in text
    assert "*" not in text
    assert "significant" not in text


def test_pickle(event_study):
    assert pickle.loads(pickle.dumps(event_study)).to_json() == event_study.to_json()
