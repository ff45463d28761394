"""Tables: a result or a frame as CSV, Markdown and Typst, with text from data made harmless in each.

* CSV: text that a spreadsheet would run as a formula (it begins with ``=``, ``+``, ``-``, ``@``, tab or return) gets an
  apostrophe in front. Numbers stay numbers with all their digits.
* Markdown and Typst: markup characters are escaped; numbers are rounded for reading.
* Rows that describe fewer than 10 pupils show no numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from groupeffect.report.locale import phrases
from groupeffect.report.numbers import format_number
from groupeffect.report.plain import Language

if TYPE_CHECKING:
    import os

    import pandas as pd

    from groupeffect.result import Result

__all__ = [
    "SMALL_CELL",
    "Display",
    "display",
    "neutral",
    "suppress_small",
    "to_csv",
    "to_markdown",
    "to_typst",
    "write_table",
]

SMALL_CELL: Final = 10
"""Cells that describe fewer pupils than this are not shown."""

_KINDS: Final = {
    "year": r"cohort|time|year",
    "percent": r"share.*|overall|differential|treated|comparison|allowed|coverage|rejection",
    "count": r"n_.*|cells_.*|rows|units|draws|months|event_time|failed_draws",
    "measure": r"(treated|comparison)_mean|sd|observed|synthetic",
    "p": r"p_value",
}
_EMPTY: Final = "–"


@dataclass(frozen=True, slots=True)
class Display:
    """A table ready to be shown: headings and cells as text.

    Parameters
    ----------
    headings : tuple of str
        One per column.
    rows : tuple of tuple of str
        Cells.
    numeric : tuple of bool
        Columns to be aligned to the right.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def suppress_small(frame: pd.DataFrame, *, count: str = "n_pupils", limit: int = SMALL_CELL) -> pd.DataFrame:
    """Empty every number of rows that describe fewer pupils than the limit; frames without the column are unchanged.

    Parameters
    ----------
    frame : DataFrame
        Any table.
    count : str, default "n_pupils"
        Column with the number of pupils.
    limit : int, default 10
        Fewest pupils that may be shown.

    Returns
    -------
    DataFrame
        A copy in which the numbers of small rows, the count itself included, are missing.
    """
    if count not in frame.columns:
        return frame
    small = (frame[count] < limit).to_numpy(dtype=bool)
    if not small.any():
        return frame
    shown = frame.copy()
    for name in shown.columns:
        if shown[name].dtype.kind in "iufb":
            shown[name] = shown[name].astype(float).mask(small)
    shown.attrs["suppressed"] = int(small.sum())
    return shown


def neutral(text: str) -> str:
    """Make text harmless in a spreadsheet: no formula, and no line break that would start another cell."""
    line = re.sub(r"[\t\r\n\v\f]", " ", text)
    return f"'{line}" if re.match(r"\s*[=+\-@]", line) else line


def to_csv(frame: pd.DataFrame, path: str | os.PathLike[str] | None = None) -> str:
    """Write a frame as CSV (UTF-8, line feeds, full precision) with small rows emptied and text neutralised.

    Parameters
    ----------
    frame : DataFrame
        Any table.
    path : path, optional
        File to write.

    Returns
    -------
    str
        The text.
    """
    shown = suppress_small(frame).copy()
    for name in shown.columns:
        if shown[name].dtype.kind not in "iufb":
            cells = [neutral(cell) if isinstance(cell, str) else cell for cell in shown[name].tolist()]
            shown[name] = np.array(cells, dtype=object)
    shown.columns = [neutral(str(name)) for name in shown.columns]
    text = str(shown.to_csv(index=False, lineterminator="\n"))
    if path is not None:
        Path(path).write_text(text, encoding="utf-8", newline="")
    return text


def display(frame: pd.DataFrame, language: Language = "en", *, decimals: int = 3, level: float = 0.95) -> Display:
    """Headings and cells of a frame in words and rounded numbers.

    Parameters
    ----------
    frame : DataFrame
        Any table; known columns and codes get their words, others stay as they are.
    language : {"en", "zh"}, default "en"
        Language.
    decimals : int, default 3
        Decimals of effects.
    level : float, default 0.95
        Confidence level named in headings.
    """
    words = phrases(language)
    shown = suppress_small(frame)
    names = [str(name) for name in shown.columns]
    written = {"level": format_number(level, "level", language)}
    headings = tuple(_heading(name, words).replace("{level}", written["level"]) for name in names)
    columns, numeric = [], []
    for name in names:
        cells = shown[name].tolist()
        numbers = shown[name].dtype.kind in "iuf"
        numeric.append(numbers)
        columns.append([_cell(cell, name, language, decimals) for cell in cells])
    return Display(headings, tuple(zip(*columns, strict=True)) if columns else (), tuple(numeric))


