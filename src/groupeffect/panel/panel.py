"""The validated panel: arrays of units x times, checked once, then read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from groupeffect._types import NEVER, AnyArray, FloatArray
from groupeffect.errors import PanelError, UnbalancedError
from groupeffect.panel.columns import Columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Drop", "Panel"]


@dataclass(frozen=True, slots=True)
class Drop:
    """One entry of a panel's history: what was left out or changed, why, how much of it.

    Parameters
    ----------
    step : str
        The step that did it, for example ``"read_panel"`` or ``"balanced"``.
    reason : str
        Why, in words for a reader.
    rows : int
        Table rows (unit-times) concerned.
    units : int
        Units that left the panel completely.
    examples : tuple of str
        The first few units or keys concerned.
    """

    step: str
    reason: str
    rows: int = 0
    units: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """Outcomes of n units at T times, with everything known about the units.

    Use :func:`groupeffect.read_panel` to make one; the constructor checks shapes only.

    Parameters
    ----------
    outcome : ndarray of shape (n, T)
        Outcome in outcome units; nan = not observed.
    unit_ids : ndarray of shape (n,)
        Unique unit labels.
    times : ndarray of shape (T,)
        Strictly increasing integers.
    adoption : ndarray of shape (n,)
        First treated time; inf = never treated.
    exit : ndarray of shape (n,)
        Time from which the unit is no longer treated; inf = stays.
    unit_weight : ndarray of shape (n,)
        Positive sampling weights; one by default.
    cell_size : ndarray of shape (n, T), optional
        Pupils behind each outcome.
    covariates : ndarray of shape (n, T, p)
        Covariates, named by ``columns.covariates``.
    attributes : mapping of str to ndarray of shape (n,)
        Labels that are constant within units.
    columns : Columns
        Names of the columns the arrays came from.
    history : tuple of Drop
        Every row and unit left out or merged on the way, with counts.

    Raises
    ------
    PanelError
        If shapes disagree, times are not increasing or unit labels repeat.
    """

    outcome: FloatArray
    unit_ids: AnyArray
    times: FloatArray = field(kw_only=True)
    adoption: FloatArray = field(kw_only=True)
    columns: Columns = field(kw_only=True)
    exit: FloatArray = field(default=cast("FloatArray", None), kw_only=True)
    unit_weight: FloatArray = field(default=cast("FloatArray", None), kw_only=True)
    cell_size: FloatArray | None = field(default=None, kw_only=True)
    covariates: FloatArray = field(default=cast("FloatArray", None), kw_only=True)
    attributes: Mapping[str, AnyArray] = field(default_factory=dict, kw_only=True)
    history: tuple[Drop, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        n, n_times = self.outcome.shape
        freeze = object.__setattr__
        defaults = {"exit": np.full(n, NEVER), "unit_weight": np.ones(n), "covariates": np.empty((n, n_times, 0))}
        for name, value in defaults.items():
            if getattr(self, name) is None:
                freeze(self, name, value)
        expected = {
            "unit_ids": (n,),
            "times": (n_times,),
            "adoption": (n,),
            "exit": (n,),
            "unit_weight": (n,),
            "covariates": (n, n_times, len(self.columns.covariates)),
        }
        if self.cell_size is not None:
            expected["cell_size"] = (n, n_times)
        wrong = [
            f"{name} has shape {np.shape(getattr(self, name))}, expected {shape}"
            for name, shape in expected.items()
            if np.shape(getattr(self, name)) != shape
        ]
        wrong += [
            f"attribute {name!r} has shape {np.shape(values)}, expected {(n,)}"
            for name, values in self.attributes.items()
            if np.shape(values) != (n,)
        ]
        if wrong:
            raise PanelError("The arrays of the panel do not fit together: " + "; ".join(wrong) + ".")
        if n_times > 1 and not np.all(np.diff(self.times) > 0):
            raise PanelError("The times of a panel must increase strictly.")
        if not _all_different(self.unit_ids):
            raise PanelError("The unit labels of a panel must be unique.")
        for name in ("outcome", "unit_ids", "times", "adoption", "exit", "unit_weight", "cell_size", "covariates"):
            values = getattr(self, name)
            if values is not None:
                freeze(self, name, _locked(values))
        freeze(self, "attributes", MappingProxyType({key: _locked(value) for key, value in self.attributes.items()}))

    def __reduce__(self) -> tuple[object, ...]:
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        state["attributes"] = dict(self.attributes)
        return (_rebuild_panel, (state,))

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.outcome.shape[0])

    @property
    def n_times(self) -> int:
        """Number of times."""
        return int(self.outcome.shape[1])

    @property
    def is_balanced(self) -> bool:
        """Whether every outcome is observed."""
        return bool(np.isfinite(self.outcome).all())

    def take_units(self, rows: AnyArray, *, reason: str | None = None) -> Panel:
        """Panel of some units (a boolean mask or row numbers), in the order given.

        Parameters
        ----------
        rows : ndarray
            Boolean mask of shape (n,) or integer positions.
        reason : str, optional
            Why units are left out; if given, it enters ``history``.
        """
        positions = np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows)
        history = self.history
        lost = np.setdiff1d(np.arange(self.n_units), positions)
        if reason is not None and len(lost):
            examples = tuple(str(unit) for unit in self.unit_ids[lost[:3]])
            seen = int(np.isfinite(self.outcome[lost]).sum())
            history = (*history, Drop("take_units", reason, rows=seen, units=len(lost), examples=examples))
        optional = None if self.cell_size is None else self.cell_size[positions]
        return replace(
            self,
            outcome=self.outcome[positions],
            unit_ids=self.unit_ids[positions],
            adoption=self.adoption[positions],
            exit=self.exit[positions],
            unit_weight=self.unit_weight[positions],
            cell_size=optional,
            covariates=self.covariates[positions],
            attributes={name: values[positions] for name, values in self.attributes.items()},
            history=history,
        )

    def with_outcome(self, outcome: FloatArray) -> Panel:
        """Same units and times with another outcome of shape (n, T)."""
        return replace(self, outcome=outcome)

    def with_unit_weight(self, unit_weight: FloatArray) -> Panel:
        """Same panel with other unit weights of shape (n,)."""
        return replace(self, unit_weight=unit_weight)

    def without_exits(self) -> Panel:
        """Same panel with every unit treated for good from its first treated time on (effects of ever joining)."""
        return replace(self, exit=np.full(self.n_units, NEVER))

    def with_attributes(self, **attributes: AnyArray) -> Panel:
        """Same panel with further attributes, each of shape (n,)."""
        return replace(self, attributes={**self.attributes, **attributes})

    def balanced(self, policy: Literal["drop_units", "drop_times", "refuse"] = "drop_units") -> Panel:
        """Panel without holes in the outcome or covariates, by an explicit policy that enters ``history``.

        Parameters
        ----------
        policy : {"drop_units", "drop_times", "refuse"}, default "drop_units"
            Leave out units with any hole (what R's ``did`` does by default), leave out times with any hole, or raise.

        Raises
        ------
        UnbalancedError
            With ``policy="refuse"`` if there is a hole; with the others if nothing would be left.
        """
        hole = ~np.isfinite(self.outcome) | ~np.isfinite(self.covariates).all(axis=2)
        if not hole.any():
            return self
        if policy == "refuse":
            rows, columns = np.nonzero(hole)
            first = zip(rows[:3], columns[:3], strict=True)
            cells = ", ".join(f"{self.unit_ids[i]} at {self.times[t]:g}" for i, t in first)
            raise UnbalancedError(
                f"{int(hole.sum())} of {hole.size} unit-times are not observed (first: {cells}).",
                hint='Use balanced("drop_units"), or an estimator that handles unbalanced panels.',
            )
        axis = 1 if policy == "drop_units" else 0
        keep = np.asarray(~hole.any(axis=axis))
        if not keep.any():
            raise UnbalancedError(
                f"Every {'unit' if axis else 'time'} has a hole, so {policy!r} would leave nothing.",
                hint="Use an estimator that handles unbalanced panels.",
            )
        if policy == "drop_units":
            return self.take_units(keep, reason="not observed at every time (balanced: drop_units)")
        lost = int(np.isfinite(self.outcome[:, ~keep]).sum())
        gone = tuple(f"{time:g}" for time in self.times[~keep][:3])
        return replace(
            self,
            outcome=self.outcome[:, keep],
            times=self.times[keep],
            cell_size=None if self.cell_size is None else self.cell_size[:, keep],
            covariates=self.covariates[:, keep],
            history=(*self.history, Drop("balanced", "time with holes (drop_times)", rows=lost, examples=gone)),
        )

    def to_frame(self) -> pd.DataFrame:
        """Long table, one row per observed unit-time, with the column names of ``columns``."""
        import pandas as pd

        rows, cols = np.nonzero(np.isfinite(self.outcome))
        names = self.columns
        data: dict[str, AnyArray] = {
            names.unit: self.unit_ids[rows],
            names.time: self.times[cols],
            names.outcome: self.outcome[rows, cols],
        }
        if names.cohort is not None:
            data[names.cohort] = self.adoption[rows]
        if names.exit is not None:
            data[names.exit] = self.exit[rows]
        if names.weight is not None:
            data[names.weight] = self.unit_weight[rows]
        if names.cell_size is not None and self.cell_size is not None:
            data[names.cell_size] = self.cell_size[rows, cols]
        for k, name in enumerate(names.covariates):
            data.setdefault(name, self.covariates[rows, cols, k])
        for name, values in self.attributes.items():
            data.setdefault(name, values[rows])
        return pd.DataFrame(data)

    def __repr__(self) -> str:
        treated = int(np.isfinite(self.adoption).sum())
        holes = int((~np.isfinite(self.outcome)).sum())
        return (
            f"Panel({self.n_units} units x {self.n_times} times {self.times[0]:g}-{self.times[-1]:g}, "
            f"{treated} ever treated, {holes} unobserved cells, outcome {self.columns.outcome!r} "
            f"in {self.columns.outcome_unit})"
        )


def _rebuild_panel(state: dict[str, object]) -> Panel:
    return Panel(**state)  # type: ignore[arg-type]


def _all_different(labels: AnyArray) -> bool:
    """Whether no label repeats; quick when they are sorted, as they are after reading."""
    if labels.dtype == object:
        return len(set(labels)) == len(labels)
    if (labels[1:] > labels[:-1]).all():
        return True
    ordered = np.sort(labels)
    return bool((ordered[1:] != ordered[:-1]).all())


def _locked(values: AnyArray) -> AnyArray:
    """A read-only view, so that nobody changes a panel after it was checked."""
    view = np.asarray(values).view()
    view.setflags(write=False)
    return view
