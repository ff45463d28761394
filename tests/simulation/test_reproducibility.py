from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import pytest

from groupeffect.errors import SpecError
from groupeffect.simulate import Parameters, scenario_parameters, simulate_panel, simulate_schools, write_reform
from groupeffect.simulate.components import streams


def _bytes(folder: Path, seed: int) -> dict[str, bytes]:
    paths = write_reform(simulate_schools("clean", n_schools=300, seed=seed), folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, second = _bytes(tmp_path / "a", 5), _bytes(tmp_path / "b", 5)
    assert first.keys() == second.keys()
    assert all(first[name] == second[name] for name in first)
    other = _bytes(tmp_path / "c", 6)
    same = {name for name in first if first[name] == other[name]}
    assert same == {"codebook.csv"}


def test_scenarios_share_the_draws_of_everything_they_do_not_change() -> None:
    clean, clean_truth = simulate_panel("clean", n_schools=400, seed=2)
    null, null_truth = simulate_panel("null", n_schools=400, seed=2)
    same = ["school_id", "year", "join_year", "exit_year", "role", "group_id", "enrol", "n_tested", "dose_recv"]
    pd.testing.assert_frame_equal(clean[same], null[same])
    np.testing.assert_array_equal(clean_truth.y0, null_truth.y0)
    expected = null["score"] + clean_truth.tau[clean_truth.world.examined]
    np.testing.assert_allclose(clean["score"], expected, atol=1e-12)


def test_a_component_has_its_own_stream() -> None:
    plain, _ = simulate_panel("clean", n_schools=400, seed=3)
    leaving, _ = simulate_panel("clean", n_schools=400, seed=3, parameters=Parameters(exit_share=0.5, ring_effect=-0.1))
    pd.testing.assert_series_equal(
        plain["prior_mean"][plain["year"] < 2022], leaving["prior_mean"][plain["year"] < 2022]
    )
    assert plain["exit_year"].count() < leaving["exit_year"].count()
    first, second = streams(1), streams(1)
    first["pupils"].random(10)
    assert first["marks"].random() == second["marks"].random()


def test_panel_and_files_are_one_draw(clean: object) -> None:
    frame, truth = simulate_panel("clean", seed=11)
    other = clean.truth  # type: ignore[attr-defined]
    np.testing.assert_array_equal(truth.world.assignment.cohort, other.world.assignment.cohort)
    np.testing.assert_array_equal(truth.world.treatment.direct, other.world.treatment.direct)
    identity = (truth.y0 + truth.tau + truth.noise)[truth.world.examined]
    np.testing.assert_allclose(frame["score"], identity, atol=1e-12)


def test_faults_do_not_change_the_truth(clean: object, faulty: object) -> None:
    pd.testing.assert_frame_equal(clean.truth.school_year(), faulty.truth.school_year())  # type: ignore[attr-defined]


def test_speed(tmp_path: Path) -> None:
    start = process_time()
    write_reform(simulate_schools("clean", seed=1), tmp_path)
    assert process_time() - start < 10.0
    simulate_panel("null", seed=0)
    times = []
    for seed in range(3):
        start = process_time()
        simulate_panel("null", seed=seed)
        times.append(process_time() - start)
    assert min(times) < 0.15


@pytest.mark.parametrize("n_schools", [200, 3000])
def test_any_size(n_schools: int) -> None:
    reform = simulate_schools("clean", n_schools=n_schools, seed=4)
    world = reform.truth.world
    assert world.population.n == n_schools
    assert world.assignment.groups.n == round(189 * n_schools / 1500)
    assert np.isfinite(reform.truth.overall("member")["estimate"].iloc[0])


def test_refusals() -> None:
    with pytest.raises(SpecError, match="no scenario 'clear'"):
        simulate_schools("clear")
    with pytest.raises(SpecError, match="too few"):
        simulate_schools("clean", n_schools=40)
    with pytest.raises(SpecError, match="no year before 2020"):
        simulate_schools("clean", years=(2020, 2025))
    with pytest.raises(SpecError, match="n_counties is 0"):
        simulate_schools("clean", n_counties=0)
    with pytest.raises(SpecError, match="do not add up to one"):
        Parameters(stage_shares=(0.5, 0.2, 0.2))
    with pytest.raises(SpecError, match="not in 0-1"):
        replace(scenario_parameters("null"), weak_share=1.3)
