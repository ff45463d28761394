"""What official reports do, to show how far it is off: before and after, and the last year before joining as base.

Nothing here is an estimate of an effect. Schools are picked on the scores of particular years; their luck in those
years returns to normal whether or not there is a reform, up for weak schools and down for core schools.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groupeffect._types import FloatArray, IntArray
from groupeffect.design.aggregation import overall
from groupeffect.design.design import staggered_design
from groupeffect.effects.effects import EffectIndex, Effects
from groupeffect.effects.influence import Influence
from groupeffect.errors import NoTreatedError
from groupeffect.fitting import fit
from groupeffect.panel.panel import Panel
from groupeffect.reform.bands import ClusterBand
from groupeffect.reform.effects import RoleEffect
from groupeffect.result import Result

__all__ = ["NaiveEstimate", "before_after", "last_year_base"]


@dataclass(frozen=True, slots=True)
class NaiveEstimate:
    """A number that must not be read as an effect.

    Parameters
    ----------
    kind : {"before_after", "last_year_base"}
    role : {"member", "core"}
    result : Result
        One row, with the term named after the kind.
    warning : str
        Why this is not an effect.
    """

    kind: str
    role: str
    result: Result
    warning: str

    @property
    def estimate(self) -> float:
        """The number, outcome units."""
        return float(self.result.estimate[0])

    @property
    def p_value(self) -> float:
        """Two-sided p-value of zero: how surely this would be called an effect."""
        return float(self.result.uncertainty.p_value[0])


def before_after(effect: RoleEffect) -> NaiveEstimate:
    """Mean change of the treated schools from the last year before joining to the years since, nobody compared.

    Parameters
    ----------
    effect : RoleEffect
        Names the schools; the same schools and years are used.

    Returns
    -------
    NaiveEstimate

    Raises
    ------
    NoTreatedError
        If no treated school is observed in the year before joining and since.
    """
    found = effect.fit
    panel, cohort = found.panel, found.design.cohort
    known = {(cell.cohort, cell.time) for cell in effect.support.cells if cell.phase == "after" and cell.identified}
    change, units = _changes(panel, cohort, known)
    if not len(units):
        raise NoTreatedError("No treated school is observed in the year before joining and since.")
    weight = panel.unit_weight[units]
    mean = float(np.average(change, weights=weight))
    values = np.zeros((panel.n_units, 1))
    np.add.at(values[:, 0], units, panel.n_units * weight * (change - mean) / weight.sum())
    effects = Effects(
        EffectIndex.build(term="before_after", n_treated=np.array([len(np.unique(units))]), size=1),
        np.array([mean]),
        influence=Influence(values, panel.unit_ids),
    )
    result = replace(found, effects=effects).infer(_strategy(effect), level=effect.overall.level)
    return NaiveEstimate("before_after", effect.role, result, _WARNING["before_after"])


def last_year_base(effect: RoleEffect) -> NaiveEstimate:
    """Compare the same schools, but with the last year before joining as base, and without taking out areas.

    This is what a group-time estimate does by default.

    Parameters
    ----------
    effect : RoleEffect
        Names the schools on both sides. With members against schools never in a group (the alternative of the default)
        the bias is largest; weak schools not yet in a group had the same bad luck and hide part of it.

    Returns
    -------
    NaiveEstimate
    """
    design = effect.fit.design
    again = staggered_design(
        effect.fit.panel,
        comparison=design.comparison,
        anticipation=design.anticipation,
        base_period="universal",
        cohort=design.cohort,
        comparison_pool=design.comparison_pool,
    )
    found = fit(effect.spec.estimator, effect.fit.panel, again).aggregate(overall())
    result = found.infer(_strategy(effect), level=effect.overall.level)
    return NaiveEstimate("last_year_base", effect.role, result, _WARNING["last_year_base"])


_WARNING = {
    "before_after": "Not an effect: nobody is compared, and schools picked in a bad (or good) year return to normal by "
    "themselves.",
    "last_year_base": "Not an effect: the base contains the years on whose scores schools were picked.",
}


def _strategy(effect: RoleEffect) -> ClusterBand:
    return ClusterBand(effect.spec.cluster)


def _changes(panel: Panel, cohort: FloatArray, known: set[tuple[float, float]]) -> tuple[FloatArray, IntArray]:
    """List the changes since the year before joining, and the unit of each."""
    change, units = [], []
    for g, time in sorted(known):
        before, now = np.flatnonzero(panel.times == g - 1), np.flatnonzero(panel.times == time)
        if not len(before):
            continue
        rows = np.flatnonzero(cohort == g)
        difference = panel.outcome[rows, now[0]] - panel.outcome[rows, before[0]]
        seen = np.isfinite(difference)
        change.append(difference[seen])
        units.append(rows[seen])
    if not change:
        return np.empty(0), np.empty(0, dtype=np.int64)
    return np.concatenate(change), np.concatenate(units)
