"""One of the bureau's files, read with its schema: every fault of every cell at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray
from groupeffect.errors import Violation
from groupeffect.panel import rules
from groupeffect.panel.aliases import VALUE_ALIASES, header_map, rename_notes
from groupeffect.panel.files import open_table
from groupeffect.panel.panel import Drop
from groupeffect.panel.schema import Field, TableSchema

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.panel.files import Source

__all__ = ["FileTable", "duplicate_rows", "read_table"]

_YES = frozenset({"true", "1", "1.0", "yes", "是"})
_NO = frozenset({"false", "0", "0.0", "no", "否"})


@dataclass(frozen=True, slots=True)
class FileTable:
    """A file read and checked cell by cell.

    Parameters
    ----------
    name : str
        File name.
    frame : DataFrame
        Columns of the schema under their schema names, whole numbers without holes as integers, other numbers as
        floats, flags as booleans (None = empty), labels as text; other columns as they are. Exact copies of rows are
        left out.
    first_line : int or None
        File line of the row with index 0; None if the table has no lines.
    violations : tuple of Violation
        What was found.
    history : tuple of Drop
        Encoding, renamed headers and values, copies left out.
    """

    name: str
    frame: pd.DataFrame
    first_line: int | None
    violations: tuple[Violation, ...]
    history: tuple[Drop, ...]

    def examples(self, mask: BoolArray, *names: str) -> tuple[dict[str, object], ...]:
        """The first rows of a mask over ``frame``, with their line in the file."""
        headers: dict[str, object] = {name: name for name in self.frame.columns}
        rows = rules.Rows(self.frame, headers)
        shown = rows.examples(mask, *names)
        lines = self.frame.index.to_numpy()[np.flatnonzero(mask)[: len(shown)]]
        offset, word = (0, "row") if self.first_line is None else (self.first_line, "line")
        return tuple(
            {word: int(line) + offset, **{key: value for key, value in row.items() if key != "row"}}
            for line, row in zip(lines, shown, strict=True)
        )


def read_table(source: Source, schema: TableSchema, *, encoding: str | None = None) -> FileTable:
    """Read one of the bureau's files and check every cell against its schema.

    Parameters
    ----------
    source : DataFrame or path
        The file.
    schema : TableSchema
        What the file must hold.
    encoding : str, optional
        Encoding of a CSV file; see :func:`groupeffect.read_panel`.

    Raises
    ------
    PanelError
        If the file cannot be opened at all.
    """
    table = open_table(source, encoding=encoding)
    known = tuple(schema.by_name)
    renames = header_map(table.headers, known)
    available = [renames.get(head, str(head)) for head in table.headers]
    wanted = [item.name for item in schema.fields if item.required]
    headers: dict[str, object] = {name: name for name in available}
    found = rules.missing_columns(wanted, headers, table.headers)
    labels = [
        head
        for head, name in zip(table.headers, available, strict=True)
        if name in schema.by_name and not schema.by_name[name].numeric
    ]
    raw = table.read(text=labels)
    frame = raw.rename(columns=renames).reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    history = [*table.notes, *rename_notes(renames, f"read {schema.name}")]
    if not len(frame) and schema.required:
        found.append(rules.no_rows())
    blank = frame.isna().all(axis=1).to_numpy()
    if blank.any():
        history.append(Drop(f"read {schema.name}", "empty rows left out", rows=int(blank.sum())))
        frame = frame[~blank]
    typed, faults, notes = _typed_columns(frame, schema, table.first_line)
    found += faults
    result = FileTable(table.name, typed, table.first_line, (), ())
    found += _schema_faults(result, schema)
    keep, copies = duplicate_rows(result, schema)
    found += copies
    if not keep.all():
        history.append(Drop(f"read {schema.name}", "exact copies of rows left out", rows=int((~keep).sum())))
    return FileTable(table.name, typed[keep], table.first_line, tuple(found), (*history, *notes))


def _typed_columns(
    frame: pd.DataFrame, schema: TableSchema, first_line: int | None
) -> tuple[pd.DataFrame, list[Violation], list[Drop]]:
    """Columns of the schema as numbers, flags and trimmed labels; cells that cannot be read become empty."""
    import pandas as pd

    found: list[Violation] = []
    notes: list[Drop] = []
    columns: dict[str, Any] = {str(name): frame[name] for name in frame.columns}
    keys = tuple(name for name in schema.key if name in frame.columns)
    headers: dict[str, object] = {name: name for name in columns}
    probe = FileTable(schema.name, frame, first_line, (), ())
    for item in schema.fields:
        if item.name not in columns:
            continue
        column = columns[item.name]
        if item.numeric:
            numbers, bad = rules.read_numbers(column)
            fault = rules.text_in_numeric(rules.Rows(frame, headers, keys), item.name, bad)
            if fault is not None:
                found.append(_with_rows(fault, probe.examples(bad, *keys, item.name)))
            columns[item.name] = pd.Series(_whole_if_complete(numbers, item), index=frame.index)
        elif item.kind == "flag":
            columns[item.name], bad = _flags(column)
            if bad.any():
                found.append(_bad_flags(item.name, bad, probe.examples(bad, *keys, item.name)))
        else:
            columns[item.name], translated = _labels(column, item)
            if translated:
                notes.append(Drop(f"read {schema.name}", f"Chinese values of {item.name!r} read as {translated}"))
    return pd.DataFrame(columns, index=frame.index), found, notes


def _whole_if_complete(numbers: FloatArray, item: Field) -> AnyArray:
    """Integers where a column of whole numbers has no hole and no fault; else the floats."""
    if item.kind == "whole" and np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all():
        return numbers.astype(np.int64)
    return numbers


def _with_rows(fault: Violation, rows: tuple[dict[str, object], ...]) -> Violation:
    return Violation(fault.rule, fault.message, fault.count, rows, fault.hint, fault.severity)


def _labels(column: pd.Series, item: Field) -> tuple[pd.Series, str]:
    """Labels as trimmed text (None = empty), Chinese values translated; and which values were."""
    import pandas as pd

    codes, uniques = pd.factorize(column)
    texts = [_label(value) for value in uniques]
    table: Mapping[str, str] = VALUE_ALIASES.get(item.name, {})
    used = [text for text in texts if text in table]
    texts = [table.get(text, text) if text is not None else None for text in texts]
    values = np.array([*texts, None], dtype=object)
    described = ", ".join(f"{text} = {table[text]}" for text in dict.fromkeys(used) if text is not None)
    return pd.Series(values[codes], index=column.index, dtype=object), described


def _label(value: object) -> str | None:
    """Text of a label cell; whole numbers lose the ``.0`` that Excel and missing cells give them."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return text or None


