"""Figures: functions that return axes, each with a sibling that returns the frame it draws.

>>> ax = ge.figures.event_study(result)                                   # doctest: +SKIP
>>> ax = ge.figures.event_study({"member": members, "core": cores})       # doctest: +SKIP
>>> frame = ge.figures.event_study_frame(result)                          # doctest: +SKIP
>>> ge.figures.save_figure(ax.figure, "out/event_study", frame)           # doctest: +SKIP

Nothing is shown on a screen. Every picture has its number of units and its intervals; ``alt_text(frame)`` says in words
what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from groupeffect.report import draw
from groupeffect.report.alt import alt_text
from groupeffect.report.frames import (
    design_comparison_frame,
    effect_distribution_frame,
    event_study_frame,
    missingness_frame,
    support_map_frame,
    synthetic_path_frame,
)
from groupeffect.report.plain import Language
from groupeffect.report.save import save_figure, svg_text
from groupeffect.report.style import report_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from groupeffect.design.design import Design
    from groupeffect.fitting import Fit
    from groupeffect.panel.panel import Panel
    from groupeffect.reform.support import SupportMap
    from groupeffect.result import Result

__all__ = [
    "alt_text",
    "design_comparison",
    "design_comparison_frame",
    "effect_distribution",
    "effect_distribution_frame",
    "event_study",
    "event_study_frame",
    "figure_of",
    "missingness",
    "missingness_frame",
    "report_style",
    "save_figure",
    "support_map",
    "support_map_frame",
    "svg_text",
    "synthetic_path",
    "synthetic_path_frame",
]

_SIZES = {
    "event_study": (7.0, 3.5),
    "support_map": (7.0, 2.9),
    "synthetic_path": (7.0, 3.2),
    "effect_distribution": (6.0, 2.8),
    "missingness": (7.0, 2.6),
    "design_comparison": (7.0, 3.2),
}


@contextmanager
def _axes(ax: Axes | None, kind: str) -> Iterator[Axes]:
    """Given axes, or new ones that belong to no window; drawn in the style of the report."""
    from matplotlib.figure import Figure

    with report_style():
        yield Figure(figsize=_SIZES[kind]).subplots() if ax is None else ax


def event_study(result: Result | Mapping[str, Result], *, ax: Axes | None = None, language: Language = "en") -> Axes:
    """Effects by time since joining, with intervals and (if there is one) the simultaneous band.

    Parameters
    ----------
    result : Result or mapping of str to Result
        Aggregated with ``ge.by_event_time(...)``. A mapping draws several series; the names "member" and "core" have
        their own colours and words.
    ax : Axes, optional
        Where to draw; new axes by default.
    language : {"en", "zh"}, default "en"
        Language of the labels.

    Returns
    -------
    Axes

    Raises
    ------
    ReportError
        If a result is not by event time.
    """
    frame = event_study_frame(result)
    with _axes(ax, "event_study") as axes:
        return draw.draw_event_study(frame, axes, language)


def support_map(source: SupportMap | Fit | Design, *, ax: Axes | None = None, language: Language = "en") -> Axes:
    """Where effects can be estimated: cohort by time, with the number of comparison units left.

    Parameters
    ----------
    source : SupportMap, Fit or Design
        See :func:`support_map_frame`.
    ax : Axes, optional
        Where to draw; new axes by default.
    language : {"en", "zh"}, default "en"
        Language of the labels.
    """
    frame = support_map_frame(source)
    with _axes(ax, "support_map") as axes:
        return draw.draw_support_map(frame, axes, language)


def synthetic_path(
    result: Result, *, ax: Axes | None = None, show: Literal["path", "gap"] = "path", language: Language = "en"
) -> Axes:
    """Treated average and its synthetic twin, or the gap between them with its interval.

    Parameters
    ----------
    result : Result
        Of an estimator with a counterfactual.
    ax : Axes, optional
        Where to draw; new axes by default.
    show : {"path", "gap"}, default "path"
        Both paths, or their difference.
    language : {"en", "zh"}, default "en"
        Language of the labels.

    Raises
    ------
    ReportError
        If the result has no counterfactual.
    """
    frame = synthetic_path_frame(result)
    with _axes(ax, "synthetic_path") as axes:
        return draw.draw_synthetic_path(frame, axes, language, show)


def effect_distribution(result: Result, *, ax: Axes | None = None, language: Language = "en") -> Axes:
    """Predicted effects of single units (nameless) and their mean with its interval.

    Parameters
    ----------
    result : Result
        Of an estimator with unit-level predictions, for example ``ge.hte.DRLearner``.
    ax : Axes, optional
        Where to draw; new axes by default.
    language : {"en", "zh"}, default "en"
        Language of the labels.

    Raises
    ------
    ReportError
        If the result has no effects of single units.
    """
    frame = effect_distribution_frame(result)
    with _axes(ax, "effect_distribution") as axes:
        return draw.draw_effect_distribution(frame, axes, language)


def missingness(panel: Panel, *, ax: Axes | None = None, language: Language = "en") -> Axes:
    """Share of units without an outcome, by first treated time and time.

    Parameters
    ----------
    panel : Panel
        The validated panel.
    ax : Axes, optional
        Where to draw; new axes by default.
    language : {"en", "zh"}, default "en"
        Language of the labels.
    """
    frame = missingness_frame(panel)
    with _axes(ax, "missingness") as axes:
        return draw.draw_missingness(frame, axes, language)


def design_comparison(
    results: Mapping[tuple[str, str], Result], *, ax: Axes | None = None, language: Language = "en"
) -> Axes:
    """Overall effects of the same schools under several designs: why the default baseline matters.

    Parameters
    ----------
    results : mapping of (role, analysis) to Result
        See :func:`design_comparison_frame`.
    ax : Axes, optional
        Where to draw; new axes by default.
    language : {"en", "zh"}, default "en"
        Language of the labels.
    """
    frame = design_comparison_frame(results)
    with _axes(ax, "design_comparison") as axes:
        return draw.draw_design_comparison(frame, axes, language)


def figure_of(frame: pd.DataFrame, *, language: Language = "en") -> Figure:
    """Whole figure of a frame of this module, by the name it carries in ``frame.attrs["figure"]``.

    Parameters
    ----------
    frame : DataFrame
        From one of the ``*_frame`` functions.
    language : {"en", "zh"}, default "en"
        Language of the labels.

    Raises
    ------
    ReportError
        If the frame does not say what it belongs to.
    """
    from matplotlib.figure import Figure

    from groupeffect.errors import ReportError

    kind = str(frame.attrs.get("figure", ""))
    simple: dict[str, Callable[[pd.DataFrame, Axes, Language], Axes]] = {
        "event_study": draw.draw_event_study,
        "support_map": draw.draw_support_map,
        "effect_distribution": draw.draw_effect_distribution,
        "missingness": draw.draw_missingness,
        "design_comparison": draw.draw_design_comparison,
    }
    if kind not in _SIZES:
        raise ReportError(f"The frame belongs to no figure ({kind!r}).", hint=f"Known: {', '.join(_SIZES)}.")
    with report_style():
        figure = Figure(figsize=_SIZES[kind])
        if kind == "synthetic_path":
            left, right = figure.subplots(1, 2)
            draw.draw_synthetic_path(frame, left, language, "path")
            draw.draw_synthetic_path(frame, right, language, "gap")
        else:
            simple[kind](frame, figure.subplots(), language)
    return figure
