"""A folder with the bureau's files: found, read and checked against each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from groupeffect.errors import PanelError, Violation
from groupeffect.panel.panel import Drop
from groupeffect.panel.schema import TABLES
from groupeffect.panel.school_rules import between_tables, within_table
from groupeffect.panel.tables import FileTable, read_table
from groupeffect.panel.validation import ValidationReport

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SchoolTables", "read_folder", "validate_folder"]

ENDINGS: Final = (".csv", ".csv.gz", ".parquet", ".xlsx")

FILE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "schools": ("schools", "学校"),
    "scores": ("scores", "成绩"),
    "membership": ("membership", "集团成员"),
    "crosswalk": ("crosswalk", "学校变动"),
    "codebook": ("codebook", "指标说明"),
}
"""Accepted file names, without their ending."""


@dataclass(frozen=True, slots=True)
class SchoolTables:
    """The bureau's files as read, before anything is put together.

    Parameters
    ----------
    tables : mapping of str to FileTable
        ``schools``, ``scores``, ``membership`` and, if there, ``crosswalk``.
    report : ValidationReport
        Every fault found in them.
    """

    tables: Mapping[str, FileTable]
    report: ValidationReport

    def frame(self, name: str) -> pd.DataFrame:
        """Rows of one file."""
        return self.tables[name].frame


def read_folder(folder: str | os.PathLike[str], *, encoding: str | None = None) -> SchoolTables:
    """Read every file of a folder and collect every fault; nothing is raised.

    Parameters
    ----------
    folder : path
        Holds ``schools``, ``scores``, ``membership`` and, if schools changed, ``crosswalk``, each as ``.csv``,
        ``.csv.gz``, ``.parquet`` or ``.xlsx``, under these names or 学校, 成绩, 集团成员, 学校变动.
    encoding : str, optional
        Encoding of the CSV files; by default UTF-8, then GB18030.
    """
    tables: dict[str, FileTable] = {}
    found: list[tuple[str, Violation]] = []
    history: list[Drop] = []
    place = Path(folder)
    if not place.is_dir():
        fault = Violation("no_such_folder", f"There is no folder {place.name!r}.", hint="Check the path.")
        return SchoolTables({}, ValidationReport((fault,), (str(place.name),)))
    for name, schema in TABLES.items():
        path, several = _find(place, name)
        found += [(name, violation) for violation in several]
        if path is None:
            if schema.required:
                found.append((name, _missing_file(place, name)))
            continue
        try:
            table = read_table(path, schema, encoding=encoding)
        except PanelError as error:
            found += [(path.name, violation) for violation in error.violations]
            continue
        tables[name] = table
        history += table.history
        found += [(path.name, violation) for violation in (*table.violations, *within_table(table, name))]
    found += [(tables[name].name, violation) for name, violation in between_tables(tables)]
    found += _codebook(place, tables, encoding)
    report = ValidationReport(
        tuple(violation for _, violation in found), tuple(name for name, _ in found), tuple(history)
    )
    return SchoolTables(tables, report)


def validate_folder(folder: str | os.PathLike[str], *, encoding: str | None = None) -> ValidationReport:
    """Check a folder with the bureau's files: every fault in and between them, at once.

    Errors stop the work: missing files or columns, text in numbers, values out of range, contradicting duplicates, two
    core schools in a group, an exit before joining, more tested than enrolled, more sent than there are. Warnings are
    listed and the work goes on by a stated policy: exact copies and rows of unknown schools are left out, a
    group without a core school stays, sums of teachers that disagree stay.

    Parameters
    ----------
    folder : path
        See :func:`read_folder`.
    encoding : str, optional
        Encoding of the CSV files; by default UTF-8, then GB18030.

    Returns
    -------
    ValidationReport
    """
    return read_folder(folder, encoding=encoding).report


def _find(folder: Path, name: str) -> tuple[Path | None, list[Violation]]:
    candidates = [
        folder / f"{stem}{ending}"
        for stem in FILE_NAMES[name]
        for ending in ENDINGS
        if (folder / f"{stem}{ending}").is_file()
    ]
    if len(candidates) > 1:
        names = ", ".join(path.name for path in candidates)
        fault = Violation(
            "several_files", f"There are several files for {name}: {names}.", len(candidates), hint="Keep one of them."
        )
        return candidates[0], [fault]
    return (candidates[0] if candidates else None), []


def _missing_file(folder: Path, name: str) -> Violation:
    there = sorted(path.name for path in folder.iterdir() if path.is_file())
    shown = ", ".join(there[:8]) + (" ..." if len(there) > 8 else "") if there else "no files"
    return Violation(
        "missing_file",
        f"There is no file {FILE_NAMES[name][0]}.csv; the folder has {shown}.",
        hint=f"Export it as {' or '.join(FILE_NAMES[name])}, ending in {', '.join(ENDINGS)}.",
    )


def _codebook(folder: Path, tables: Mapping[str, FileTable], encoding: str | None) -> list[tuple[str, Violation]]:
    """Columns that the codebook describes but no file has (a warning): the codebook belongs to another export."""
    path, _ = _find(folder, "codebook")
    if path is None:
        return []
    from groupeffect.panel.files import open_table

    try:
        frame = open_table(path, encoding=encoding).read()
    except PanelError as error:
        return [(path.name, violation) for violation in error.violations]
    if "column" not in frame.columns:
        hint = "Give the codebook a column named column."
        return [(path.name, Violation("missing_column", "There is no column 'column'.", hint=hint, severity="warning"))]
    there = {str(name) for table in tables.values() for name in table.frame.columns}
    absent = [str(name) for name in frame["column"] if str(name) not in there]
    if not absent or not tables:
        return []
    message = f"{len(absent)} columns are described but in no file: {', '.join(absent[:5])}."
    hint = "Use the codebook of this export."
    return [(path.name, Violation("codebook_differs", message, len(absent), hint=hint, severity="warning"))]