def _flags(column: pd.Series) -> tuple[pd.Series, BoolArray]:
    import pandas as pd

    codes, uniques = pd.factorize(column)
    texts = [str(value).strip().lower() for value in uniques]
    readings: list[bool | None] = [True if text in _YES else False if text in _NO else None for text in texts]
    wrong = np.array([reading is None and text != "" for reading, text in zip(readings, texts, strict=True)] + [False])
    values = np.array([*readings, None], dtype=object)
    return pd.Series(values[codes], index=column.index, dtype=object), np.asarray(wrong[codes], dtype=bool)


def _bad_flags(name: str, bad: BoolArray, rows: tuple[dict[str, object], ...]) -> Violation:
    count = int(bad.sum())
    return Violation(
        "not_a_flag",
        f"Column {name!r} must be yes or no; {count} {'cell is' if count == 1 else 'cells are'} neither.",
        count=count,
        rows=rows,
        hint="Write True or False, 1 or 0, 是 or 否.",
    )


# --- ranges, categories and empty cells, through pandera -----------------------------------------------------------


@lru_cache(maxsize=16)
def _pandera_schema(schema: TableSchema) -> Any:
    """Ranges, categories and required cells as a pandera schema; text is read as numbers before it is applied."""
    import pandera.pandas as pa

    columns = {}
    for item in schema.fields:
        checks = []
        if item.low is not None or item.high is not None:
            low = -np.inf if item.low is None else item.low
            high = np.inf if item.high is None else item.high
            checks.append(pa.Check.in_range(low, high, error="range"))
        if item.numeric:
            checks.append(pa.Check(lambda values: np.isfinite(values), error="finite"))
        if item.kind == "whole":
            checks.append(pa.Check(lambda values: values == np.rint(values), error="whole"))
        if item.allowed:
            checks.append(pa.Check.isin(item.allowed, error="allowed"))
        columns[item.name] = pa.Column(checks=checks, nullable=not item.filled, required=False)
    return pa.DataFrameSchema(columns, unique_column_names=True)


def _schema_faults(table: FileTable, schema: TableSchema) -> list[Violation]:
    import pandera.errors

    try:
        _pandera_schema(schema).validate(table.frame, lazy=True)
    except pandera.errors.SchemaErrors as fault:
        cases = fault.failure_cases
    else:
        return []
    found = []
    for (name, check), group in cases.groupby(["column", "check"], sort=False):
        bad = np.isin(table.frame.index.to_numpy(), group["index"].dropna().to_numpy(dtype=np.int64))
        found.append(_schema_fault(table, schema, str(name), str(check), bad))
    return found


