"""Plain immutable pieces of a report's input: bilingual text, small tables, and JSON reading that lists every fault."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import numpy as np

from groupeffect.errors import ReportError

if TYPE_CHECKING:
    import os

    import pandas as pd

__all__ = ["Language", "Scalar", "Table", "Text", "from_json", "to_json"]

Language: TypeAlias = Literal["en", "zh"]
Scalar: TypeAlias = str | int | float | bool | None
_T = TypeVar("_T")
_INFINITE: dict[str, float] = {"inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True)
class Text:
    """The same words in English and Chinese: names of places, outcomes, subgroups.

    Parameters
    ----------
    en, zh : str
        The words; `zh` may be empty, then the English ones are shown.
    """

    en: str
    zh: str = ""

    def of(self, language: Language) -> str:
        """Words in one language."""
        return self.zh or self.en if language == "zh" else self.en


@dataclass(frozen=True, slots=True)
class Table:
    """A small immutable data frame that can be written as JSON.

    Parameters
    ----------
    columns : tuple of str
        Column names.
    rows : tuple of tuple
        Cells; nan is stored as None, infinities as "inf" and "-inf".
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Scalar, ...], ...] = ()

    def __post_init__(self) -> None:
        wrong = [number for number, row in enumerate(self.rows) if len(row) != len(self.columns)]
        if wrong:
            raise ReportError(f"{len(wrong)} table rows do not have {len(self.columns)} cells (first: {wrong[0]}).")

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Table:
        """Table of a data frame; the row labels are left out."""
        return cls(
            tuple(str(name) for name in frame.columns),
            tuple(tuple(_scalar(cell) for cell in row) for row in frame.itertuples(index=False, name=None)),
        )

    def frame(self) -> pd.DataFrame:
        """Make a data frame; None in a column of numbers becomes nan."""
        import pandas as pd

        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.columns)
        return pd.DataFrame(
            {name: _column(values) for name, values in zip(self.columns, columns, strict=True)},
            columns=list(self.columns),
        )

    def __len__(self) -> int:
        return len(self.rows)


def _scalar(cell: object) -> Scalar:
    if isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None or isinstance(cell, (bool, int, str)):
        return cell
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None if math.isnan(cell) else str(cell)
    return None if cell != cell else str(cell)


def _column(values: Sequence[Scalar]) -> object:
    cells = [_INFINITE.get(cell, cell) if isinstance(cell, str) else cell for cell in values]
    if any(isinstance(cell, (str, bool)) for cell in cells):
        return list(values)
    return np.array([np.nan if cell is None else cell for cell in cells], dtype=float)


def to_json(content: object, path: str | os.PathLike[str] | None = None) -> str:
    """Write a dataclass of plain values as JSON text, and to `path` if given; byte-stable."""
    text = json.dumps(asdict(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"  # type: ignore[call-overload]
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def from_json(kind: type[_T], path: str | os.PathLike[str]) -> _T:
    """Read a dataclass from a file of :func:`to_json`.

    Raises
    ------
    ReportError
        If the file does not have the layout; every fault is listed with its place.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(Path(path).read_bytes())
    except ValidationError as err:
        faults = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in err.errors()]
        raise ReportError(
            f"{path} does not have the layout of {kind.__name__}: {len(faults)} faults.\n  " + "\n  ".join(faults[:20]),
            hint="Write it with to_json(path).",
        ) from None
