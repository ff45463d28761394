"""Size and bias on the synthetic reform: slow, and with room for chance."""

from __future__ import annotations

import numpy as np
import pytest

from groupeffect import Columns, read_panel
from groupeffect.reform import analyse_reform, before_after
from groupeffect.simulate import simulate_panel

ATTRIBUTES = ("role", "group_id", "county_id", "stage", "designated_weak_year", "new_school")


def draws(scenario: str, number: int):
    for seed in range(number):
        frame, truth = simulate_panel(scenario, n_schools=1500, seed=seed)
        columns = Columns(
            "school_id", "year", "score", "join_year", (0,), cell_size="enrol", attributes=ATTRIBUTES, outcome_unit="sd"
        )
        yield analyse_reform(read_panel(frame, columns)), truth


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["null", "rtm_only"])
def test_size_where_nothing_happens(scenario):
    rejected: dict[str, list[bool]] = {"member": [], "core": [], "net": [], "before_after": []}
    for found, _ in draws(scenario, 60):
        for name in ("member", "core", "net"):
            rejected[name].append(bool(getattr(found, name).overall.uncertainty.p_value[0] < 0.05))
        rejected["before_after"].append(before_after(found.member).p_value < 0.05)
    # 60 draws at 5 %: more than 8 rejections have a probability below 1 %
    for name in ("member", "core", "net"):
        assert sum(rejected[name]) <= 8, (name, sum(rejected[name]))
    assert np.mean(rejected["before_after"]) > 0.3


@pytest.mark.slow
def test_bias_and_coverage_where_effects_are_known():
    errors: dict[str, list[tuple[float, bool]]] = {"member": [], "core": []}
    for found, truth in draws("clean", 40):
        for name in errors:
            effect = getattr(found, name)
            used = effect.used()
            row = {unit: i for i, unit in enumerate(truth.labels["school_id"])}
            tau = truth.tau[[row[unit] for unit in used["unit"]], (used["time"] - 2016).astype(int)]
            size = used.groupby("cohort")["unit"].nunique()
            cells = used.assign(tau=tau).groupby(["cohort", "time"])["tau"].mean().reset_index()
            true = float(np.average(cells["tau"], weights=size.loc[cells["cohort"]]))
            low, high = effect.interval
            errors[name].append((effect.estimate - true, low <= true <= high))
    for name, values in errors.items():
        error = np.array([value for value, _ in values])
        assert abs(error.mean()) < 3 * error.std(ddof=1) / np.sqrt(len(error)), name
        assert np.mean([covered for _, covered in values]) >= 0.85, name
