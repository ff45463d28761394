"""The rules a panel must keep, one function per rule; each returns what it found, none raises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray
from groupeffect.errors import (
    DuplicateCellError,
    MissingColumnError,
    MissingKeyError,
    NonAbsorbingError,
    PanelError,
    VaryingAttributeError,
    Violation,
)
from groupeffect.panel.aliases import aliases_of, suggestions

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.panel.layout import Layout

__all__ = ["Rows", "plain", "raise_errors", "read_numbers"]

EXAMPLES = 3
"""Rows shown per violation."""

_CLASSES: dict[str, type[PanelError]] = {
    "missing_column": MissingColumnError,
    "duplicate_cell": DuplicateCellError,
    "missing_key": MissingKeyError,
    "non_absorbing": NonAbsorbingError,
    "varying_attribute": VaryingAttributeError,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows under test, to show the first that break a rule.

    Parameters
    ----------
    frame : DataFrame
        The whole table.
    headers : dict
        Column name asked for -> header in the table.
    keys : tuple of str
        Columns shown with every example (unit and time).
    first_line : int or None
        File line of the first row; None if the table has no lines (rows are then counted from 0).
    positions : ndarray, optional
        Rows of `frame` under test; all by default.
    """

    frame: pd.DataFrame
    headers: dict[str, object]
    keys: tuple[str, ...] = ()
    first_line: int | None = None
    positions: AnyArray | None = None

    def take(self, mask: BoolArray) -> Rows:
        """The rows of a mask over the rows under test."""
        chosen = np.flatnonzero(mask)
        positions = chosen if self.positions is None else self.positions[chosen]
        return Rows(self.frame, self.headers, self.keys, self.first_line, positions)

    def column(self, name: str) -> pd.Series:
        """A column, rows under test only."""
        series: pd.Series = self.frame[self.headers[name]]
        return series if self.positions is None else series.iloc[self.positions]

    def examples(self, mask: BoolArray, *names: str) -> tuple[dict[str, object], ...]:
        """The first rows of a mask as column -> value, with the line in the file or the row number."""
        out = []
        for place in np.flatnonzero(mask)[:EXAMPLES]:
            position = int(place if self.positions is None else self.positions[place])
            where: dict[str, object] = (
                {"row": position} if self.first_line is None else {"line": position + self.first_line}
            )
            for name in dict.fromkeys((*self.keys, *names)):
                if name in self.headers:
                    where[name] = plain(self.frame[self.headers[name]].iloc[position])
            out.append(where)
        return tuple(out)


