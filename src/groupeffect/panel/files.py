"""Opening a table: data frame, CSV (UTF-8, UTF-8 with BOM, GB18030), Parquet or Excel."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from groupeffect.errors import PanelError, Violation
from groupeffect.panel.panel import Drop

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = pd.DataFrame | str | os.PathLike[str]

__all__ = ["ENCODINGS", "Table", "open_table"]

ENCODINGS: Final = ("utf-8", "gb18030")
"""Strict decodings tried for a CSV file, in this order; a byte order mark is recognised before."""

Kind: TypeAlias = Literal["frame", "csv", "parquet", "excel"]

_KINDS: Final[dict[str, Kind]] = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose header is known and whose body is read when asked for.

    Parameters
    ----------
    name : str
        Name for messages: the file name, or ``"data frame"``.
    kind : {"frame", "csv", "parquet", "excel"}
        Where it comes from.
    headers : tuple
        Column headers as they stand in the table.
    notes : tuple of Drop
        What a reader of the results should know (the encoding used, the sheet read).
    """

    name: str
    kind: Kind
    headers: tuple[object, ...]
    notes: tuple[Drop, ...] = ()
    encoding: str | None = None
    sheet: str | None = None
    _frame: pd.DataFrame | None = field(default=None, repr=False)
    _bytes: bytes = field(default=b"", repr=False)
    _path: Path | None = field(default=None, repr=False)

    @property
    def first_line(self) -> int | None:
        """Line of the first data row in the file; None for data frames and Parquet, which have no lines."""
        return 2 if self.kind in ("csv", "excel") else None

    @property
    def untyped(self) -> bool:
        """Whether the format does not say if ``7`` is a number or a label (CSV)."""
        return self.kind == "csv"

    def read(self, headers: Sequence[object] | None = None, *, text: Iterable[object] = ()) -> pd.DataFrame:
        """Body of the table.

        Parameters
        ----------
        headers : sequence, optional
            Headers to read; all by default. A data frame is returned as it is.
        text : iterable
            Headers whose CSV cells are kept as text, so that ``007`` stays ``007``.

        Raises
        ------
        PanelError
            If the file is damaged.
        """
        import pandas as pd

        if self._frame is not None:
            return self._frame
        wanted = list(self.headers if headers is None else headers)
        if self.kind == "csv":
            try:  # all columns, because `usecols` would accept lines with too many cells
                frame = pd.read_csv(
                    io.BytesIO(self._bytes),
                    encoding=self.encoding,
                    dtype={str(head): "str" for head in text},
                    float_precision=_exact_floats(),
                    low_memory=False,
                )
            except pd.errors.ParserError as fault:
                raise _file_error(
                    self.name, "damaged_file", f"the lines do not have the same number of cells ({fault})"
                ) from fault
            if not isinstance(frame.index, pd.RangeIndex):
                raise _file_error(self.name, "damaged_file", "its rows have more cells than its header")
            return frame[wanted]
        assert self._path is not None
        assert self.sheet is not None or self.kind == "parquet"
        if self.kind == "parquet":
            return pd.read_parquet(self._path, columns=[str(head) for head in wanted])
        return pd.read_excel(self._path, sheet_name=str(self.sheet), usecols=wanted, engine="openpyxl")


