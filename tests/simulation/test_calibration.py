"""The generator against the numbers it is calibrated to (roll-out, magnitudes, selection without effect)."""

import numpy as np
import pytest

from groupeffect.simulate import simulate_panel
from groupeffect.simulate.power import contrast, mde_table, sampling_variance
from groupeffect.simulate.scenarios import scenario_parameters
from groupeffect.simulate.selection import CORE, MEMBER
from groupeffect.simulate.world import World, build_world

DRAWS = 40


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    """Draws under zero effect."""
    parameters = scenario_parameters("null")
    return [build_world(parameters, n_schools=1500, years=(2016, 2025), seed=500 + k)[0] for k in range(DRAWS)]


def test_roll_out(worlds: list[World]) -> None:
    for world in worlds[:5]:
        groups = world.assignment.groups
        assert dict(zip(*np.unique(groups.wave, return_counts=True), strict=True)) == {
            2022: 50,
            2023: 60,
            2024: 50,
            2025: 29,
        }
        members = np.bincount(world.assignment.group[world.assignment.role == MEMBER], minlength=groups.n)
        assert members.min() >= 1
        assert members.max() <= 12
        assert 3.2 < members.mean() < 4.0
        weak = world.assignment.weak
        assert 0.27 < weak.mean() < 0.31
        assert (world.assignment.role[weak] == MEMBER).all()
        assert 620 < (world.assignment.role == MEMBER).sum() < 740


def test_composition(worlds: list[World]) -> None:
    stage = np.mean([np.bincount(world.population.stage, minlength=3) / 1500 for world in worlds], axis=0)
    location = np.mean([np.bincount(world.population.location, minlength=3) / 1500 for world in worlds], axis=0)
    np.testing.assert_allclose(stage, (0.75, 0.20, 0.05), atol=0.01)
    np.testing.assert_allclose(location, (0.25, 0.35, 0.40), atol=0.01)
    world = worlds[0]
    size, section = world.population.size, world.population.section_school
    junior = world.population.stage[section] == 1
    for code, median in enumerate((110, 60, 22)):
        assert np.median(size[~junior & (world.population.location[section] == code)]) == pytest.approx(
            median, rel=0.15
        )
    assert np.median(size[junior]) == pytest.approx(150, rel=0.15)
    rural = world.population.location[section] == 2
    first, last = world.base.n_tested[rural, 0].mean(), world.base.n_tested[rural, -1].mean()
    assert last / first == pytest.approx(0.99**9, abs=0.03)
    models = np.bincount(world.assignment.groups.model, minlength=3)
    assert (models > 0).all()
    for county in range(world.population.n_counties):
        assert len(np.unique(world.assignment.groups.model[world.assignment.groups.county == county])) <= 1


def test_variance_components(worlds: list[World]) -> None:
    between = np.mean([world.base.alpha.var(axis=0).mean() for world in worlds])
    assert between == pytest.approx(0.22, abs=0.02)
    correlation = np.mean([np.corrcoef(world.base.alpha.T)[0, 1] for world in worlds])
    assert correlation == pytest.approx(0.8, abs=0.03)
    scores = [world.school_scores() for world in worlds]
    adjacent = np.mean([np.corrcoef(score[:, 3], score[:, 4])[0, 1] for score in scores])
    assert adjacent == pytest.approx(0.90, abs=0.02)
    spread = np.mean([score[:, -1].std() for score in scores])
    assert 0.43 < spread < 0.52
    world = worlds[0]
    variance = world.base.noise.var(axis=2, ddof=1)
    expected = (1 - 0.75) * (1 - 0.22) / world.base.n_tested
    assert (variance / expected).mean() == pytest.approx(1.0, abs=0.05)


def test_cores_are_strong_and_large(worlds: list[World]) -> None:
    for world in worlds[:5]:
        core = world.assignment.role == CORE
        largest = np.zeros(world.population.n)
        np.maximum.at(largest, world.population.section_school, world.population.size)
        assert (largest[core] > 40).mean() > 0.97
        established = ~world.population.is_new
        upper = np.quantile(world.assignment.score[established], 0.5)
        assert (world.assignment.score[core] > upper).mean() > 0.9
        assert not (world.assignment.weak & core).any()
        assert (world.base.standing[core]).mean() > 0.7


def test_weaker_members_join_earlier(worlds: list[World]) -> None:
    first, last = [], []
    for world in worlds:
        weak = world.assignment.weak
        first.append(world.assignment.score[weak & (world.assignment.cohort == 2022)].mean())
        last.append(world.assignment.score[weak & (world.assignment.cohort == 2025)].mean())
    assert np.mean(first) < np.mean(last) - 0.05


