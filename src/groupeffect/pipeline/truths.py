"""The true effect that an estimate should have found: over exactly its schools, years and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import FloatArray

if TYPE_CHECKING:
    from groupeffect.reform.effects import RoleEffect

__all__ = ["TrueCells", "true_cells"]


@dataclass(frozen=True, slots=True)
class TrueCells:
    """True effects of the identified cohort x time cells of an estimate.

    Parameters
    ----------
    event_time, value, weight : ndarray of shape (k,)
        Time since joining, mean true effect over the school-years used, number of schools of the cohort.
    """

    event_time: FloatArray
    value: FloatArray
    weight: FloatArray

    def average(self, event_time: float = float("nan")) -> float:
        """Cohort-share weighted mean at one event time, or over all of them (nan); nan if there is no such cell."""
        chosen = np.isnan(event_time) | (self.event_time == event_time)
        weight = np.where(chosen, self.weight, 0.0)
        return float(weight @ self.value / weight.sum()) if weight.any() else float("nan")


def true_cells(effect: RoleEffect, tau: FloatArray) -> TrueCells:
    """True effects behind an estimate.

    Parameters
    ----------
    effect : RoleEffect
        Names the school-years behind each cell.
    tau : ndarray of shape (n, T)
        True effects on the rows and times of ``effect.fit.panel``.
    """
    index, design, panel = effect.fit.effects.index, effect.fit.design, effect.fit.panel
    table = effect.used()
    row = {unit: position for position, unit in enumerate(panel.unit_ids.tolist())}
    used = np.zeros(tau.shape, dtype=bool)
    used[[row[unit] for unit in table["unit"]], np.searchsorted(panel.times, table["time"])] = True
    found = []
    for cohort, time, estimate in zip(index.cohort, index.time, effect.fit.effects.estimate, strict=True):
        if time < cohort or np.isnan(estimate):
            continue
        members, column = design.cohort == cohort, int(np.searchsorted(panel.times, time))
        found.append((time - cohort, float(np.nanmean(tau[members & used[:, column], column])), members.sum()))
    cells = np.array(found, dtype=float).reshape(-1, 3)
    return TrueCells(cells[:, 0], cells[:, 1], cells[:, 2])
