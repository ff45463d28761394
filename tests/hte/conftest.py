"""A small staggered reform with known effects of single schools."""

from dataclasses import dataclass

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.panel.panel import Panel

COHORTS = (2021.0, 2022.0, 2023.0)


@dataclass(frozen=True)
class Draw:
    panel: Panel
    tau: np.ndarray  # effect of each unit, treated or not
    design: object

    @property
    def treated(self):
        return np.isfinite(self.panel.adoption)


def draw(seed=0, n=300, *, noise=0.1, effect=0.3, slope=0.05, trend=0.02, selection=0.6, shock=0.05, design=None):
    """x moves selection, trends and effects; z moves selection; groups of about four share shocks."""
    rng = np.random.default_rng(seed)
    times = np.arange(2016.0, 2026.0)
    x, z = rng.normal(size=n), rng.normal(size=n)
    group = rng.integers(0, n // 4, n)
    own = rng.normal(size=n // 4)[group]
    chance = 1 / (1 + np.exp(-(selection * (x - 0.5 * z) + 0.3 * own)))
    adoption = np.where(rng.random(n) < 0.1 + 0.6 * chance, rng.choice(COHORTS, n), np.inf)
    outcome = rng.normal(size=(n, 1)) + rng.normal(size=10) + trend * x[:, None] * (times - 2016)
    outcome = outcome + noise * rng.normal(size=(n, 10)) + shock * (noise > 0) * rng.normal(size=(n // 4, 10))[group]
    tau = effect + slope * x
    outcome = outcome + np.where(times >= adoption[:, None], tau[:, None], 0)
    panel = Panel(
        outcome,
        np.array([f"school {i:04d}" for i in range(n)]),
        times=times,
        adoption=adoption,
        columns=ge.Columns(
            unit="school", time="year", outcome="score", cohort="join", covariates=("x", "z"), attributes=("group",)
        ),
        covariates=np.repeat(np.stack([x, z], axis=1)[:, None], 10, axis=1),
        attributes={"group": np.array([f"g{i}" for i in group])},
    )
    return Draw(panel, tau, ge.staggered_design(panel, **(design or {})))


@pytest.fixture(scope="session", name="draw")
def draw_fixture():
    return draw


@pytest.fixture(scope="session")
def noisy():
    return draw()


@pytest.fixture(scope="session")
def clean():
    return draw(noise=0.0)