def _change(world: World, schools: np.ndarray, before: tuple[int, int]) -> float:
    """Change of the schools after 2022, less that of all established schools."""
    score, years = world.school_scores(), world.years
    score = score - score[~world.population.is_new].mean(axis=0)
    base = (years >= before[0]) & (years <= before[1])
    return float((score[:, years >= 2022].mean(axis=1) - score[:, base].mean(axis=1))[schools].mean())


def test_regression_to_the_mean_without_any_effect(worlds: list[World]) -> None:
    """Before/after of the first wave: members appear to gain about 0.04, core schools to lose about 0.03."""
    members, small, cores, fair = [], [], [], []
    for world in worlds:
        first = world.assignment.cohort == 2022
        member = (world.assignment.role == MEMBER) & first & ~world.population.is_new
        low = world.pupils <= np.median(world.pupils[world.assignment.role == MEMBER])
        members.append(_change(world, member, (2020, 2021)))
        small.append(_change(world, member & low, (2020, 2021)))
        cores.append(_change(world, (world.assignment.role == CORE) & first, (2020, 2021)))
        fair.append(_change(world, member, (2016, 2019)))
    assert 0.03 < np.mean(members) < 0.06
    assert np.mean(small) > np.mean(members)
    assert -0.04 < np.mean(cores) < -0.015
    assert abs(np.mean(fair)) < 0.015


def _estimates(worlds: list[World], design: str, base: str) -> tuple[float, float, float]:
    """Mean and SD over draws, and root mean exact variance, of a reference estimate."""
    weights = [contrast(world, design, base) for world in worlds]  # type: ignore[arg-type]
    values = [float((a * world.school_scores()).sum()) for a, world in zip(weights, worlds, strict=True)]
    exact = [sampling_variance(world, a) for a, world in zip(weights, worlds, strict=True)]
    return float(np.mean(values)), float(np.std(values, ddof=1)), float(np.sqrt(np.mean(exact)))


def test_last_year_base_is_biased_and_the_early_window_is_not(worlds: list[World]) -> None:
    late, _, _ = _estimates(worlds, "members_vs_never", "last_before")
    early, _, _ = _estimates(worlds, "members_vs_never", "before_designation")
    assert 0.015 < late < 0.04
    assert abs(early) < 0.013
    weak, _, _ = _estimates(worlds, "weak_vs_not_yet", "before_designation")
    assert abs(weak) < 0.015


@pytest.mark.parametrize("design", ["members_vs_never", "cores_vs_never"])
def test_exact_sampling_variance_matches_the_draws(worlds: list[World], design: str) -> None:
    _, spread, exact = _estimates(worlds, design, "before_designation")
    assert exact == pytest.approx(spread, rel=0.35)
    assert 0.010 < exact < 0.022


def test_mde_table_is_2_8_sampling_sd(worlds: list[World]) -> None:
    table = mde_table(worlds[0])
    np.testing.assert_allclose(table["mde"], 2.8 * table["sampling_sd"])
    assert set(table["design"]) == {"members_vs_never", "weak_vs_not_yet", "cores_vs_never"}
    wide = table.set_index(["design", "base"])["mde"]
    assert wide["weak_vs_not_yet", "before_designation"] > wide["members_vs_never", "before_designation"]


def test_rtm_only_has_no_bias_before_designation_but_a_large_one_at_the_last_year() -> None:
    parameters = scenario_parameters("rtm_only")
    worlds = [build_world(parameters, n_schools=1500, years=(2016, 2025), seed=k)[0] for k in range(20)]
    late, _, _ = _estimates(worlds, "members_vs_never", "last_before")
    early, spread, _ = _estimates(worlds, "members_vs_never", "before_designation")
    assert late > 0.03
    assert abs(early) < 3 * spread / np.sqrt(20)


def test_default_effect_sizes() -> None:
    overall, core, net = [], [], []
    for seed in range(12):
        _, truth = simulate_panel("clean", seed=seed)
        overall.append(truth.overall("member", effect="direct")["estimate"].iloc[0])
        core.append(truth.overall("core")["estimate"].iloc[0])
        both = (truth.used("member") | truth.used("core")) & (truth.event_time >= 0)
        load = both * truth.world.pupils[:, None]
        net.append((load * truth.tau).sum() / load.sum())
    assert 0.045 < np.mean(overall) < 0.075
    assert -0.045 < np.mean(core) < -0.02
    assert 0.01 < np.mean(net) < 0.05