def open_table(source: Source, *, encoding: str | None = None, sheet: str | None = None) -> Table:
    """Open a data frame or a file and read its header.

    Parameters
    ----------
    source : DataFrame or path
        ``.csv``, ``.csv.gz``, ``.parquet`` or ``.xlsx``.
    encoding : str, optional
        Encoding of a CSV file. By default UTF-8 (with or without byte order mark) and GB18030 are tried strictly.
    sheet : str, optional
        Sheet of an Excel file; the first by default.

    Raises
    ------
    PanelError
        If the file does not exist, is empty, has a format not known here or cannot be decoded.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return Table("data frame", "frame", tuple(source.columns), _frame=source)
    if not isinstance(source, str | os.PathLike):
        raise PanelError(
            f"A table was expected, got {type(source).__name__}.",
            hint="Give a pandas data frame or the path of a .csv, .csv.gz, .parquet or .xlsx file.",
        )
    path = Path(source)
    if not path.is_file():
        raise _no_such_file(path)
    kind = _kind_of(path)
    if path.stat().st_size == 0:
        raise _file_error(path.name, "empty_file", "the file is empty (0 bytes)", "Export it again, with its header.")
    if kind == "csv":
        return _open_csv(path, encoding)
    if kind == "parquet":
        return _open_parquet(path)
    return _open_excel(path, sheet)


def _exact_floats() -> Literal["round_trip"] | None:
    """Option of ``read_csv`` for exact numbers: needed before pandas 3.1, which is exact and warns about the option."""
    import pandas as pd

    major, minor = (int(part) for part in pd.__version__.split(".")[:2])
    return "round_trip" if (major, minor) < (3, 1) else None


def _kind_of(path: Path) -> Kind:
    suffixes = [part.lower() for part in path.suffixes]
    for count in (2, 1):
        kind = _KINDS.get("".join(suffixes[-count:]))
        if kind is not None:
            return kind
    extra = " Open it in a spreadsheet and save it as .xlsx." if suffixes[-1:] == [".xls"] else ""
    raise _file_error(
        path.name,
        "unknown_format",
        f"files ending in {path.suffix or 'nothing'!r} are not read",
        f"Use .csv, .csv.gz, .parquet or .xlsx.{extra}",
    )


def _open_csv(path: Path, encoding: str | None) -> Table:
    import pandas as pd

    raw = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError) as fault:
            raise _file_error(path.name, "damaged_file", f"it cannot be unpacked ({fault})") from fault
    if raw.startswith(b"PK\x03\x04"):
        raise _file_error(
            path.name,
            "unknown_format",
            "it is named .csv but is an Excel workbook or a zip archive",
            "Rename it to .xlsx, or export it as CSV.",
        )
    used = _encoding_of(raw, path.name, encoding)
    try:
        head = pd.read_csv(io.BytesIO(raw), encoding=used, header=None, nrows=1, dtype="str", keep_default_na=False)
    except pd.errors.EmptyDataError as fault:
        raise _file_error(
            path.name, "empty_file", "the file has no header and no rows", "Export it again, with its header."
        ) from fault
    headers = _checked_headers(path.name, list(head.iloc[0]))
    label = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8 with byte order mark", "gb18030": "GB18030"}.get(used, used)
    notes = (Drop("read", f"{path.name} read as {label}"),)
    return Table(path.name, "csv", headers, notes, encoding=used, _bytes=raw)


def _checked_headers(name: str, cells: Sequence[object]) -> tuple[object, ...]:
    """Headers as pandas will name them; refuses a header that names a column twice."""
    blank = [cell is None or cell != cell or str(cell).strip() == "" for cell in cells]
    named = [cell for cell, empty in zip(cells, blank, strict=True) if not empty]
    repeated = sorted({str(cell) for cell in named if named.count(cell) > 1})
    if repeated:
        raise _file_error(
            name,
            "duplicate_column",
            f"the header names {', '.join(map(repr, repeated))} more than once",
            "Give each column its own name.",
        )
    pairs = enumerate(zip(cells, blank, strict=True))
    return tuple(f"Unnamed: {place}" if empty else cell for place, (cell, empty) in pairs)


def _encoding_of(raw: bytes, name: str, given: str | None) -> str:
    """Encoding that decodes the whole file strictly."""
    if given is not None:
        try:
            raw.decode(given)
        except (UnicodeDecodeError, LookupError) as fault:
            raise _undecodable(name, f"it cannot be read as {given} ({fault})") from fault
        return given
    if raw.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _undecodable(name, "it looks like UTF-16", 'Give encoding="utf-16", or export the file as UTF-8.')
    for encoding in ENCODINGS:
        try:
            raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    raise _undecodable(name, f"it is neither {' nor '.join(code.upper() for code in ENCODINGS)}")


def _open_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except pyarrow.ArrowInvalid as fault:
        raise _file_error(path.name, "damaged_file", f"it is not a Parquet file ({fault})") from fault
    headers = tuple(name for name in schema.names if not name.startswith("__index_level_"))
    return Table(path.name, "parquet", headers, _path=path)


def _open_excel(path: Path, sheet: str | None) -> Table:
    import zipfile

    import pandas as pd

    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = [str(name) for name in book.sheet_names]
            if sheet is not None and sheet not in sheets:
                raise _file_error(
                    path.name, "no_such_sheet", f"there is no sheet {sheet!r}", f"Sheets: {', '.join(sheets)}."
                )
            chosen = sheet or sheets[0]
            head = pd.read_excel(book, sheet_name=chosen, header=None, nrows=1)
    except (zipfile.BadZipFile, KeyError, ValueError) as fault:
        raise _file_error(path.name, "damaged_file", f"it is not an Excel workbook ({fault})") from fault
    if head.empty:
        raise _file_error(
            path.name, "empty_file", f"sheet {chosen!r} has no header and no rows", "Choose another sheet."
        )
    others = f" ({len(sheets) - 1} other sheets not read)" if len(sheets) > 1 else ""
    notes = (Drop("read", f"{path.name}: sheet {chosen!r} read{others}"),)
    return Table(path.name, "excel", _checked_headers(path.name, list(head.iloc[0])), notes, sheet=chosen, _path=path)


def _no_such_file(path: Path) -> PanelError:
    folder = path.parent
    names = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
    close = get_close_matches(path.name, names, n=3)
    hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else "Check the path."
    return _file_error(path.name, "no_such_file", f"there is no such file in {folder.name or '.'!r}", hint)


def _undecodable(name: str, found: str, hint: str = "") -> PanelError:
    return _file_error(
        name, "encoding", found, hint or 'Export the file as UTF-8, or give its encoding, as in encoding="big5".'
    )


def _file_error(name: str, rule: str, found: str, hint: str = "Export the file again.") -> PanelError:
    return PanelError(
        f"{name} cannot be read: {found}.", violations=(Violation(rule, f"{name}: {found}.", hint=hint),), hint=hint
    )