def _schema_fault(table: FileTable, schema: TableSchema, name: str, check: str, bad: BoolArray) -> Violation:
    item = schema.by_name[name]
    count = int(bad.sum())
    rows = table.examples(bad, *schema.key, name)
    cells = f"{count} {'cell' if count == 1 else 'cells'}"
    if check == "not_nullable":
        rule = "missing_key" if name in schema.key else "missing_value"
        hint = "Fill in the cell or remove the row."
        return Violation(rule, f"Column {name!r} is empty in {cells}.", count, rows, hint)
    if check == "allowed":
        values = ", ".join(repr(value) for value in list(dict.fromkeys(table.frame.loc[bad, name]))[:5])
        choices = ", ".join(item.allowed)
        return Violation(
            "unknown_category", f"Column {name!r} has {cells} with {values}.", count, rows, f"Allowed: {choices}."
        )
    if check == "whole":
        return Violation("not_whole", f"Column {name!r} must hold whole numbers; {cells} do not.", count, rows)
    if check == "finite":
        return Violation(
            "infinite_value", f"Column {name!r} is infinite in {cells}.", count, rows, "Leave the cell empty."
        )
    return _out_of_range(table, item, bad, rows)


def _out_of_range(table: FileTable, item: Field, bad: BoolArray, rows: tuple[dict[str, object], ...]) -> Violation:
    values = table.frame.loc[bad, item.name].to_numpy(dtype=float)
    count = len(values)
    limits = (
        f"at least {item.low:g}"
        if item.high is None
        else f"at most {item.high:g}"
        if item.low is None
        else f"between {item.low:g} and {item.high:g}"
    )
    hint = "Correct the value, or leave the cell empty if it is not known."
    if (item.low, item.high) == (0, 1) and values.min() >= 0 and values.max() <= 100:
        hint = "Shares are written between 0 and 1: divide percentages by 100."
    return Violation(
        "out_of_range",
        f"Column {item.name!r} must be {limits}; {count} {'cell is' if count == 1 else 'cells are'} not "
        f"(from {values.min():g} to {values.max():g}).",
        count,
        rows,
        hint,
    )


# --- duplicates ----------------------------------------------------------------------------------------------------


def duplicate_rows(table: FileTable, schema: TableSchema) -> tuple[BoolArray, list[Violation]]:
    """Rows to keep, and what was found: exact copies are left out (warning), rows that contradict are an error."""
    frame, found = table.frame, []
    keep = ~frame.duplicated().to_numpy()
    copies = int((~keep).sum())
    if copies:
        what = "1 row is an exact copy of another and is" if copies == 1 else f"{copies} rows are exact copies and are"
        rows = table.examples(~keep, *_present(schema.key, frame))
        hint = "Check the export; the results do not change."
        found.append(Violation("exact_copy", f"{what} left out.", copies, rows, hint, "warning"))
    if all(name in frame.columns for name in schema.key):
        complete = frame[list(schema.key)].notna().all(axis=1).to_numpy()
        clash = frame.duplicated(list(schema.key), keep=False).to_numpy() & complete & keep
        first = frame[keep].duplicated(list(schema.key), keep=False).reindex(frame.index, fill_value=False).to_numpy()
        clash &= first
        if clash.any():
            found.append(_contradiction(table, schema, clash))
    return keep, found


def _present(names: Sequence[str], frame: pd.DataFrame) -> list[str]:
    return [name for name in names if name in frame.columns]


def _equal(column: pd.Series, other: pd.Series) -> bool:
    return bool(((column == other) | (column.isna() & other.isna())).all())


def _contradiction(table: FileTable, schema: TableSchema, clash: BoolArray) -> Violation:
    frame = table.frame
    first = frame[clash].groupby(list(schema.key), sort=False).transform("first")
    differing = [name for name in first.columns if not _equal(frame.loc[clash, name], first[name])]
    order: AnyArray = frame[clash].sort_values(list(schema.key), kind="stable").index.to_numpy()[: rules.EXAMPLES]
    count = int(clash.sum())
    return Violation(
        "duplicate_cell",
        f"{count} rows share {', '.join(map(repr, schema.key))} with another row but differ in "
        f"{', '.join(map(repr, differing[:4]))}.",
        count,
        table.examples(frame.index.isin(order), *schema.key, *differing[:2]),
        "Keep the row that is right.",
    )
