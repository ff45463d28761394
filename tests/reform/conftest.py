"""A small reform whose effects are known, without any generator: exact when there is no noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from groupeffect import Columns, Panel

YEARS = np.arange(2016, 2026, dtype=float)
WAVES = (2022.0, 2023.0, 2024.0, 2025.0)


@dataclass(frozen=True)
class Toy:
    """A panel, its true effects (n, T), and where the roles are."""

    panel: Panel
    tau: np.ndarray
    member: np.ndarray
    core: np.ndarray
    weak: np.ndarray
    outside: np.ndarray

    def mean_tau(self, effect) -> float:
        """True effect over the identified cells of a role effect, cohort-share weighted."""
        total = weight = 0.0
        for cell in effect.support.cells:
            if cell.phase == "after" and cell.identified:
                units = effect.fit.design.cohort == cell.cohort
                total += self.tau[units, int(cell.time - YEARS[0])].sum()
                weight += units.sum()
        return total / weight


def make_toy(
    *,
    n_groups: int = 40,
    n_ordinary: int = 1,
    n_outside: int = 120,
    n_areas: int = 6,
    noise: float = 1e-9,
    missing: float = 0.0,
    area_shock: float = 0.3,
    member_path: tuple[float, ...] = (0.03, 0.07, 0.10, 0.12),
    core_path: tuple[float, ...] = (-0.02, -0.04, -0.04, -0.04),
    waves: tuple[float, ...] = WAVES,
    late_weak: int = 0,
    seed: int = 0,
) -> Toy:
    """Groups of one core, two weak members and `n_ordinary` others; `late_weak` weak schools stay outside."""
    rng = np.random.default_rng(seed)
    per_group = 3 + n_ordinary
    n = n_groups * per_group + n_outside
    group = np.r_[np.repeat(np.arange(n_groups), per_group), np.full(n_outside, -1)]
    place = np.r_[np.tile(np.arange(per_group), n_groups), np.full(n_outside, -1)]
    core, member = place == 0, place > 0
    weak = (place == 1) | (place == 2)
    weak[n - late_weak : n] = True
    wave = np.array(waves)[np.arange(n_groups) % len(waves)]
    cohort = np.where(group >= 0, wave[group], np.inf)
    area = np.where(group >= 0, group % n_areas, np.arange(n) % n_areas)

    level = np.where(core, 0.5, np.where(weak, -0.5, 0.0)) + 0.3 * np.where(group < 0, np.arange(n) % 5 / 2 - 1, 0.0)
    shock = area_shock * rng.standard_normal((n_areas, len(YEARS)))
    y = level[:, None] + shock[area] + noise * rng.standard_normal((n, len(YEARS)))
    since = YEARS - cohort[:, None]
    step = np.clip(np.where(since >= 0, since, 0), 0, 3).astype(int)
    path = np.where(core[:, None], np.array(core_path)[step], np.array(member_path)[step])
    tau = np.where((since >= 0) & (group >= 0)[:, None], path, 0.0)
    y = y + tau
    if missing:
        y = np.where(rng.random(y.shape) < missing, np.nan, y)
    size = np.repeat((40 + 20 * (np.arange(n) % 7) + 200 * core)[:, None].astype(float), len(YEARS), axis=1)
    columns = Columns("school", "year", "score", "join", cell_size="enrol", outcome_unit="sd")
    panel = Panel(
        y,
        np.array([f"s{i:04d}" for i in range(n)], dtype=object),
        times=YEARS,
        adoption=cohort,
        columns=columns,
        cell_size=size,
        attributes={
            "role": np.where(core, "core", np.where(member, "member", "none")).astype(object),
            "group_id": np.array([f"G{g:03d}" if g >= 0 else None for g in group], dtype=object),
            "county_id": np.array([f"C{a}" for a in area], dtype=object),
            "designated_weak_year": np.where(weak, 2021.0, np.nan),
            "new_school": np.zeros(n, dtype=bool),
        },
    )
    return Toy(panel, tau, member, core, weak, group < 0)


@pytest.fixture(scope="session")
def build():
    return make_toy


@pytest.fixture(scope="session")
def toy() -> Toy:
    return make_toy(noise=1e-9)


@pytest.fixture(scope="session")
def noisy() -> Toy:
    return make_toy(noise=0.15, missing=0.05, seed=3)
