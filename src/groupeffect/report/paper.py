"""The working paper: exhibits written from results, then typeset with Typst; any warning is an error."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from groupeffect.errors import ReportError
from groupeffect.report.content import PaperContent
from groupeffect.report.exhibits import write_exhibits
from groupeffect.report.style import chinese_font

if TYPE_CHECKING:
    import os

__all__ = ["build_paper", "compile_typst"]

CONTENT = "paper.json"


def build_paper(
    generated_dir: str | os.PathLike[str],
    out_pdf: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] = "paper",
) -> Path:
    """Write the exhibits of the paper and typeset it.

    Parameters
    ----------
    generated_dir : path
        Folder with ``paper.json`` (:meth:`PaperContent.to_json`); exhibits are written beside it.
    out_pdf : path
        The paper.
    source : path, default "paper"
        Folder with ``paper.typ`` and ``refs.bib``.

    Returns
    -------
    Path
        `out_pdf`; the same bytes for the same content.

    Raises
    ------
    ReportError
        If a file is missing, or Typst gives an error or a warning.
    """
    generated, home = Path(generated_dir), Path(source)
    write_exhibits(PaperContent.from_json(_existing(generated / CONTENT)), generated)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("paper.typ", "refs.bib"):
            shutil.copyfile(_existing(home / name), root / name)
        shutil.copytree(generated, root / "generated")
        return compile_typst(root / "paper.typ", out_pdf)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ReportError(f"There is no file {path}.", hint="Name the folder of paper.typ with source=...")
    return path


def compile_typst(source: str | os.PathLike[str], out_pdf: str | os.PathLike[str]) -> Path:
    """Typeset one Typst file with the fonts that Typst and zhplot ship, and no others.

    Parameters
    ----------
    source : path
        The file; what it reads must stand in the same folder or below.
    out_pdf : path
        Where the PDF goes.

    Returns
    -------
    Path
        `out_pdf`.

    Raises
    ------
    ReportError
        If Typst gives an error or a warning (a missing font is one: it would print boxes).
    """
    import typst

    path = Path(source)
    try:
        pdf, warnings = typst.compile_with_warnings(
            str(path),
            root=str(path.parent),
            font_paths=[str(chinese_font().parent)],
            ignore_system_fonts=True,
            format="pdf",
            timestamp=0,
        )
    except typst.TypstError as error:
        hints = " ".join(getattr(error, "hints", ()) or ())
        raise ReportError(f"The paper could not be typeset: {error}", hint=hints) from None
    if warnings:
        listed = "; ".join(str(warning) for warning in warnings)
        raise ReportError(f"Typst warned while typesetting the paper: {listed}", hint="Mend the source.")
    target = Path(out_pdf)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(pdf)
    return target