def plain(value: Any) -> object:
    """Python value of a cell; empty cells as None, integral floats as integers."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def raise_errors(violations: Sequence[Violation], name: str) -> None:
    """Raise one error that lists every violation of severity ``"error"``.

    The error has the class of the rule if only one rule is broken.

    Raises
    ------
    PanelError
        Or its subclass for the rule, if all violations are of one rule that has one.
    """
    errors = [violation for violation in violations if violation.severity == "error"]
    if not errors:
        return
    broken = {violation.rule for violation in errors}
    kind = _CLASSES.get(errors[0].rule, PanelError) if len(broken) == 1 else PanelError
    faults = "1 fault" if len(errors) == 1 else f"{len(errors)} faults"
    raise kind(f"The {name} cannot be used: {faults} found.", violations=errors)


# --- columns and cells ---------------------------------------------------------------------------------------------


def missing_columns(wanted: Sequence[str], headers: dict[str, object], available: Sequence[object]) -> list[Violation]:
    """Columns asked for that are not in the table, each with the headers that may be meant."""
    out = []
    for name in wanted:
        if name in headers:
            continue
        close = suggestions(name, available)
        shown = ", ".join(repr(str(head)) for head in list(available)[:20]) + (" ..." if len(available) > 20 else "")
        if close:
            hint = f"Did you mean {' or '.join(map(repr, close))}?"
        elif len(available) == 1 and re.search(r"[;\t|]", str(available[0])):
            hint = "The file seems to be separated by something else than commas: export it with commas."
        elif available and sum(str(head).startswith("Unnamed:") for head in available) * 2 > len(available):
            hint = "The first row does not look like a header: remove title rows above it."
        else:
            chinese = "".join(f", or its Chinese header {alias!r}" for alias in aliases_of(name)[:1])
            hint = f"Name an existing column in Columns{chinese}."
        out.append(Violation("missing_column", f"There is no column {name!r}; the table has {shown}.", hint=hint))
    return out


def duplicate_columns(headers: dict[str, object], available: Sequence[object]) -> list[Violation]:
    """Columns asked for whose header stands in the table more than once."""
    counts = {name: sum(head == header for head in available) for name, header in headers.items()}
    return [
        Violation(
            "duplicate_column",
            f"The table has {count} columns named {name!r}.",
            count=count,
            hint="Give each column its own name.",
        )
        for name, count in counts.items()
        if count > 1
    ]


def no_rows() -> Violation:
    """The table has a header but no rows."""
    return Violation(
        "empty_table", "The table has no rows.", count=0, hint="Check the export: only the header was written."
    )


_FULL_WIDTH = re.compile(r"[０-９．－＋，％]")
_THOUSANDS = re.compile(r"^\s*[-+]?\d{1,3}(,\d{3})+(\.\d+)?\s*$")
_DECIMAL_COMMA = re.compile(r"^\s*[-+]?\d+,\d+\s*$")
_PERCENT = re.compile(r"^\s*[-+]?\d+(\.\d+)?\s*%\s*$")


def text_in_numeric(rows: Rows, name: str, bad: BoolArray) -> Violation | None:
    """Cells of a numeric column that are not numbers."""
    if not bad.any():
        return None
    values = list(dict.fromkeys(str(value) for value in rows.column(name)[bad]))
    shown = ", ".join(map(repr, values[:5])) + (" ..." if len(values) > 5 else "")
    count = int(bad.sum())
    return Violation(
        "text_in_numeric",
        f"Column {name!r} must be numeric, but {count} {_cells(count)} text: {shown}.",
        count=count,
        rows=rows.examples(bad, name),
        hint=_text_hint(values),
    )


def _cells(count: int) -> str:
    return "cell holds" if count == 1 else "cells hold"


def _text_hint(values: Sequence[str]) -> str:
    hints = []
    if any(_FULL_WIDTH.search(value) for value in values):
        hints.append("some cells use full-width digits or signs: convert them to half-width (123, not １２３)")
    if any(_THOUSANDS.match(value) for value in values):
        hints.append("some numbers have thousands separators: write 1234, not 1,234")
    elif any(_DECIMAL_COMMA.match(value) for value in values):
        hints.append("some numbers have a decimal comma: write 12.5, not 12,5")
    if any(_PERCENT.match(value) for value in values):
        hints.append("some cells are percentages: write 0.85, not 85%")
    if not hints:
        return "Write numbers only; leave a cell empty if the value is not known."
    sentence = "; ".join(hints)
    return sentence[0].upper() + sentence[1:] + "."


def read_numbers(column: pd.Series, codes: Sequence[object] = ()) -> tuple[FloatArray, BoolArray]:
    """Numbers of a column, and which of its cells are not numbers.

    Parameters
    ----------
    column : Series
        Any column.
    codes : sequence
        Texts that are allowed and read as empty.

    Returns
    -------
    numbers : ndarray of shape (n_rows,)
        Empty and wrong cells are nan. May be the column's own memory: not to be written to.
    bad : ndarray of shape (n_rows,), bool
        Cells that hold something else than a number. Empty text is empty, not wrong.
    """
    import pandas as pd

    kind = getattr(column.dtype, "kind", "O")
    if kind in "iufb" and not isinstance(column.dtype, pd.CategoricalDtype):
        if isinstance(column.dtype, np.dtype):
            return column.to_numpy().astype(np.float64, copy=False), np.zeros(len(column), dtype=bool)
        return column.to_numpy(dtype=np.float64, na_value=np.nan), np.zeros(len(column), dtype=bool)
    if kind not in "OUS" or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return np.full(len(column), np.nan), column.notna().to_numpy(dtype=bool)
    texts = column.astype(object)
    blank = texts.isna() | texts.map(lambda value: isinstance(value, str) and value.strip() == "").astype(bool)
    if codes:
        accepted = {str(code).strip().lower() for code in codes}
        blank |= texts.map(lambda value: isinstance(value, str) and value.strip().lower() in accepted).astype(bool)
    numbers = pd.to_numeric(texts.where(~blank, None), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.array(numbers), np.asarray(np.isnan(numbers) & ~blank.to_numpy(dtype=bool))


# --- keys ----------------------------------------------------------------------------------------------------------


def missing_key(rows: Rows, name: str, empty: BoolArray) -> Violation | None:
    """Rows without a unit or without a time."""
    if not empty.any():
        return None
    count = int(empty.sum())
    return Violation(
        "missing_key",
        f"{count} {_rows(count)} no {name!r}.",
        count=count,
        rows=rows.examples(empty),
        hint="Fill in the key or remove the row.",
    )


def _rows(count: int) -> str:
    return "row has" if count == 1 else "rows have"


def non_integer_time(rows: Rows, name: str, times: FloatArray) -> Violation | None:
    """Times that are not whole numbers (minus infinity stands for text, which has its own rule)."""
    bad = ((times != np.rint(times)) & ~np.isnan(times)) | np.isposinf(times)
    if not bad.any():
        return None
    count = int(bad.sum())
    return Violation(
        "non_integer_time",
        f"Column {name!r} must hold whole numbers; {count} {_rows(count)} none.",
        count=count,
        rows=rows.examples(bad),
        hint="Number the times, for example by the year in which the school year starts.",
    )


def duplicate_cells(rows: Rows, layout: Layout, unit: str, time: str) -> Violation | None:
    """Units with more than one row for a time."""
    repeated = layout.duplicated()
    if not repeated.any():
        return None
    assert layout.unit_code is not None
    assert layout.time_code is not None
    count = int(repeated.sum())
    cells = np.unique(layout.unit_code[repeated] * layout.shape[1] + layout.time_code[repeated])
    first = np.isin(layout.unit_code * layout.shape[1] + layout.time_code, cells[:EXAMPLES])
    shown = np.flatnonzero(first)[:EXAMPLES]
    mask = np.zeros(len(repeated), dtype=bool)
    mask[shown] = True
    return Violation(
        "duplicate_cell",
        f"{count} rows share {unit!r} and {time!r} with another row ({len(cells)} unit-times).",
        count=count,
        rows=rows.examples(mask),
        hint="Keep one row per unit and time; aggregate several rows (stages, subjects) first.",
    )


def too_few_times(layout: Layout) -> Violation | None:
    """A panel needs two times."""
    if len(layout.times) >= 2:
        return None
    found = ", ".join(f"{time:g}" for time in layout.times)
    return Violation(
        "too_few_times",
        f"The table has {len(layout.times)} time ({found}); a panel needs at least 2.",
        hint="Add the times before and after the change.",
    )


# --- values --------------------------------------------------------------------------------------------------------


def infinite_values(rows: Rows, name: str, values: FloatArray) -> Violation | None:
    """Infinite outcomes or covariates."""
    bad = np.isinf(values)
    if not bad.any():
        return None
    count = int(bad.sum())
    return Violation(
        "infinite_value",
        f"Column {name!r} is infinite in {count} {'row' if count == 1 else 'rows'}.",
        count=count,
        rows=rows.examples(bad, name),
        hint="Leave the cell empty if the value is not known (a logarithm of zero gives infinity).",
    )


def outcome_without_information(name: str, values: FloatArray) -> Violation | None:
    """An outcome that is never observed (error) or never changes (warning)."""
    seen = values[np.isfinite(values)]
    if not len(seen):
        return Violation(
            "no_outcome", f"Column {name!r} is empty in every row.", count=len(values), hint="Choose another outcome."
        )
    if len(seen) > 1 and seen.min() == seen.max():
        return Violation(
            "constant_outcome",
            f"Column {name!r} has the same value ({seen[0]:g}) in every row.",
            count=len(seen),
            hint="Check the column: there is nothing to explain.",
            severity="warning",
        )
    return None


def varying_within_unit(rows: Rows, name: str, differs: BoolArray, unit_count: int, rule: str) -> Violation | None:
    """A column that must be constant within units but changes."""
    if not differs.any():
        return None
    what, hint = (
        (
            "the first treated time",
            "Write the first treated time in every row of the unit; use `exit` for units that leave.",
        )
        if rule == "non_absorbing"
        else ("a value", "Use one value per unit, for example that of the first time.")
    )
    return Violation(
        rule,
        f"Column {name!r} must hold {what} that is constant within units; it changes in {unit_count} "
        f"{'unit' if unit_count == 1 else 'units'}.",
        count=int(differs.sum()),
        rows=rows.examples(differs, name),
        hint=hint,
    )


def not_positive(rows: Rows, name: str, values: FloatArray, needed: BoolArray | None = None) -> Violation | None:
    """Weights or pupil counts that are zero, negative, infinite or (where `needed`) empty."""
    bad = ~((values > 0) & np.isfinite(values))
    bad &= needed if needed is not None else True
    if needed is not None:
        bad |= values < 0
    if not bad.any():
        return None
    count = int(bad.sum())
    where = " where the outcome is observed" if needed is not None else ""
    return Violation(
        "not_positive",
        f"Column {name!r} must be positive{where}; {count} {_rows(count)} no positive value.",
        count=count,
        rows=rows.examples(bad, name),
        hint="Correct the value, or leave out the row.",
    )


def exit_not_after_join(
    units: AnyArray, adoption: FloatArray, leave: FloatArray, names: tuple[str, str]
) -> Violation | None:
    """Units that leave before or when they join, or that leave without having joined."""
    bad = np.isfinite(leave) & ~(leave > adoption)
    if not bad.any():
        return None
    join_name, exit_name = names
    chosen = np.flatnonzero(bad)
    count = len(chosen)
    return Violation(
        "exit_not_after_join",
        f"{count} {'unit has' if count == 1 else 'units have'} {exit_name!r} not after {join_name!r}.",
        count=count,
        rows=tuple(
            {"unit": plain(units[i]), join_name: plain(adoption[i]), exit_name: plain(leave[i])}
            for i in chosen[:EXAMPLES]
        ),
        hint="The exit is the first time without treatment: it lies after the first treated time.",
    )


def cohort_between_times(units: AnyArray, adoption: FloatArray, times: FloatArray, name: str) -> Violation | None:
    """First treated times inside the panel's span at which nothing is observed (warning)."""
    inside = np.isfinite(adoption) & (adoption > times[0]) & (adoption < times[-1])
    bad = inside & ~np.isin(adoption, times)
    return _unit_warning(
        "cohort_not_a_time",
        bad,
        units,
        f"{{count}} units have a first treated time ({name!r}) that is no time of the panel.",
        "Check the column; such units count as treated from the next observed time.",
        adoption,
        name,
    )


def treated_from_the_start(units: AnyArray, adoption: FloatArray, times: FloatArray, name: str) -> Violation | None:
    """Every unit is treated at the first time, so that nothing can be compared (warning)."""
    bad = adoption <= times[0]
    if not bad.all():
        return None
    return _unit_warning(
        "all_treated_at_start",
        bad,
        units,
        f"All {{count}} units are treated ({name!r}) at or before the first time {times[0]:g}.",
        "Add earlier times, or units that join later or never.",
        adoption,
        name,
    )


def _unit_warning(
    rule: str, bad: BoolArray, units: AnyArray, message: str, hint: str, values: AnyArray, name: str
) -> Violation | None:
    if not bad.any():
        return None
    chosen = np.flatnonzero(bad)
    shown = tuple({"unit": plain(units[i]), name: plain(values[i])} for i in chosen[:EXAMPLES])
    return Violation(
        rule, message.format(count=len(chosen)), count=len(chosen), rows=shown, hint=hint, severity="warning"
    )
