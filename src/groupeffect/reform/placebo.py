"""Differences before schools were picked: a joint test, and a placebo estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.design.aggregation import by_calendar_time, overall
from groupeffect.design.baseline import BaselineWindow
from groupeffect.diagnostics.pretrends import Equivalence, PreTrends, equivalence, pretrends
from groupeffect.effects.effects import EffectIndex
from groupeffect.effects.influence import Influence
from groupeffect.errors import EstimationError
from groupeffect.fitting import Fit
from groupeffect.reform.bands import ClusterBand
from groupeffect.reform.roles import row_means
from groupeffect.result import Result

__all__ = ["PreTrendReport", "halves_outcome", "pre_trend_report"]


@dataclass(frozen=True, slots=True)
class PreTrendReport:
    """What happened between treated and comparison schools inside the baseline window, before anybody was picked.

    Parameters
    ----------
    joint : PreTrends or None
        Test that treated schools moved with their comparison from every year of the window to its last one, cohorts
        averaged by their share; None if nothing can be tested.
    placebo : Result or None
        The overall estimate with the first half of the window in the place of the base and the second half in the place
        of the years since joining: same schools, same weights, no reform. Outcome units.
    equivalence : Equivalence or None
        Whether the placebo estimate is shown to lie within the margin.
    notes : tuple of str
        Why a part is missing.
    """

    joint: PreTrends | None
    placebo: Result | None
    equivalence: Equivalence | None
    notes: tuple[str, ...] = ()

    @property
    def excluded(self) -> bool:
        """Whether a violation as large as the margin is excluded."""
        return self.equivalence is not None and self.equivalence.equivalent

    @property
    def largest(self) -> float:
        """Absolute placebo estimate, outcome units; nan without one."""
        return float("nan") if self.placebo is None else abs(float(self.placebo.estimate[0]))


def pre_trend_report(found: Fit, baseline: BaselineWindow, cluster: str | None, margin: float) -> PreTrendReport:
    """Test a fit of cells within its baseline window.

    The years in which schools were picked are left out on purpose: there, weak schools dip and strong schools peak
    because they were picked for it.

    Parameters
    ----------
    found : Fit
        Cells, base period `baseline`.
    baseline : BaselineWindow
    cluster : str or None
        Cluster attribute.
    margin : float
        Difference that would not matter, outcome units.

    Returns
    -------
    PreTrendReport
    """
    strategy = ClusterBand(cluster)
    joint, notes = None, []
    yearly = _yearly(found, baseline)
    if yearly is None:
        notes.append("fewer than two years of the baseline window have an estimated difference")
    else:
        changes = yearly.infer(strategy)
        joint = pretrends(changes, np.ones(len(changes.estimate), dtype=bool))
    try:
        panel = found.panel
        again = found.rerun(panel=panel.with_outcome(halves_outcome(panel.outcome, panel.times, baseline)))
        placebo = again.aggregate(overall()).infer(strategy)
    except EstimationError as error:
        return PreTrendReport(joint, None, None, (*notes, f"no placebo estimate: {error.message}"))
    shown = equivalence(placebo, margin, rows=np.array([True]))
    return PreTrendReport(joint, placebo, shown, tuple(notes))


def _yearly(found: Fit, baseline: BaselineWindow) -> Fit | None:
    """Mean difference of the identified cohorts from their comparison, each year of the window less the last one."""
    index, estimate = found.effects.index, found.effects.estimate
    after = np.unique(index.cohort[(index.time >= index.cohort) & np.isfinite(estimate)])
    inside = (index.time >= baseline.first) & (index.time <= baseline.last) & (index.time < index.cohort)
    rows = np.flatnonzero(inside & np.isin(index.cohort, after) & np.isfinite(estimate))
    if len(np.unique(index.time[rows])) < 2:
        return None
    influence = found.effects.influence
    assert influence is not None
    # moved behind the panel's end, so that the one aggregation by calendar time averages the cohorts
    moved = index.time[rows] + (float(index.time.max()) - baseline.first + 1.0)
    cells = EffectIndex.build(
        term="att",
        cohort=index.cohort[rows],
        time=moved,
        n_treated=index.n_treated[rows],
        n_comparison=index.n_comparison[rows],
    )
    effects = replace(
        found.effects,
        index=cells,
        estimate=estimate[rows],
        influence=Influence(influence.values[:, rows], influence.unit_ids),
        weights=None,
        unidentified=(),
    )
    years = effects.aggregate(by_calendar_time())
    k = len(years.index)
    contrast = np.column_stack([np.eye(k - 1), -np.ones(k - 1)])
    labels = EffectIndex.build(
        term="pre_difference",
        time=np.unique(index.time[rows])[:-1],
        n_treated=years.index.n_treated[:-1],
        n_comparison=years.index.n_comparison[:-1],
    )
    return replace(found, effects=years.mapped(labels, contrast))


def halves_outcome(outcome: FloatArray, times: FloatArray, baseline: BaselineWindow) -> FloatArray:
    """Outcome that shows the first half of the window up to its end and the second half afterwards, shape (n, T).

    With an odd number of years the middle one is left out.
    """
    window = np.flatnonzero((times >= baseline.first) & (times <= baseline.last))
    half = len(window) // 2
    early, late = row_means(outcome[:, window[:half]]), row_means(outcome[:, window[-half:]])
    return np.where(times[None, :] <= baseline.last, early[:, None], late[:, None])
