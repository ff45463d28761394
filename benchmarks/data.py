"""A staggered panel for timing: cohorts depend on a covariate, effects on cohort and exposure."""

import numpy as np
import pandas as pd

SIZES = {"small": (2_000, 8, 4), "medium": (20_000, 10, 5), "large": (200_000, 10, 5)}


def staggered_panel(n_units: int, n_times: int, n_cohorts: int, seed: int = 20261122) -> pd.DataFrame:
    """Long table id, t, y, x, g (0 = never treated), sorted by id and t, as an analyst would hand it over."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_units)
    starts = np.linspace(3, n_times - 1, n_cohorts).round()
    # propensity rises with x; about three units in ten are never treated
    rank = np.argsort(np.argsort(0.6 * x + rng.logistic(size=n_units))) / n_units
    position = np.floor((rank - 0.3) / 0.7 * n_cohorts).astype(int)
    cohort = np.where(rank < 0.3, 0, starts[rng.permutation(n_cohorts)[np.clip(position, 0, n_cohorts - 1)]])
    times = np.arange(1, n_times + 1)
    exposure = times[None, :] - cohort[:, None]
    treated = (cohort[:, None] > 0) & (exposure >= 0)
    effect = np.where(treated, 1 + 0.3 * exposure + 0.05 * cohort[:, None], 0.0)
    level = rng.normal(size=(n_units, 1)) + 0.15 * x[:, None] * times + 0.2 * times
    outcome = level + effect + rng.normal(size=(n_units, n_times))
    return pd.DataFrame(
        {
            "id": np.repeat(np.arange(n_units), n_times),
            "t": np.tile(times, n_units),
            "y": outcome.ravel(),
            "x": np.repeat(x, n_times),
            "g": np.repeat(cohort, n_times).astype(int),
        }
    )
