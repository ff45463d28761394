"""Golden bundles of the synthetic control family, and small panels with known effects."""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import groupeffect as ge

FOLDER = Path(__file__).parent.parent / "golden"


@cache
def load(name):
    """Panel, design, expected cases and arrays of one golden bundle of synthdid."""
    folder = FOLDER / "SyntheticDiD" / name
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    about = expected["panel"]
    columns = ge.Columns(unit=about["unit"], time=about["time"], outcome=about["outcome"])
    panel = ge.read_panel(pd.read_csv(folder / "data.csv"), columns)
    design = ge.block_design(panel, treated=tuple(about["treated"]), start=about["start"])
    names = [str(unit) for unit in panel.unit_ids[design.comparison_pool].tolist()]
    before = panel.times < about["start"]
    return SimpleNamespace(
        panel=panel,
        design=design,
        cases=expected["cases"],
        tolerance=expected["tolerance"],
        before=before,
        donors=panel.outcome[design.comparison_pool],
        target=panel.outcome[design.treated()].mean(axis=0),
        omega=lambda case: np.array([case["omega"].get(name, 0.0) for name in names]),
        lambda_=lambda case: np.array([case["lambda"].get(f"{time:g}", 0.0) for time in panel.times[before]]),
    )


@pytest.fixture(scope="session")
def bundle():
    return load


@pytest.fixture(scope="session")
def outcome_path():
    """Synthetic control of Proposition 99 by other solvers, on the data of ``bundle("prop99")``."""
    return json.loads((FOLDER / "SyntheticControl" / "prop99" / "expected.json").read_text(encoding="utf-8"))


def panel_of(outcome, *, first_time=2001, **columns):
    """Panel of an outcome matrix with units a00, a01, ..."""
    n, n_times = outcome.shape
    units = [f"a{row:02d}" for row in range(n)]
    frame = pd.DataFrame(
        {
            "unit": np.repeat(units, n_times),
            "time": np.tile(np.arange(first_time, first_time + n_times), n),
            "y": outcome.ravel(),
        }
    )
    return ge.read_panel(frame, ge.Columns(unit="unit", time="time", outcome="y", **columns))


@pytest.fixture(scope="session")
def make_panel():
    return panel_of


@pytest.fixture(scope="session")
def factor_block():
    """Noisy two-factor panel: 3 treated units of 25, 14 times, treated from the eleventh on, effect 2."""
    rng = np.random.default_rng(20)
    loadings = rng.normal(size=(25, 2))
    factors = rng.normal(size=(2, 14)).cumsum(axis=1)
    outcome = rng.normal(size=(25, 1)) + rng.normal(size=14) + loadings @ factors + 0.3 * rng.normal(size=(25, 14))
    outcome[:3, 10:] += 2.0
    panel = panel_of(outcome)
    return panel, ge.block_design(panel, treated=("a00", "a01", "a02"), start=2011)
