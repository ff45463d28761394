"""Read a table into a validated panel."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import NEVER, AnyArray, BoolArray, FloatArray
from groupeffect.errors import Violation
from groupeffect.panel import rules
from groupeffect.panel.aliases import header_map, rename_notes
from groupeffect.panel.columns import Columns
from groupeffect.panel.files import Table, open_table
from groupeffect.panel.layout import Labels, Layout, layout_of, read_labels
from groupeffect.panel.panel import Drop, Panel

if TYPE_CHECKING:
    from groupeffect.panel.files import Source

__all__ = ["check_table", "read_panel"]


def read_panel(source: Source, columns: Columns, *, encoding: str | None = None, sheet: str | None = None) -> Panel:
    """Read a long table, one row per unit and time, into a validated panel.

    Units and times come out sorted; rows may stand in any order. Missing unit-times and empty outcomes are kept as
    unobserved cells (nan). Empty, nan and infinite first treated times, and the codes in ``columns.never``, mean never
    treated. Every fault is found before anything is raised.

    Parameters
    ----------
    source : DataFrame or path
        A data frame (not copied, not changed), or a ``.csv``, ``.csv.gz``, ``.parquet`` or ``.xlsx`` file. Columns that
        are missing under their English name are looked for under their Chinese header.
    columns : Columns
        Which column plays which role.
    encoding : str, optional
        Encoding of a CSV file; by default UTF-8 (with or without byte order mark), then GB18030, both strictly.
    sheet : str, optional
        Sheet of an Excel file; the first by default.

    Returns
    -------
    Panel
        With ``history`` entries for the encoding used, renamed headers, unobserved outcomes and every warning.

    Raises
    ------
    PanelError
        With every broken rule in ``violations``: its subclass ``MissingColumnError``, ``DuplicateCellError``,
        ``MissingKeyError``, ``NonAbsorbingError`` or ``VaryingAttributeError`` if all of them are of that one rule.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"school": [1, 1, 2, 2], "year": [2020, 2021] * 2, "y": [0.1, 0.3, 0.0, 0.1],
    ...                       "join": [2021, 2021, 0, 0]})
    >>> read_panel(frame, Columns(unit="school", time="year", outcome="y", cohort="join", never=(0,))).adoption
    array([2021.,   inf])
    """
    panel, violations, name = check_table(source, columns, encoding=encoding, sheet=sheet)
    rules.raise_errors(violations, name)
    assert panel is not None
    return panel


def check_table(
    source: Source, columns: Columns, *, encoding: str | None = None, sheet: str | None = None
) -> tuple[Panel | None, tuple[Violation, ...], str]:
    """Panel of a table if it has no errors, every violation found (warnings included), and the table's name.

    Parameters are those of :func:`read_panel`.

    Raises
    ------
    PanelError
        If the file cannot be opened at all.
    """
    table = open_table(source, encoding=encoding, sheet=sheet)
    reading = _Reading(columns, table)
    panel = reading.run()
    return panel, tuple(reading.found), table.name


@dataclass(slots=True)
class _Reading:
    """One pass over one table: collects violations, history and the parts of the panel."""

    columns: Columns
    table: Table
    found: list[Violation] = field(default_factory=list)
    history: list[Drop] = field(default_factory=list)

    def run(self) -> Panel | None:
        rows = self._open()
        if not len(rows.frame):
            self.found.append(rules.no_rows())
            return None
        numbers = {name: self._numbers(rows, name) for name in self._numeric_columns() if name in rows.headers}
        placed = self._place(rows, numbers)
        if placed is None:
            return None
        layout, keep = placed
        if keep is not None:
            rows = rows.take(keep)
            numbers = {name: values[keep] for name, values in numbers.items()}
        parts = self._parts(rows, layout, numbers)
        if any(violation.severity == "error" for violation in self.found):
            return None
        self.history += [
            Drop("read_panel", f"warning: {violation.message}", rows=violation.count) for violation in self.found
        ]
        return Panel(
            layout.cells(numbers[self.columns.outcome]),
            layout.unit_ids,
            times=layout.times,
            columns=self.columns,
            history=tuple(self.history),
            **parts,  # type: ignore[arg-type]
        )

    def _open(self) -> rules.Rows:
        table, wanted = self.table, self.columns.required
        renames = header_map(table.headers, wanted)
        self.history += [*table.notes, *rename_notes(renames, "read_panel")]
        names = {new: old for old, new in renames.items()}
        headers = {name: names.get(name, name) for name in wanted if name in names or name in table.headers}
        self.found += rules.missing_columns(wanted, headers, table.headers)
        repeated = rules.duplicate_columns(headers, table.headers)
        self.found += repeated
        for violation in repeated:
            headers = {name: head for name, head in headers.items() if repr(name) not in violation.message}
        labels = [headers[name] for name in (self.columns.unit, *self.columns.attributes) if name in headers]
        frame = table.read(list(dict.fromkeys(headers.values())) or table.headers[:1], text=labels)
        return rules.Rows(frame, headers, (self.columns.unit, self.columns.time), table.first_line)

    def _numeric_columns(self) -> tuple[str, ...]:
        c = self.columns
        single = (c.time, c.outcome, c.cohort, c.exit, c.weight, c.cell_size)
        return tuple(dict.fromkeys([*(name for name in single if name is not None), *c.covariates]))

    def _add(self, *violations: Violation | None) -> None:
        self.found += [violation for violation in violations if violation is not None]

    def _numbers(self, rows: rules.Rows, name: str) -> FloatArray:
        codes = [code for code in self.columns.never if isinstance(code, str)] if name == self.columns.cohort else []
        numbers, bad = rules.read_numbers(rows.column(name), codes)
        self._add(rules.text_in_numeric(rows, name, bad))
        if name == self.columns.time:
            numbers = _with_text_times(numbers, bad)
        return numbers

    def _place(self, rows: rules.Rows, numbers: dict[str, FloatArray]) -> tuple[Layout, BoolArray | None] | None:
        """Layout of the usable rows, and which rows those are (None = all)."""
        unit, time = self.columns.unit, self.columns.time
        labels, times = self._unit_labels(rows), numbers.get(time)
        none_empty = np.zeros(len(rows.frame), dtype=bool)
        no_unit = none_empty if labels is None else labels.empty
        no_time = none_empty if times is None else np.isnan(times)
        if no_unit.any() or no_time.any():
            blank = _blank_rows(rows, no_unit & no_time)
            if blank.any():
                self.history.append(Drop("read_panel", "empty rows left out", rows=int(blank.sum())))
            self._add(rules.missing_key(rows, unit, no_unit & ~blank), rules.missing_key(rows, time, no_time & ~blank))
        if times is None or labels is None:
            return None
        self._add(rules.non_integer_time(rows, time, times))
        usable = (times == np.rint(times)) & np.isfinite(times) & ~no_unit
        if not usable.any():
            return None
        keep = None if usable.all() else usable
        if keep is not None:
            labels, times, rows = Labels(labels.codes[keep], labels.names), times[keep], rows.take(keep)
        layout = layout_of(labels, times.astype(np.int64))
        self._add(rules.duplicate_cells(rows, layout, unit, time), rules.too_few_times(layout))
        return layout, keep

    def _unit_labels(self, rows: rules.Rows) -> Labels | None:
        unit = self.columns.unit
        if unit not in rows.headers:
            return None
        labels = _typed(read_labels(rows.column(unit)), self.table.untyped, floats=False)
        if labels.trimmed:
            self.history.append(Drop("read_panel", f"white space taken off {labels.trimmed} labels of {unit!r}"))
        return labels

    def _parts(self, rows: rules.Rows, layout: Layout, numbers: dict[str, FloatArray]) -> dict[str, object]:
        """Everything of the panel but outcome, units and times."""
        c = self.columns
        outcome = numbers.get(c.outcome)
        if outcome is not None:
            self._add(
                rules.infinite_values(rows, c.outcome, outcome), rules.outcome_without_information(c.outcome, outcome)
            )
            self._note_holes(rows, layout, outcome)
        parts: dict[str, object] = {"adoption": self._adoption(rows, layout, numbers)}
        parts["exit"] = self._exit(rows, layout, numbers, parts["adoption"])
        if c.weight is not None and c.weight in numbers:
            self._add(rules.not_positive(rows, c.weight, numbers[c.weight]))
            parts["unit_weight"] = self._constant(rows, layout, c.weight, numbers[c.weight])
        if c.cell_size is not None and c.cell_size in numbers and outcome is not None:
            self._add(rules.not_positive(rows, c.cell_size, numbers[c.cell_size], np.isfinite(outcome)))
            parts["cell_size"] = layout.cells(numbers[c.cell_size])
        covariates = np.empty((*layout.shape, len(c.covariates)))
        for k, name in enumerate(c.covariates):
            if name in numbers:
                self._add(rules.infinite_values(rows, name, numbers[name]))
                covariates[:, :, k] = layout.cells(numbers[name])
        parts["covariates"] = covariates
        parts["attributes"] = {
            name: self._attribute(rows, layout, name) for name in dict.fromkeys(c.attributes) if name in rows.headers
        }
        return parts

    def _note_holes(self, rows: rules.Rows, layout: Layout, outcome: FloatArray) -> None:
        unseen = ~np.isfinite(outcome)
        if unseen.any():
            shown = rows.examples(unseen)
            self.history.append(
                Drop(
                    "read_panel",
                    f"no {self.columns.outcome!r}: kept as unobserved cells",
                    rows=int(unseen.sum()),
                    examples=tuple(f"{row.get(self.columns.unit)} at {row.get(self.columns.time)}" for row in shown),
                )
            )
        absent = layout.shape[0] * layout.shape[1] - len(outcome)
        if absent > 0:
            self.history.append(Drop("read_panel", f"{absent} unit-times have no row: kept as unobserved cells"))

    def _adoption(self, rows: rules.Rows, layout: Layout, numbers: dict[str, FloatArray]) -> FloatArray:
        name = self.columns.cohort
        if name is None or name not in numbers:
            return np.full(layout.shape[0], NEVER)
        values = np.where(np.isnan(numbers[name]), NEVER, numbers[name])
        for code in self.columns.never:
            if not isinstance(code, str):
                values[values == code] = NEVER
        values[np.isneginf(values)] = NEVER
        adoption = self._constant(rows, layout, name, values, rule="non_absorbing")
        self._add(
            rules.cohort_between_times(layout.unit_ids, adoption, layout.times, name),
            rules.treated_from_the_start(layout.unit_ids, adoption, layout.times, name),
        )
        return adoption

    def _exit(self, rows: rules.Rows, layout: Layout, numbers: dict[str, FloatArray], adoption: object) -> FloatArray:
        name = self.columns.exit
        if name is None or name not in numbers:
            return np.full(layout.shape[0], NEVER)
        values = np.where(np.isnan(numbers[name]), NEVER, numbers[name])
        leave = self._constant(rows, layout, name, values)
        if self.columns.cohort is not None and self.columns.cohort in numbers:
            names = (self.columns.cohort, name)
            self._add(rules.exit_not_after_join(layout.unit_ids, np.asarray(adoption), leave, names))
        return leave

    def _constant(
        self, rows: rules.Rows, layout: Layout, name: str, values: FloatArray, rule: str = "varying_attribute"
    ) -> FloatArray:
        differs = layout.differs(values) & ~(np.isnan(values))
        if differs.any():
            units = _count_units(layout, differs)
            self._add(rules.varying_within_unit(rows, name, differs, units, rule))
        return np.asarray(layout.first(values), dtype=np.float64)

    def _attribute(self, rows: rules.Rows, layout: Layout, name: str) -> AnyArray:
        """One label per unit; rows without a label take that of the unit's other rows."""
        column = rows.column(name)
        labels = _typed(read_labels(column), self.table.untyped, floats=True)
        empty = labels.empty
        some = bool(empty.any())
        present = ~empty if some else None
        differs = layout.differs(labels.codes, present)
        if differs.any():
            self._add(
                rules.varying_within_unit(rows, name, differs, _count_units(layout, differs), "varying_attribute")
            )
        chosen = layout.first(labels.codes, present)
        if labels.names is None:
            return chosen.astype(bool) if column.dtype == bool else chosen
        if some:
            filled = int(empty.sum() - (layout.first(empty, present) * _rows_per_unit(layout)).sum())
            if filled:
                reason = f"empty {name!r} taken from the unit's other rows"
                self.history.append(Drop("read_panel", reason, rows=filled))
        return _take(labels.names, chosen)


