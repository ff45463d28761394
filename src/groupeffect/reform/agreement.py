"""Whether two comparison pools tell the same story about the same schools."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groupeffect.design.aggregation import overall
from groupeffect.effects.effects import EffectIndex, Effects
from groupeffect.effects.influence import Influence
from groupeffect.fitting import Fit
from groupeffect.reform.bands import ClusterBand

__all__ = ["Agreement", "compare_pools"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Difference between two estimates of the effect on the same schools in the same years.

    Parameters
    ----------
    difference : float
        First minus second, outcome units.
    std_error : float
        From the joint influence of the two estimates.
    interval : tuple of float
        Pointwise.
    p_value : float
        Two-sided, of no difference.
    margin : float
        Difference that would not matter.
    agrees : bool
        The difference is within the margin and could be chance.
    n_cells : int
        Cohort x time cells that both could estimate.
    """

    difference: float
    std_error: float
    interval: tuple[float, float]
    p_value: float
    margin: float
    agrees: bool
    n_cells: int


def compare_pools(first: Fit, second: Fit, cluster: str | None, margin: float, level: float) -> Agreement | None:
    """Compare two fits of cells whose treated units are the same.

    Cells that both identify are averaged with the cohort shares of the first; the covariance of the two is exact
    because their influence functions share unit labels.

    Parameters
    ----------
    first, second : Fit
        Cells, on the same panel.
    cluster : str or None
        Cluster attribute.
    margin : float
        Difference that would not matter, outcome units.
    level : float
        Confidence level.

    Returns
    -------
    Agreement or None
        None if no cell after joining is identified by both.
    """
    here, other = _positions(first), _positions(second)
    shared = sorted(set(here) & set(other))
    if not shared:
        return None
    rows, matches = np.array([here[key] for key in shared]), np.array([other[key] for key in shared])
    mine, yours = first.effects, second.effects
    assert mine.influence is not None
    assert yours.influence is not None
    values = mine.influence.values[:, rows] - yours.influence.aligned(mine.influence.unit_ids)[:, matches]
    index = mine.index
    difference = Effects(
        EffectIndex.build(
            term="difference",
            cohort=index.cohort[rows],
            time=index.time[rows],
            event_time=index.event_time[rows],
            n_treated=index.n_treated[rows],
            n_comparison=index.n_comparison[rows],
        ),
        mine.estimate[rows] - yours.estimate[matches],
        influence=Influence(values, mine.influence.unit_ids),
        shares=mine.shares,
    )
    result = replace(first, effects=difference).aggregate(overall()).infer(ClusterBand(cluster), level=level)
    error = result.uncertainty.std_error
    assert error is not None
    low, high = result.uncertainty.interval[0]
    size = float(result.estimate[0])
    could_be_chance = bool(np.isnan(low) or low <= 0 <= high)
    return Agreement(
        size,
        float(error[0]),
        (float(low), float(high)),
        float(result.uncertainty.p_value[0]),
        margin,
        bool(abs(size) <= margin and could_be_chance),
        len(shared),
    )


def _positions(found: Fit) -> dict[tuple[float, float], int]:
    """Row of each identified cell after joining."""
    index = found.effects.index
    after = (index.time >= index.cohort) & np.isfinite(found.effects.estimate)
    return {(float(index.cohort[row]), float(index.time[row])): int(row) for row in np.flatnonzero(after)}
