"""Every scenario does what its name says."""

import numpy as np
import pandas as pd
import pytest

from groupeffect.simulate import SCENARIOS, Parameters, simulate_panel, simulate_schools
from groupeffect.simulate.aggregates import net_effect

NAMES = [
    "clean",
    "null",
    "rtm_only",
    "core_safe",
    "core_borderline",
    "core_hollowed",
    "composition",
    "anticipation",
    "spillover",
    "co_reform",
    "universal",
    "few_counties",
    "mergers",
    "mnar",
    "rescale_bad",
    "exit_heavy",
    "negative",
]


def _one(truth: object, role: str, **options: object) -> float:
    return float(truth.overall(role, **options)["estimate"].iloc[0])  # type: ignore[attr-defined]


def test_the_list_is_complete_and_explained() -> None:
    assert list(SCENARIOS) == NAMES
    assert all(len(scenario.explanation) > 20 for scenario in SCENARIOS.values())
    known = set(Parameters.__dataclass_fields__)
    assert all(set(scenario.changes) <= known for scenario in SCENARIOS.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_runs(name: str) -> None:
    frame, truth = simulate_panel(name, n_schools=300, seed=1)
    assert np.isfinite(frame["score"]).all()
    assert frame.duplicated(["school_id", "year"]).sum() == 0
    assert np.isfinite(_one(truth, "member"))


@pytest.mark.parametrize("name", ["null", "rtm_only"])
def test_no_effect_of_any_kind(name: str) -> None:
    reform = simulate_schools(name, n_schools=400, seed=1, faults=False)
    frame = reform.truth.school_year()
    for column in [column for column in frame if column.startswith("tau")]:
        assert (frame[column] == 0.0).all()
    pair = simulate_schools("clean", n_schools=400, seed=1, faults=False)
    if name == "null":
        pd.testing.assert_frame_equal(reform.membership, pair.membership)


def test_rtm_only_has_no_county_shocks() -> None:
    _, truth = simulate_panel("rtm_only", seed=1)
    world = truth.world
    change = np.diff(world.base.common, axis=1)
    change = change - change.mean(axis=0)
    county = pd.DataFrame(change).groupby(world.population.county).mean().to_numpy()
    size = np.bincount(world.population.county)[:, None]
    # one-off shocks of SD 0.20: changes have variance 2 * 0.04, plus the yearly intake
    expected = (2 * 0.20**2 + 2 * (0.3 * 0.05) ** 2) / size
    assert (county**2 / expected).mean() == pytest.approx(1.0, abs=0.3)
    adjacent = np.corrcoef(change[:, 1], change[:, 2])[0, 1]
    assert adjacent == pytest.approx(-0.5, abs=0.06)


def test_core_scenarios() -> None:
    truths = {
        name: simulate_panel(name, seed=4)[1] for name in ("clean", "core_safe", "core_borderline", "core_hollowed")
    }
    assert _one(truths["core_safe"], "core") == 0.0
    assert _one(truths["core_borderline"], "core") == pytest.approx(-0.03, abs=1e-12)
    assert _one(truths["core_hollowed"], "core") == pytest.approx(-0.10, abs=1e-12)
    members = {name: _one(truth, "member") for name, truth in truths.items()}
    assert len(set(members.values())) == 1
    _, margin = simulate_panel("clean", seed=4, parameters=Parameters(core_mean=-0.05))
    assert _one(margin, "core") == pytest.approx(-0.05, abs=1e-12)


def test_composition() -> None:
    frame, truth = simulate_panel("composition", seed=4)
    _, plain = simulate_panel("clean", seed=4)
    assert _one(truth, "member", effect="direct") == pytest.approx(_one(plain, "member", effect="direct"))
    event = truth.att_event_time("member", 0, 3, effect="intake").set_index("event_time")["estimate"]
    # 0.3 * 0.06 + 0.3 * 0.03 per year of membership, less the years after an exit
    assert event[0] == 0.0
    assert event[1] == pytest.approx(0.027)
    assert 0.070 < event[3] <= 0.081
    other, _ = simulate_panel("null", seed=4)
    moved = frame["prior_mean"] - other["prior_mean"]
    assert moved[
        (frame["role"] == "member") & (frame["year"] == frame["join_year"] + 2) & frame["inside"]
    ].mean() == pytest.approx(0.12)
    assert (moved[frame["role"] != "member"] == 0).all()
    # the value-added outcome removes the intake part
    added, other_added = frame["value_added"] - other["value_added"], truth.direct[truth.world.examined]
    np.testing.assert_allclose(added, other_added, atol=1e-12)


def test_anticipation() -> None:
    _, truth = simulate_panel("anticipation", seed=4)
    lead = truth.att_event_time("member", -3, -1).set_index("event_time")["estimate"]
    np.testing.assert_allclose(lead, [0.0, 0.03, 0.06], atol=1e-12)
    _, plain = simulate_panel("clean", seed=4)
    assert plain.att_event_time("member", -1, -1)["estimate"].iloc[0] == pytest.approx(0.01, abs=0.002)
    assert plain.att_event_time("core", -1, -1)["estimate"].iloc[0] == 0.0


def test_co_reform() -> None:
    frame, truth = simulate_panel("co_reform", seed=4)
    plain, other = simulate_panel("clean", seed=4)
    early = truth.world.early_county[truth.world.population.county]
    shift = truth.y0 - other.y0
    after = truth.world.years >= 2022
    np.testing.assert_allclose(shift[early][:, after], 0.03, atol=1e-12)
    np.testing.assert_allclose(shift[~early], 0.0, atol=1e-12)
    np.testing.assert_allclose(shift[:, ~after], 0.0, atol=1e-12)
    first = truth.world.assignment.groups
    share = truth.world.early_county[first.county]
    assert share[first.wave == 2022].mean() > share[first.wave == 2025].mean()
    assert len(frame) == len(plain)
    files = simulate_schools("co_reform", n_schools=300, seed=4, faults=False).schools
    assert set(files["co_reforms"].dropna()) == {"double_reduction", "double_reduction;county_reform"}


def test_universal() -> None:
    frame, truth = simulate_panel("universal", seed=4)
    assert (frame["join_year"] > 0).all()
    assert truth.world.assignment.cohort.max() == 2025
    assert not truth.world.reference.any()
    reform = simulate_schools("universal", n_schools=400, seed=4)
    assert reform.scale["all_schools"].all()


def test_few_counties() -> None:
    frame, _ = simulate_panel("few_counties", seed=4)
    assert frame["county_id"].nunique() == 5
    assert frame["model"].nunique() == 3
    assert simulate_schools("clean", n_schools=300, n_counties=7, seed=1).schools["county_id"].nunique() == 7


def test_mergers() -> None:
    crosswalk = simulate_schools("mergers", seed=4).crosswalk
    counts = crosswalk["event"].value_counts()
    assert counts["merge"] == 150
    assert counts["rename"] == 75


def test_mnar() -> None:
    frame, truth = simulate_panel("mnar", seed=4)
    whole, _ = simulate_panel("clean", seed=4)
    lost = truth.world.withheld & truth.world.present
    assert len(frame) == len(whole) - lost.sum()
    assert 0.03 < lost.sum() / len(whole) < 0.15
    passing = truth.world.base.common + truth.noise
    passing = passing - passing.mean(axis=1, keepdims=True)
    assert passing[lost].mean() < -0.1
    scores = simulate_schools("mnar", seed=4, faults=False).scores
    assert scores["mean"].isna().mean() == pytest.approx(lost.sum() / len(whole), abs=0.01)
    assert scores["n_enrolled"].notna().all()


def test_rescale_bad() -> None:
    frame, truth = simulate_panel("rescale_bad", seed=4)
    plain, _ = simulate_panel("clean", seed=4)
    early = set(truth.labels["county_id"][truth.world.early_county[truth.world.population.county]])
    hit = frame["county_id"].isin(early) & (frame["year"] >= 2023)
    np.testing.assert_allclose(frame["score"][hit], 0.10 + 0.85 * plain["score"][hit], atol=1e-12)
    np.testing.assert_allclose(frame["score"][~hit], plain["score"][~hit], atol=1e-12)
    reform = simulate_schools("rescale_bad", seed=4, faults=False)
    other = simulate_schools("clean", seed=4, faults=False)
    assert set(reform.scores["exam_authority"]) == {"province"}
    ratio = (reform.scores["sd"] / other.scores["sd"])[reform.scores["year"] == 2025]
    assert ratio.quantile([0.1, 0.9]).tolist() == pytest.approx([0.85, 1.0], abs=0.01)


def test_exit_heavy() -> None:
    frame, truth = simulate_panel("exit_heavy", seed=4)
    able = (truth.world.assignment.role == 1) & (truth.world.assignment.cohort <= 2023)
    assert np.isfinite(truth.world.assignment.exit[able]).mean() == pytest.approx(0.25, abs=0.06)
    plain, other = simulate_panel("clean", seed=4)
    assert _one(truth, "member") < _one(other, "member")
    assert frame["exit_year"].count() > 3 * plain["exit_year"].count()


def test_negative() -> None:
    _, truth = simulate_panel("negative", seed=4)
    event = truth.att_event_time("member", 0, 3, effect="direct")["estimate"]
    assert (event < 0).all()
    net = net_effect(truth)
    assert net[net["time"].isna() & (net["term"] == "net")]["estimate"].iloc[0] < 0


@pytest.mark.parametrize("selection", ["latent", "random"])
def test_selection_without_regression_to_the_mean(selection: str) -> None:
    values = []
    for seed in range(12):
        frame, truth = simulate_panel("null", seed=seed, selection=selection)  # type: ignore[arg-type]
        wide = frame.pivot_table(index="school_id", columns="year", values="score")
        change = wide[[2022, 2023, 2024, 2025]].mean(axis=1) - wide[[2020, 2021]].mean(axis=1)
        change = change - change.mean()
        first = truth.labels["school_id"][(truth.world.assignment.role == 1) & (truth.world.assignment.cohort == 2022)]
        values.append(change.reindex(first).mean())
    assert abs(np.mean(values)) < 0.012


def test_pilot_and_county_exams_and_missing_year() -> None:
    parameters = Parameters(pilot_groups=8, exam_authority="county", missing_years=(2020,))
    reform = simulate_schools("clean", seed=5, parameters=parameters)
    groups = reform.truth.world.assignment.groups
    pilot = groups.wave == 2019
    assert pilot.sum() == 8
    assert len(np.unique(groups.county[pilot])) == 1
    assert 2020 not in set(reform.scores["year"])
    assert reform.scores["exam_authority"].nunique() == 18
    assert np.isfinite(reform.truth.school_year()["tau"]).all()
    assert 2020 not in set(reform.truth.att_gt("member")["time"])
