"""Differences before schools were picked: a joint test, and a placebo estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.design.aggregation import overall
from groupeffect.design.baseline import BaselineWindow
from groupeffect.diagnostics.pretrends import Equivalence, PreTrends, equivalence, pretrends
from groupeffect.errors import EstimationError
from groupeffect.fitting import Fit
from groupeffect.inference.cluster import ClusterRobust
from groupeffect.reform.roles import row_means
from groupeffect.result import Result

__all__ = ["PreTrendReport", "halves_outcome", "pre_trend_report"]


@dataclass(frozen=True, slots=True)
class PreTrendReport:
    """What happened between treated and comparison schools inside the baseline window, before anybody was picked.

    Parameters
    ----------
    joint : PreTrends or None
        Test that every cohort moved with its comparison in every year of the window; None if nothing can be tested.
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
    strategy = ClusterRobust(cluster, correction="cr1")
    index = found.effects.index
    inside = (index.time >= baseline.first) & (index.time <= baseline.last) & (index.time < index.cohort)
    inside &= np.isfinite(found.effects.estimate)
    notes: list[str] = []
    joint = None
    if inside.any():
        joint = pretrends(found.infer(strategy), inside)
    else:
        notes.append("no difference inside the baseline window could be estimated")
    try:
        panel = found.panel
        again = found.rerun(panel=panel.with_outcome(halves_outcome(panel.outcome, panel.times, baseline)))
        placebo = again.aggregate(overall()).infer(strategy)
    except EstimationError as error:
        return PreTrendReport(joint, None, None, (*notes, f"no placebo estimate: {error.message}"))
    shown = equivalence(placebo, margin, rows=np.array([True]))
    return PreTrendReport(joint, placebo, shown, tuple(notes))


def halves_outcome(outcome: FloatArray, times: FloatArray, baseline: BaselineWindow) -> FloatArray:
    """Outcome that shows the first half of the window up to its end and the second half afterwards, shape (n, T).

    With an odd number of years the middle one is left out.
    """
    window = np.flatnonzero((times >= baseline.first) & (times <= baseline.last))
    half = len(window) // 2
    early, late = row_means(outcome[:, window[:half]]), row_means(outcome[:, window[-half:]])
    return np.where(times[None, :] <= baseline.last, early[:, None], late[:, None])
