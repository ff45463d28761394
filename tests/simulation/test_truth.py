"""Aggregates of the truth against brute force over the school-years."""

import numpy as np
import pandas as pd
import pytest

from groupeffect.errors import SpecError
from groupeffect.simulate import SchoolReform, official_cv, score_gaps, simulate_panel, simulate_schools, theil
from groupeffect.simulate.aggregates import (
    att_by,
    att_by_subject,
    cost_effectiveness,
    dose_curve,
    exit_retention,
    export_curve,
    group_table,
    net_effect,
    optimal_targets,
    regression_discontinuity,
    ring_effect,
)
from groupeffect.simulate.inequality import weighted_quantile
from groupeffect.simulate.truth import Truth


def _rows(truth: Truth, role: str) -> pd.DataFrame:
    """Established schools of a role since joining."""
    frame = truth.school_year()
    new = set(truth.labels["school_id"][truth.world.population.is_new])
    frame = frame[(frame["role"] == role) & ~frame["school_id"].isin(new)]
    return frame.assign(event_time=frame["event_time"].astype(int), cohort=frame["cohort"].astype(int))


def _by_hand(frame: pd.DataFrame, column: str = "tau") -> pd.DataFrame:
    cells = frame.groupby(["cohort", "year"])[column].agg(["mean", "size"]).reset_index()
    size = frame.groupby("cohort")["school_id"].nunique()
    cells["share"] = cells["cohort"].map(size / size.sum())
    return cells


@pytest.mark.parametrize("role", ["member", "core"])
def test_cells_and_event_times(clean: SchoolReform, role: str) -> None:
    truth, frame = clean.truth, _rows(clean.truth, role)
    cells, hand = truth.att_gt(role), _by_hand(frame)
    pd.testing.assert_frame_equal(
        cells[["cohort", "time"]], hand[["cohort", "year"]].set_axis(["cohort", "time"], axis=1)
    )
    np.testing.assert_allclose(cells["estimate"], hand["mean"], atol=1e-12)
    np.testing.assert_array_equal(cells["n_treated"], hand["size"])
    np.testing.assert_allclose(cells["share"], hand["share"])

    hand["event_time"] = hand["year"] - hand["cohort"]
    for event, part in hand.groupby("event_time"):
        got = truth.att_event_time(role, event, event)
        assert got["estimate"].iloc[0] == pytest.approx(np.average(part["mean"], weights=part["share"]), abs=1e-12)
    # with every school seen in every year, cohort shares reduce to the plain mean over schools
    plain = frame.groupby("event_time")["tau"].mean()
    np.testing.assert_allclose(truth.att_event_time(role)["estimate"], plain, atol=1e-12)


def test_overall_kinds(clean: SchoolReform) -> None:
    truth = clean.truth
    frame = _rows(truth, "member")
    post = frame[frame["event_time"] >= 0]
    assert truth.overall("member")["estimate"].iloc[0] == pytest.approx(post["tau"].mean(), abs=1e-12)
    schools = post.groupby(["cohort", "school_id"])["tau"].mean()
    cohort = truth.overall("member", over="cohort")["estimate"].iloc[0]
    assert cohort == pytest.approx(schools.mean(), abs=1e-12)
    event = truth.overall("member", over="event_time")["estimate"].iloc[0]
    assert event == pytest.approx(post.groupby("event_time")["tau"].mean().mean(), abs=1e-12)
    calendar = truth.overall("member", over="calendar_time")["estimate"].iloc[0]
    assert calendar == pytest.approx(post.groupby("year")["tau"].mean().mean(), abs=1e-12)
    with pytest.raises(SpecError, match="unknown"):
        truth.overall("member", over="median")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="members and core schools"):
        truth.overall("neighbour")


