"""No estimate from a handful of comparison schools."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.design.cells import comparison_units, list_cells
from groupeffect.design.design import Design
from groupeffect.effects.effects import Effects, Unidentified
from groupeffect.effects.influence import Influence
from groupeffect.errors import NoComparisonError
from groupeffect.panel.panel import Panel
from groupeffect.protocols import Estimator
from groupeffect.registry import EstimatorInfo

__all__ = ["Supported"]


@dataclass(frozen=True, slots=True)
class Supported:
    """Another estimator without the cells that rest on too few comparison clusters.

    A cluster-robust variance needs several clusters on either side of a comparison. When schools outside run out, the
    last cells compare many treated schools with two or three school_groups yet to come, and reject a true null far too
    often.

    Parameters
    ----------
    inner : Estimator
        Gives cohort x time cells.
    cluster : str, optional
        Attribute of the panel that names the clusters; None = units.
    min_clusters : int, default 10
        Fewest clusters of comparison units observed at a time.
    """

    inner: Estimator
    cluster: str | None = None
    min_clusters: int = 10

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="Supported",
        label="difference-in-differences",
        reference="callaway2021",
        family="did",
        provides=frozenset({"influence", "refit", "weights"}),
        handles=frozenset({"staggered", "unbalanced", "unit_weight", "never_treated", "not_yet_treated"}),
    )

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Cells of the inner estimator; those with too few comparison clusters are nan and unidentified.

        Raises
        ------
        NoComparisonError
            If no cell after joining is left.
        """
        effects = self.inner.estimate(panel, design)
        counts = self._clusters(panel, design)
        index = effects.index
        found = np.array([counts.get((float(g), float(t)), 0) for g, t in zip(index.cohort, index.time, strict=True)])
        few: BoolArray = (found < self.min_clusters) & ~index.is_reference & np.isfinite(effects.estimate)
        if not few.any():
            return effects
        after = index.time >= index.cohort
        if not (after & ~few & np.isfinite(effects.estimate)).any():
            raise NoComparisonError(
                f"No cohort and year since joining has {self.min_clusters} clusters (school_groups yet to come, or "
                f"schools outside) to compare with; the most is {found[after].max()}.",
                hint="Use a wider comparison pool.",
            )
        return _without(effects, few, self.min_clusters)

    def _clusters(self, panel: Panel, design: Design) -> dict[tuple[float, float], int]:
        """Clusters of comparison units observed in each cell."""
        seen = np.isfinite(panel.outcome)
        labels = panel.unit_ids if self.cluster is None else panel.attributes[self.cluster]
        return {
            (cell.cohort, float(design.times[cell.time])): len(
                np.unique(labels[comparison_units(design, cell) & seen[:, cell.time]])
            )
            for cell in list_cells(design)
        }


def _without(effects: Effects, few: BoolArray, least: int) -> Effects:
    index, influence = effects.index, effects.influence
    estimate: FloatArray = np.where(few, np.nan, effects.estimate)
    lost = tuple(
        Unidentified(float(g), float(t), f"fewer than {least} clusters to compare with")
        for g, t in zip(index.cohort[few], index.time[few], strict=True)
        if t >= g
    )
    names = ", ".join(f"({cell.cohort:g}, {cell.time:g})" for cell in lost[:6])
    note = f"{len(lost)} treated cohort-times with fewer than {least} comparison clusters are not estimated: {names}"
    return replace(
        effects,
        estimate=estimate,
        influence=None if influence is None else Influence(np.where(few, 0.0, influence.values), influence.unit_ids),
        unidentified=(*effects.unidentified, *lost),
        notes=(*effects.notes, note) if lost else effects.notes,
    )
