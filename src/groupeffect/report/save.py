"""Figures as files: the same bytes every time, with the data they draw beside them."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from groupeffect.report.style import report_style

if TYPE_CHECKING:
    import os

    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["save_figure", "svg_text"]


def save_figure(figure: Figure, path_stem: str | os.PathLike[str], frame: pd.DataFrame) -> tuple[Path, Path, Path]:
    """Write a figure as SVG and PDF and the data it draws as CSV; no dates, no machine names: byte-stable.

    Parameters
    ----------
    figure : Figure
        The figure; from axes it is ``ax.figure``.
    path_stem : path
        Path without suffix; its folder is made if needed.
    frame : DataFrame
        What the figure draws. Text cells that a spreadsheet would run as a formula are neutralised.

    Returns
    -------
    tuple of Path
        The SVG, PDF and CSV files.
    """
    from groupeffect.report.tables import to_csv

    stem = Path(path_stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    svg, pdf, csv = (stem.with_name(stem.name + suffix) for suffix in (".svg", ".pdf", ".csv"))
    svg.write_text(svg_text(figure), encoding="utf-8")
    with report_style():
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    to_csv(frame, csv)
    return svg, pdf, csv


def svg_text(figure: Figure, *, title: str = "", description: str = "", prefix: str = "") -> str:
    """Figure as SVG text without XML header; text is drawn as paths, so no font is needed to read it.

    Parameters
    ----------
    figure : Figure
        The figure.
    title, description : str
        Words for readers who cannot see it; they become ``<title>`` and ``<desc>``.
    prefix : str
        Put before every id, so that several figures can stand in one page.
    """
    from html import escape

    buffer = io.StringIO()
    with report_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    if prefix:
        text = re.sub(r'(\bid="|xlink:href="#|href="#|url\(#)', rf"\g<1>{prefix}", text)
    if title:
        names = f'<title id="{prefix}title">{escape(title)}</title>\n'
        names += f'<desc id="{prefix}desc">{escape(description)}</desc>\n'
        attributes = f' role="img" aria-labelledby="{prefix}title {prefix}desc"'
        head = text.index(">")
        text = text[:head] + attributes + text[head : head + 1] + "\n" + names + text[head + 1 :].lstrip("\n")
    return text