def _with_text_times(times: FloatArray, text: BoolArray) -> FloatArray:
    """Times in which text, reported by its own rule, is minus infinity, and no other time is."""
    if not text.any() and not np.isneginf(times).any():
        return times
    return np.where(text, _TEXT_TIME, np.where(np.isneginf(times), np.inf, times))


def _blank_rows(rows: rules.Rows, candidates: BoolArray) -> BoolArray:
    """Rows without any value in the table, among those without keys."""
    out = np.zeros(len(candidates), dtype=bool)
    chosen = np.flatnonzero(candidates)
    out[chosen] = rows.frame.iloc[chosen].isna().all(axis=1).to_numpy()
    return out


def _rows_per_unit(layout: Layout) -> AnyArray:
    n, n_times = layout.shape
    return np.full(n, n_times) if layout.unit_code is None else np.bincount(layout.unit_code, minlength=n)


def _count_units(layout: Layout, mask: BoolArray) -> int:
    if layout.unit_code is None:
        return int(mask.reshape(layout.shape).any(axis=1).sum())
    return len(np.unique(layout.unit_code[mask]))


def _take(values: AnyArray, codes: AnyArray) -> AnyArray:
    """Labels of codes; -1 gives "" for text, nan for numbers, None otherwise."""
    if not (codes < 0).any():
        return values[codes]
    if values.dtype.kind in "iufb":
        return np.where(codes < 0, np.nan, values[codes]) if len(values) else np.full(len(codes), np.nan)
    if values.dtype.kind == "U":
        return np.where(codes < 0, "", values[codes]) if len(values) else np.full(len(codes), "")
    out = np.empty(len(codes), dtype=object)
    out[codes >= 0] = values[codes[codes >= 0]]
    return out


_TEXT_TIME = -np.inf
"""Stands for a time that was reported as text already: neither a missing key nor a usable row."""

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")


def _typed(labels: Labels, untyped: bool, *, floats: bool) -> Labels:
    """Labels of a CSV column as numbers, if each is written exactly as a number is (``7`` but not ``007``)."""
    values = labels.names
    if not untyped or values is None or values.dtype.kind != "U" or not len(values):
        return labels
    if all(_INTEGER.fullmatch(label) for label in values):
        numbers: AnyArray = values.astype(np.int64)
    elif floats and all(_NUMBER.fullmatch(label) for label in values):
        numbers = values.astype(np.float64)
    elif floats and set(values) <= {"True", "False"}:
        return Labels(labels.codes, values == "True", labels.trimmed)
    else:
        return labels
    distinct, inverse = np.unique(numbers, return_inverse=True)
    lookup = np.append(inverse, -1)
    return Labels(lookup[labels.codes], distinct, labels.trimmed)
