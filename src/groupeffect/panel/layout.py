"""Where each table row stands in the array of units x times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Labels", "Layout", "layout_of", "read_labels"]


@dataclass(frozen=True, slots=True)
class Labels:
    """A column of labels as codes.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,)
        Position of the row's label in `names`; -1 = empty. For integer columns without holes, the integers themselves.
    names : ndarray of shape (n_labels,) or None
        Distinct labels, sorted if they can be ordered; None if `codes` are the labels.
    trimmed : int
        Number of distinct labels that had white space around them, which was taken off.
    """

    codes: AnyArray
    names: AnyArray | None
    trimmed: int = 0

    @property
    def empty(self) -> BoolArray:
        """Rows without a label, shape (n_rows,)."""
        if self.names is None:
            return np.zeros(len(self.codes), dtype=bool)
        return np.asarray(self.codes < 0)


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of a table placed into units x times.

    Parameters
    ----------
    unit_ids : ndarray of shape (n,)
        Distinct units, sorted if they can be ordered.
    times : ndarray of shape (T,)
        Distinct times, increasing.
    unit_code, time_code : ndarray of shape (n_rows,), optional
        Unit and time of each row. None if row ``i * T + t`` is unit i at time t (sorted and complete), in which case
        columns are reshaped instead of scattered.
    """

    unit_ids: AnyArray
    times: FloatArray
    unit_code: IntArray | None = field(default=None)
    time_code: IntArray | None = field(default=None)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of units and of times."""
        return len(self.unit_ids), len(self.times)

    def cells(self, column: FloatArray) -> FloatArray:
        """Column as an array of units x times; nan where there is no row. Always a new array."""
        if self.unit_code is None or self.time_code is None:
            return np.array(column.reshape(self.shape), dtype=np.float64, order="C")
        out = np.full(self.shape, np.nan)
        out[self.unit_code, self.time_code] = column
        return out

    def first(self, column: AnyArray, present: BoolArray | None = None) -> AnyArray:
        """One value per unit: that of its first row (among the rows `present`; other units get the first row's)."""
        n, n_times = self.shape
        if self.unit_code is None:
            table = column.reshape(n, n_times)
            if present is None:
                return np.array(table[:, 0])
            where = np.argmax(present.reshape(n, n_times), axis=1)
            return np.asarray(table[np.arange(n), where])
        source = np.zeros(n, dtype=np.int64)
        rows = np.arange(len(column))
        source[self.unit_code[::-1]] = rows[::-1]
        if present is not None:
            chosen = np.flatnonzero(present)
            source[self.unit_code[chosen][::-1]] = chosen[::-1]
        return column[source]

    def differs(self, column: AnyArray, present: BoolArray | None = None) -> BoolArray:
        """Rows whose value is not that of their unit's first row, shape (n_rows,); rows not `present` never differ."""
        reference = self.first(column, present)
        if self.unit_code is None:
            out = (column.reshape(self.shape) != reference[:, None]).reshape(-1)
        else:
            out = column != reference[self.unit_code]
        return np.asarray(out if present is None else out & present)

    def duplicated(self) -> BoolArray:
        """Rows that share unit and time with another row, shape (n_rows,)."""
        if self.unit_code is None or self.time_code is None:
            return np.zeros(self.shape[0] * self.shape[1], dtype=bool)
        n, n_times = self.shape
        cell = self.unit_code * n_times + self.time_code
        return np.asarray(np.bincount(cell, minlength=n * n_times)[cell] > 1)


def read_labels(column: pd.Series) -> Labels:
    """Labels of a column as codes: integers stay integers, text is sorted, white space around text is taken off."""
    import pandas as pd

    kind = getattr(column.dtype, "kind", "O")
    if isinstance(column.dtype, np.dtype) and kind in "iu":
        return Labels(column.to_numpy(), None)
    if isinstance(column.dtype, np.dtype) and kind == "b":
        return Labels(column.to_numpy().astype(np.int8), None)
    if isinstance(column.dtype, np.dtype) and kind == "f":
        values = column.to_numpy()
        if len(values) and np.isfinite(values).all() and (np.abs(values) < 2**53).all() and (values % 1 == 0).all():
            return Labels(values.astype(np.int64), None)
    codes, uniques = pd.factorize(column)
    labels = np.asarray(uniques, dtype=object if kind not in "fiu" else None)
    return _sorted_labels(np.asarray(codes, dtype=np.int64), labels)


def _sorted_labels(codes: IntArray, labels: AnyArray) -> Labels:
    """Codes into sorted, trimmed labels; empty text counts as no label."""
    trimmed = 0
    if labels.dtype == object:
        texts = [label.strip() if isinstance(label, str) else label for label in labels]
        trimmed = sum(1 for old, new in zip(labels, texts, strict=True) if isinstance(old, str) and old != new != "")
        if all(isinstance(label, str) for label in texts):
            labels = np.asarray(texts, dtype=np.str_) if texts else np.empty(0, dtype=np.str_)
        else:
            labels = _objects(texts)
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels % 1 == 0).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind != "O" and len(labels) > 1 and (labels[1:] > labels[:-1]).all() and labels[0] != "":
        return Labels(codes, labels, trimmed)
    try:
        distinct, inverse = np.unique(labels, return_inverse=True)
    except TypeError:  # labels of several kinds cannot be ordered: keep the order in which they appear
        order = {label: place for place, label in enumerate(dict.fromkeys(labels))}
        distinct, inverse = _objects(list(order)), np.array([order[label] for label in labels], dtype=np.int64)
    lookup = np.append(inverse.astype(np.int64), -1)
    blank = np.flatnonzero(np.array([isinstance(label, str) and label == "" for label in distinct], dtype=bool))
    if len(blank):
        place = int(blank[0])
        lookup = np.where(lookup == place, -1, lookup - (lookup > place))
        distinct = np.delete(distinct, place)
    return Labels(lookup[codes], distinct, trimmed)


def _objects(values: list[object]) -> AnyArray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def layout_of(units: Labels, times: AnyArray) -> Layout:
    """Place rows into units x times; recognises a table sorted by unit and time without holes.

    Parameters
    ----------
    units : Labels
        Unit of each row, none empty.
    times : ndarray of shape (n_rows,)
        Integer time of each row.
    """
    n_rows = len(times)
    steps = times[1:] <= times[:-1]
    n_times = int(np.argmax(steps)) + 1 if steps.any() else n_rows
    if n_rows and n_rows % n_times == 0:
        unit_table = units.codes.reshape(-1, n_times)
        first = unit_table[:, 0]
        if (
            (times.reshape(-1, n_times) == times[:n_times]).all()
            and (first[1:] > first[:-1]).all()
            and (unit_table[:, 1:] == first[:, None]).all()
        ):
            ids = np.array(first) if units.names is None else units.names[first]
            return Layout(ids, times[:n_times].astype(np.float64))
    unit_code, unit_ids = _codes(units.codes)
    if units.names is not None:
        unit_ids = units.names[unit_ids]
    time_code, distinct = _codes(times)
    return Layout(unit_ids, distinct.astype(np.float64), unit_code, time_code)


def _codes(values: AnyArray) -> tuple[IntArray, AnyArray]:
    """Codes into the sorted distinct values."""
    import pandas as pd

    codes, distinct = pd.factorize(values, sort=True)
    return np.asarray(codes, dtype=np.int64), np.asarray(distinct)