def test_exactly_the_units_of_an_estimator(clean: SchoolReform) -> None:
    truth = clean.truth
    frame = _rows(truth, "member")
    chosen = frame["school_id"].unique()[::3]
    kept = frame[frame["school_id"].isin(chosen) & (frame["event_time"] >= 0)]
    assert truth.overall("member", chosen)["estimate"].iloc[0] == pytest.approx(kept["tau"].mean(), abs=1e-12)
    # school-years with holes: cells are means over what is there, shares count the schools
    seen = frame.sample(frac=0.6, random_state=1)
    hand = _by_hand(seen)
    got = truth.att_gt("member", seen[["school_id", "year"]])
    np.testing.assert_allclose(got["estimate"], hand["mean"], atol=1e-12)
    np.testing.assert_allclose(got["share"], hand["share"])
    weights = truth.world.pupils
    weighted = truth.overall("member", weight=weights)["estimate"].iloc[0]
    post = frame[frame["event_time"] >= 0]
    assert weighted == pytest.approx(np.average(post["tau"], weights=post["pupils"]), abs=1e-12)
    part = truth.overall("member", effect="direct")["estimate"].iloc[0]
    assert part == pytest.approx(post["tau_direct"].mean(), abs=1e-12)


def test_parts_add_up_and_subjects_average(clean: SchoolReform) -> None:
    frame = clean.truth.school_year()
    np.testing.assert_allclose(frame["tau"], frame[["tau_direct", "tau_intake", "tau_ring"]].sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(frame["tau"], frame[["tau_chinese", "tau_math", "tau_english"]].mean(axis=1), atol=1e-12)
    before = frame[(frame["event_time"] < -1).fillna(True)]
    assert (before["tau"] == 0).all()


def test_subgroups_and_subjects(clean: SchoolReform) -> None:
    truth = clean.truth
    frame = _rows(truth, "member")
    post = frame[frame["event_time"] >= 0]
    for name in ("model", "stage", "location", "county_id"):
        got = att_by(truth, name).set_index("level")  # type: ignore[arg-type]
        hand = post.groupby(name)["tau"].agg(["mean"])["mean"]
        np.testing.assert_allclose(got["estimate"], hand.loc[got.index], atol=1e-12)
        assert got["n_treated"].sum() == post["school_id"].nunique()
    subject = att_by_subject(truth).set_index("subject")["estimate"]
    for name in ("chinese", "math", "english"):
        assert subject[name] == pytest.approx(post[f"tau_{name}"].mean(), abs=1e-12)
    assert subject["math"] > subject["english"] > subject["chinese"]
    remote = att_by(truth, "remote").set_index("level")["estimate"]
    assert remote["True"] < remote["False"]
    with pytest.raises(SpecError, match="no attribute"):
        att_by(truth, "colour")  # type: ignore[arg-type]


def test_net_effect(clean: SchoolReform) -> None:
    net = net_effect(clean.truth)
    rows = pd.concat([_rows(clean.truth, role) for role in ("member", "core")])
    post = rows[rows["event_time"] >= 0]
    whole = net[net["time"].isna()].set_index("term")["estimate"]
    assert whole["net"] == pytest.approx(np.average(post["tau"], weights=post["pupils"]), abs=1e-12)
    last = net[(net["time"] == 2025) & (net["term"] == "net")]["estimate"].iloc[0]
    now = post[post["year"] == 2025]
    assert last == pytest.approx(np.average(now["tau"], weights=now["pupils"]), abs=1e-12)
    assert whole["core"] < 0 < whole["member"]


def test_reference_scale_is_what_a_reader_recovers(clean: SchoolReform) -> None:
    """Standardise the marks by the public convention and get the truth's own identity back."""
    keys = ["subject", "grade", "year", "exam_authority"]
    reference = clean.scores[clean.scores["school_id"].isin(clean.reference_ids)]

    def moments(cell: pd.DataFrame) -> pd.Series:
        mean = np.average(cell["mean"], weights=cell["n_tested"])
        within = np.average(cell["sd"] ** 2, weights=cell["n_tested"])
        between = np.average((cell["mean"] - mean) ** 2, weights=cell["n_tested"])
        return pd.Series({"m": mean, "s": np.sqrt(within + between)})

    scale = reference.groupby(keys)[["mean", "sd", "n_tested"]].apply(moments).reset_index()
    table = clean.scale.set_index(keys).loc[pd.MultiIndex.from_frame(scale[keys])]
    np.testing.assert_allclose(scale["s"], table["ref_sd"], rtol=1e-9)
    assert not table["all_schools"].any()
    scores = clean.scores.merge(scale, on=keys)
    standard = ((scores["mean"] - scores["m"]) / scores["s"]).groupby([scores["school_id"], scores["year"]]).mean()
    truth = clean.truth.school_year().set_index(["school_id", "year"])
    expected = truth["y0"] + truth["tau"] + truth["noise"]
    assert (standard - expected).abs().max() < 1e-3
    latent = 1 / clean.scale["slope"]
    assert latent.min() > 0.88
    assert latent.max() < 1.02


def test_pupil_sd_in_the_files_is_the_within_school_one(clean: SchoolReform) -> None:
    scores = clean.scores.merge(clean.scale, on=["subject", "grade", "year", "exam_authority"])
    ratio = scores["sd"] / scores["exam_sd"]
    pooled = np.sqrt(np.average(ratio**2, weights=scores["n_tested"] - 1))
    assert pooled == pytest.approx(np.sqrt(1 - 0.22), rel=0.01)


def test_official_cv_is_enrolment_weighted() -> None:
    pupils = [45, 37, 89, 76, 55]
    values = [6.20, 3.70, 10.51, 2.11, 7.31]
    assert official_cv(values, pupils) == pytest.approx(0.515, abs=5e-4)
    assert official_cv(values, np.ones(5)) == pytest.approx(0.489, abs=5e-4)


def test_official_cv_table_against_the_formula(clean: SchoolReform) -> None:
    schools = clean.schools
    cell = schools[(schools["county_id"] == "C03") & (schools["year"] == 2025) & (schools["stage"] == "primary")]
    cell = cell[~(cell["teaching_point"] & (cell["enrol"] < 50))]
    rows = clean.official_cv
    mine = rows[(rows["county_id"] == "C03") & (rows["year"] == 2025) & (rows["stage"] == "primary")].set_index(
        "indicator"
    )
    own = 100 * cell["backbone_own"] / cell["enrol"]
    moved = 100 * (cell["backbone_own"] + cell["backbone_recv"] - cell["backbone_sent"]) / cell["enrol"]
    assert mine.loc["backbone", "without"] == pytest.approx(official_cv(own, cell["enrol"]), abs=1e-12)
    assert mine.loc["backbone", "with_reform"] == pytest.approx(official_cv(moved, cell["enrol"]), abs=1e-12)
    assert mine.loc["floor", "without"] == mine.loc["floor", "with_reform"]
    indicators = mine.drop(index="composite")
    assert len(indicators) == 7
    assert mine.loc["composite", "without"] == pytest.approx(indicators["without"].mean())
    assert set(rows["threshold"]) == {0.45, 0.50}


def test_score_gaps(clean: SchoolReform) -> None:
    truth = clean.truth
    gaps = score_gaps(truth).set_index("measure")
    frame = truth.school_year().query("year == 2025")
    after = frame["y0"] + frame["tau"]
    assert gaps.loc["sd", "with_reform"] == pytest.approx(after.std(ddof=0))
    assert gaps.loc["sd", "change"] < 0
    assert gaps.loc["theil", "without"] == pytest.approx(
        gaps.loc["theil_between_counties", "without"] + gaps.loc["theil_within_counties", "without"]
    )
    assert theil([3.0, 3.0, 3.0], [1, 2, 3]) == pytest.approx(0.0)
    assert theil([1.0, 3.0], [1, 1]) == pytest.approx(0.5 * (0.5 * np.log(0.5) + 1.5 * np.log(1.5)))
    assert weighted_quantile([3.0, 1.0, 2.0], [1, 1, 8], 0.5) == 2.0


def test_dose_and_export_curves(clean: SchoolReform) -> None:
    curve = dose_curve(clean.truth, (0.0, 0.12, 0.48)).set_index("dose")["estimate"]
    assert curve[0.0] / curve[0.12] == pytest.approx(0.5)
    assert curve[0.48] / curve[0.12] == pytest.approx(1.5)
    export = export_curve(clean.truth, (0.10, 0.20, 0.30)).pivot_table(
        index="export_share", columns="compensated", values="estimate"
    )
    assert export.loc[0.10].tolist() == [0.0, 0.0]
    assert export.loc[0.30, False] == pytest.approx(2 * export.loc[0.20, False])
    assert export.loc[0.30, True] == pytest.approx(0.5 * export.loc[0.30, False])
    # the curve at a core school's own share is its own effect, up to the scale of its stage
    _, truth = simulate_panel("clean", seed=11)
    world = truth.world
    core = world.assignment.groups.core[world.assignment.groups.wave == 2022]
    own = export_curve(truth, world.treatment.export[core, -1])
    plain, paid = (own.loc[own["compensated"] == value, "estimate"].to_numpy() for value in (False, True))
    expected = np.where(world.staff.compensated[core], paid, plain)
    np.testing.assert_allclose(truth.direct[core, -1], expected, atol=1e-12)


def test_dose_curve_is_the_effect_at_the_own_dose() -> None:
    _, truth = simulate_panel("clean", seed=11)
    world = truth.world
    first = np.flatnonzero(
        (world.assignment.role == 1) & (world.assignment.cohort == 2022) & ~np.isfinite(world.assignment.exit)
    )
    own = world.staff.dose[first]
    z = world.base.standing[first]
    full = (0.12 - 0.03 * z) * world.treatment.multiplier[first] * (0.5 + 0.5 * np.sqrt(own / 0.12))
    np.testing.assert_allclose(truth.direct[first, -1], full, atol=1e-12)


def test_exit_retention() -> None:
    _, truth = simulate_panel("exit_heavy", seed=1)
    kept = exit_retention(truth)
    np.testing.assert_allclose(kept["retained"], [0.5, 0.25], atol=1e-12)
    assert kept["n"].iloc[0] > 60
    frame = truth.school_year().dropna(subset="exit_year")
    gone = frame[frame["year"] >= frame["exit_year"]]
    assert not gone["inside"].any()
    assert (frame["exit_year"] == frame["cohort"] + 2).all()


def test_ring_effect() -> None:
    _, truth = simulate_panel("spillover", seed=1)
    ring = ring_effect(truth)
    assert ring["estimate"].iloc[0] == pytest.approx(-0.02)
    frame = truth.school_year()
    assert (frame.loc[frame["exposed"], "role"] == "none").all()
    assert (frame.loc[frame["exposed"], "tau"] == -0.02).all()
    assert 0.2 < ring["n_exposed"].iloc[0] / ring["n_never"].iloc[0] < 0.8
    # distances: an exposed school has a member of its stage within 5 km that has joined
    schools = simulate_schools("spillover", seed=1, faults=False).schools.query("year == 2025")
    exposed = frame[frame["exposed"] & (frame["year"] == 2025) & (frame["stage"] == "primary")]["school_id"]
    place = schools.set_index("school_id")
    joined = place[place["join_year"].notna() & place["stage"].isin(["primary", "nine_year"])]
    joined = joined.loc[joined.index.isin(frame.loc[frame["role"] == "member", "school_id"])]
    for name in exposed.iloc[:20]:
        east = (joined["lon"] - place.loc[name, "lon"]) * 110.57 * np.cos(np.deg2rad(19.2))
        north = (joined["lat"] - place.loc[name, "lat"]) * 110.57
        assert np.hypot(east, north).min() <= 5.0


def test_cost(clean: SchoolReform) -> None:
    cost = cost_effectiveness(clean.truth).set_index(["term", "spending"])
    frame = _rows(clean.truth, "member")
    post = frame[frame["event_time"] >= 0]
    price = post["model"].map({"intensive": 900.0, "composite": 600.0, "loose": 200.0}) * post["inside"]
    total = (post["pupils"] * price).sum()
    per_tenth = total / ((post["pupils"] * post["tau"]).sum() / 0.1)
    assert cost.loc[("member", "planned"), "cost_per_tenth_sd"] == pytest.approx(per_tenth)
    assert cost.loc[("net", "planned"), "cost_per_tenth_sd"] > per_tenth
    realised = cost_effectiveness(clean.truth, clean.realised["ratio"].to_numpy()).set_index(["term", "spending"])
    assert realised.loc[("member", "realised"), "cost_per_tenth_sd"] < per_tenth


def test_optimal_targets(clean: SchoolReform) -> None:
    budget = 5e6
    ranked = optimal_targets(clean.truth, budget)
    chosen = ranked[ranked["chosen"]]
    assert 0 < chosen["cost"].sum() <= budget
    assert len(chosen) < len(ranked)
    ratio = ranked["pupil_sd"] / ranked["cost"]
    assert ratio.is_monotonic_decreasing
    rng = np.random.default_rng(0)
    for _ in range(20):
        shuffled = ranked.sample(frac=1.0, random_state=int(rng.integers(1_000_000)))
        other = shuffled[shuffled["cost"].cumsum() <= budget]
        assert other["pupil_sd"].sum() <= chosen["pupil_sd"].sum()
    assert not set(ranked["school_id"]) & set(clean.truth.labels["school_id"][clean.truth.labels["role"] == "core"])


def test_group_table(clean: SchoolReform) -> None:
    groups = group_table(clean.truth)
    members = clean.membership[clean.membership["role"] == "member"].groupby("group_id").size()
    np.testing.assert_array_equal(groups["n_members"], members.loc[groups["group_id"]])
    indices = groups[["mech_org", "mech_comm", "mech_inc", "mech_share", "mech_exit"]].to_numpy()
    np.testing.assert_allclose(groups["mechanism_factor"], 0.5 + indices @ [0.2, 0.2, 0.3, 0.3, 0.0])
    assert groups["mechanism_factor"].mean() == pytest.approx(1.0, abs=0.05)
    frame = clean.truth.school_year()
    one = frame[(frame["group_id"] == groups["group_id"][7]) & (frame["role"] == "member") & (frame["event_time"] >= 0)]
    assert groups["member_effect"][7] == pytest.approx(one["tau"].mean())


def test_discontinuity_of_the_cutoff_selection() -> None:
    _, truth = simulate_panel("clean", selection="cutoff", seed=2)
    assignment, stage = truth.world.assignment, truth.world.population.stage
    known = ~np.isnan(assignment.score)
    below = assignment.score < assignment.cutoff[stage]
    np.testing.assert_array_equal(assignment.weak[known], below[known])
    np.testing.assert_array_equal((assignment.role == 1)[known], below[known])
    cohort = assignment.cohort[known & below]
    assert abs(np.corrcoef(cohort, assignment.score[known & below])[0, 1]) < 0.12
    table = regression_discontinuity(truth, bandwidth=0.10)
    primary = table.set_index("stage").loc["primary"]
    near = known & below & (stage == 0) & (assignment.score > assignment.cutoff[0] - 0.10)
    effect = truth.tau[np.flatnonzero(near), (assignment.cohort[near] - 2016).astype(int)]
    kernel = 1 - (assignment.cutoff[0] - assignment.score[near]) / 0.10
    assert primary["estimate"] == pytest.approx(np.average(effect, weights=kernel))
    assert primary["n"] == near.sum()
