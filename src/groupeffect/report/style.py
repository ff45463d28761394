"""How figures look: one seaborn style, colours that colour-blind readers can tell apart, fonts that have Chinese.

Colours are told apart by marker and line as well, and keep a contrast of at least 4.5 on white, so that labels can have
the colour of what they name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from groupeffect.errors import ReportError

__all__ = ["COLOURS", "FONT", "MARKERS", "chinese_font", "report_style"]

FONT: Final = "Noto Sans SC"
COLOURS: Final = {
    "member": "#0B5FA5",
    "core": "#B04A00",
    "net": "#4D4D4D",
    "other": "#0B5FA5",
    "truth": "#1B1B1B",
    "muted": "#636363",
    "grid": "#DDDDDD",
    "before": "#ECECEC",
    "baseline": "#CFE3D2",
    "selection": "#DCDCDC",
    "not_observed": "#FFFFFF",
    "identified": "#BBD6EE",
    "no_comparison": "#F3C6A5",
}
MARKERS: Final = {"member": "o", "core": "s", "net": "D", "other": "o"}


@cache
def chinese_font() -> Path:
    """Path of the font that all figures, the paper and the Chinese brief use.

    Raises
    ------
    ReportError
        If the package that ships it is missing.
    """
    spec = find_spec("zhplot")
    home = None if spec is None or spec.origin is None else Path(spec.origin).parent
    path = None if home is None else home / "fonts" / "NotoSansSC-Regular.ttf"
    if path is None or not path.is_file():
        raise ReportError("The font Noto Sans SC was not found.", hint="Install the package zhplot, which ships it.")
    return path


@cache
def _register_font() -> None:
    from matplotlib import font_manager

    font_manager.fontManager.addfont(str(chinese_font()))


@contextmanager
def report_style() -> Iterator[None]:
    """Style in which figures are drawn and saved; settings outside are left as they were."""
    import matplotlib as mpl
    import seaborn as sns

    _register_font()
    settings = {
        **sns.plotting_context("paper"),
        **sns.axes_style("white"),
        "font.family": FONT,
        "font.size": 9,
        "axes.labelsize": 9,
        "axes.titlesize": 8.5,
        "axes.titlecolor": COLOURS["muted"],
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "axes.edgecolor": "#8C8C8C",
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": COLOURS["grid"],
        "axes.unicode_minus": True,
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "svg.fonttype": "path",
        "svg.hashsalt": "groupeffect",
        "pdf.fonttype": 42,
        "hatch.linewidth": 0.5,
    }
    with mpl.rc_context(settings):
        yield