def _heading(name: str, words: Mapping[str, str]) -> str:
    """Words of a column; ``mean.null`` is the column `mean` of `null`."""
    first, dot, rest = name.partition(".")
    text = words.get(f"column.{first}", first)
    return f"{text}, {rest}" if dot else text


def _cell(cell: object, name: str, language: Language, decimals: int) -> str:
    words = phrases(language)
    if cell is None or cell != cell:
        return _EMPTY
    if isinstance(cell, (bool, np.bool_)):
        return words["value.true" if cell else "value.false"]
    if not isinstance(cell, (int, float, np.number)):
        return words.get(f"value.{cell}", str(cell))
    value = float(cell)
    if np.isinf(value):
        return words["value.inf"]
    stem = name.partition(".")[0]
    kind = next((kind for kind, pattern in _KINDS.items() if re.fullmatch(pattern, stem)), "effect")
    if kind == "p":
        least = 10.0**-decimals
        small = f"< {format_number(least, 'effect', language, decimals=decimals)}"
        return small if value < least else format_number(value, "effect", language, decimals=decimals)
    if kind == "measure":
        large = abs(value) >= 10
        return format_number(value, "effect", language, decimals=1 if large else decimals)
    if kind == "percent":
        return format_number(100 * value, "effect", language, decimals=1) + "%"
    if kind == "effect":
        return format_number(value, "effect", language, decimals=decimals)
    return format_number(value, "year" if kind == "year" else "count", language)


def to_markdown(frame: pd.DataFrame, *, language: Language = "en", decimals: int = 3) -> str:
    """Write a frame as a Markdown table; markup in text is escaped.

    Parameters
    ----------
    frame : DataFrame
        Any table.
    language : {"en", "zh"}, default "en"
        Language of headings and codes.
    decimals : int, default 3
        Decimals of effects.
    """
    from tabulate import tabulate

    shown = display(frame, language, decimals=decimals)
    rows = [[_escape_markdown(cell) for cell in row] for row in shown.rows]
    align = ["right" if numbers else "left" for numbers in shown.numeric]
    headings = [_escape_markdown(text) for text in shown.headings]
    return str(tabulate(rows, headers=headings, tablefmt="pipe", colalign=align, disable_numparse=True)) + "\n"


def _escape_markdown(text: str) -> str:
    harmless = re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", text)
    return re.sub(r"\s+", " ", harmless.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def to_typst(frame: pd.DataFrame, *, language: Language = "en", decimals: int = 3) -> str:
    """Write a frame as a Typst table; every cell is a string, so that no text can become code.

    Parameters
    ----------
    frame : DataFrame
        Any table.
    language : {"en", "zh"}, default "en"
        Language of headings and codes.
    decimals : int, default 3
        Decimals of effects.
    """
    shown = display(frame, language, decimals=decimals)
    align = ", ".join("right" if numbers else "left" for numbers in shown.numeric)
    lines = ["#table(", f"  columns: {len(shown.headings)},", f"  align: ({align},),", "  stroke: none,"]
    lines += ["  table.hline(),"]
    lines += ["  table.header(" + ", ".join(f"[*#{_typst_string(text)}*]" for text in shown.headings) + "),"]
    lines += ["  table.hline(stroke: 0.5pt),"]
    lines += ["  " + ", ".join(_typst_string(cell) for cell in row) + "," for row in shown.rows]
    return "\n".join([*lines, "  table.hline(),", ")"]) + "\n"


def _typst_string(text: str) -> str:
    inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
    return f'"{inner}"'


def write_table(
    table: Result | pd.DataFrame,
    path_stem: str | os.PathLike[str],
    *,
    language: Language = "en",
    decimals: int = 3,
) -> tuple[Path, Path, Path]:
    """Write a result or a frame as CSV, Markdown and Typst.

    Parameters
    ----------
    table : Result or DataFrame
        A result is written as ``result.tidy()``, in Markdown and Typst without its empty columns.
    path_stem : path
        Path without suffix; its folder is made if needed.
    language : {"en", "zh"}, default "en"
        Language of headings and codes in Markdown and Typst.
    decimals : int, default 3
        Decimals of effects in Markdown and Typst.

    Returns
    -------
    tuple of Path
        The CSV, Markdown and Typst files.
    """
    from groupeffect.result import Result

    frame = table.tidy() if isinstance(table, Result) else table
    stem = Path(path_stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    csv, markdown, typst = (stem.with_name(stem.name + suffix) for suffix in (".csv", ".md", ".typ"))
    to_csv(frame, csv)
    read = frame.dropna(axis="columns", how="all") if isinstance(table, Result) else frame
    markdown.write_text(to_markdown(read, language=language, decimals=decimals), encoding="utf-8")
    typst.write_text(to_typst(read, language=language, decimals=decimals), encoding="utf-8")
    return csv, markdown, typst
