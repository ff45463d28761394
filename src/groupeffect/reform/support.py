"""Where a comparison exists: cohort by year, and the last event time that can be estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.design.baseline import BaselineWindow
from groupeffect.design.cells import Cell, comparison_units
from groupeffect.design.design import Design, base_times
from groupeffect.fitting import Fit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SupportCell", "SupportMap", "support_map"]

_REMAINS: Final = {
    "weak": "comparable weak school",
    "all_never": "school that was never in a group",
    "weak_vs_never": "school that was never in a group",
    "strong": "comparable strong school",
    "not_yet_core": "core school of a group not yet founded",
}


@dataclass(frozen=True, slots=True)
class SupportCell:
    """One cohort at one time.

    Parameters
    ----------
    cohort, time, event_time : float
    n_treated, n_comparison : int
        Units of the cohort and units it can be compared with; with a fit, those observed at that time.
    phase : {"baseline", "selection", "before", "after"}
        Base period; after it but before the first joining of the design (when schools were picked); later but before
        the cohort's own joining; since then.
    identified : bool
        An effect (or, before joining, a pre-treatment difference) can be estimated.
    """

    cohort: float
    time: float
    event_time: float
    n_treated: int
    n_comparison: int
    phase: str
    identified: bool


@dataclass(frozen=True, slots=True)
class SupportMap:
    """Which effects the data can show.

    Parameters
    ----------
    cells : tuple of SupportCell
        Every cohort of treated units at every time, in order.
    last_event_time : float
        Longest time since joining at which some cohort can still be compared; nan = none.
    last_time : float
        Last calendar time with an identified effect; nan = none.
    exhausted_from : float
        First later time at which treated units are seen but no comparison is left; nan = there is none.
    pool : str
        Comparison pool, for the wording.
    """

    cells: tuple[SupportCell, ...]
    last_event_time: float
    last_time: float
    exhausted_from: float
    pool: str = ""

    def frame(self) -> pd.DataFrame:
        """One row per cell."""
        import pandas as pd

        names = list(SupportCell.__dataclass_fields__)
        return pd.DataFrame([[getattr(cell, name) for name in names] for cell in self.cells], columns=names)

    def by_event_time(self) -> pd.DataFrame:
        """Per time since joining: cohorts seen, cohorts identified, treated units and fewest comparison units."""
        import pandas as pd

        rows = []
        for e in sorted({cell.event_time for cell in self.cells if cell.event_time >= 0}):
            seen = [cell for cell in self.cells if cell.event_time == e]
            known = [cell for cell in seen if cell.identified]
            fewest = min((cell.n_comparison for cell in known), default=0)
            rows.append((e, len(seen), len(known), sum(cell.n_treated for cell in known), fewest))
        return pd.DataFrame(rows, columns=["event_time", "n_cohorts", "n_identified", "n_treated", "fewest_comparison"])

    @property
    def horizon(self) -> str:
        """One sentence on where knowledge ends; empty if nothing is beyond support."""
        if np.isnan(self.exhausted_from):
            return ""
        remains = _REMAINS.get(self.pool, "comparable school")
        return (
            f"From {self.exhausted_from:g} on no {remains} remains outside; later effects cannot be estimated from "
            "these data."
        )


def support_map(source: Fit | Design, pool: str = "") -> SupportMap:
    """Support of a staggered design.

    Parameters
    ----------
    source : Fit or Design
        With a fit (cells, not aggregated) units count where they are observed, and a cell that could not be computed is
        not identified. With a design alone every unit counts at every time.
    pool : str, default ""
        Name of the comparison pool, for the wording of ``horizon``.

    Returns
    -------
    SupportMap
    """
    design = source.design if isinstance(source, Fit) else source
    seen = np.ones((len(design.unit_ids), len(design.times)), dtype=bool)
    estimated: set[tuple[float, float]] | None = None
    if isinstance(source, Fit):
        seen = np.isfinite(source.panel.outcome)
        index, estimate = source.effects.index, source.effects.estimate
        estimated = {
            (float(g), float(t)) for g, t, x in zip(index.cohort, index.time, estimate, strict=True) if np.isfinite(x)
        }
    cohorts = np.unique(design.cohort[design.cohort <= design.times[-1]])
    cells = tuple(
        _cell(design, seen, float(g), position, float(cohorts.min()), estimated)
        for g in cohorts
        for position in range(len(design.times))
    )
    after = [cell for cell in cells if cell.phase == "after"]
    known = [cell for cell in after if cell.identified]
    last_time = max((cell.time for cell in known), default=float("nan"))
    floor = -np.inf if np.isnan(last_time) else last_time
    later = [cell.time for cell in after if cell.time > floor and cell.n_treated > 0]
    return SupportMap(
        cells,
        last_event_time=max((cell.event_time for cell in known), default=float("nan")),
        last_time=last_time,
        exhausted_from=min(later, default=float("nan")),
        pool=pool,
    )


def _cell(
    design: Design,
    seen: BoolArray,
    cohort: float,
    position: int,
    first: float,
    estimated: set[tuple[float, float]] | None,
) -> SupportCell:
    time = float(design.times[position])
    base = base_times(design.times, cohort, design.anticipation, design.baseline)
    treated = (design.cohort == cohort) & seen[:, position]
    n_comparison = 0
    if len(base):
        last = max(time, float(design.times[base[-1]]))
        cell = Cell(cohort, position, base, last + design.anticipation)
        n_comparison = int((comparison_units(design, cell) & seen[:, position]).sum())
    if estimated is None:
        identified = bool(len(base)) and n_comparison > 0 and bool(treated.any())
    else:
        identified = (cohort, time) in estimated
    phase = _phase(design, design.times[base], time, cohort, first)
    return SupportCell(cohort, time, time - cohort, int(treated.sum()), n_comparison, phase, identified)


def _phase(design: Design, base: FloatArray, time: float, cohort: float, first: float) -> str:
    if time >= cohort:
        return "after"
    if time in base:
        return "baseline"
    window = design.baseline
    if isinstance(window, BaselineWindow) and window.last < time < first:
        return "selection"
    return "before"
