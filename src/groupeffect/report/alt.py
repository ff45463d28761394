"""What a figure shows, in words: the alternative text for readers who cannot see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from groupeffect.errors import ReportError
from groupeffect.report.locale import phrase
from groupeffect.report.numbers import format_number
from groupeffect.report.plain import Language

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["alt_text"]


def alt_text(frame: pd.DataFrame, *, language: Language = "en") -> str:
    """Say what the figure of a frame shows, with its numbers.

    Parameters
    ----------
    frame : DataFrame
        From one of the ``*_frame`` functions.
    language : {"en", "zh"}, default "en"
        Language.

    Raises
    ------
    ReportError
        If the frame does not say which figure it belongs to, or is empty.
    """
    kind = str(frame.attrs.get("figure", ""))
    if kind not in _WRITERS:
        raise ReportError(f"The frame belongs to no figure ({kind!r}).", hint=f"Known: {', '.join(_WRITERS)}.")
    if len(frame) == 0:
        raise ReportError(f"The frame of figure {kind!r} is empty.")
    return _WRITERS[kind](frame, language)


def _effect(value: float, language: Language) -> str:
    return "–" if np.isnan(value) else format_number(value, "effect", language)


def _event_study(frame: pd.DataFrame, language: Language) -> str:
    sentences = []
    for name, rows in frame.groupby("series", sort=False):
        known = rows[rows["conf_low"].notna() & ~rows["is_reference"].astype(bool)].sort_values("event_time")
        shown = known if len(known) else rows
        slots = {"name": _name(str(name), language), "n": format_number(len(shown), "count", language)}
        for place, row in (("first", shown.iloc[0]), ("last", shown.iloc[-1])):
            slots[place] = format_number(float(row["event_time"]), "count", language)
            slots[f"{place}_value"] = _effect(float(row["estimate"]), language)
            slots[f"{place}_low"] = _effect(float(row["conf_low"]), language)
            slots[f"{place}_high"] = _effect(float(row["conf_high"]), language)
        sentences.append(phrase(language, "alt.event_study_series").format(**slots))
    return phrase(language, "alt.event_study").format(series=phrase(language, "language.space").join(sentences))


def _name(name: str, language: Language) -> str:
    known = name in ("member", "core", "net", "other")
    return phrase(language, f"figure.event_study.{name}") if known else name


def _support_map(frame: pd.DataFrame, language: Language) -> str:
    after = frame[frame["status"].isin(["identified", "no_comparison"])]
    good = after[after["status"] == "identified"]
    last = format_number(float(good["time"].max()), "year", language) if len(good) else "–"
    counts = {"total": len(after), "identified": len(good), "lost": len(after) - len(good)}
    written = {name: format_number(value, "count", language) for name, value in counts.items()}
    return phrase(language, "alt.support_map").format(last=last, **written)


def _synthetic_path(frame: pd.DataFrame, language: Language) -> str:
    treated = frame["is_treated"].astype(bool)
    years = {
        "first": float(frame["time"].min()),
        "last": float(frame["time"].max()),
        "start": float(frame.loc[treated, "time"].min()),
    }
    return phrase(language, "alt.synthetic_path").format(
        **{name: format_number(value, "year", language) for name, value in years.items()},
        before=_effect(float(frame.loc[~treated, "gap"].mean()), language),
        after=_effect(float(frame.loc[treated, "gap"].mean()), language),
    )


def _effect_distribution(frame: pd.DataFrame, language: Language) -> str:
    groups = frame[frame["kind"] == "group"]
    shown = groups if len(groups) else frame[frame["kind"] == "unit"]
    mean = frame.loc[frame["kind"] == "mean", "value"]
    slots = {
        "n": format_number(len(shown), "count", language),
        "low": _effect(float(shown["value"].min()), language),
        "high": _effect(float(shown["value"].max()), language),
        "mean": _effect(float(mean.iloc[0]) if len(mean) else float("nan"), language),
    }
    return phrase(language, f"alt.effect_distribution{'_group' if len(groups) else ''}").format(**slots)


def _missingness(frame: pd.DataFrame, language: Language) -> str:
    row = frame.sort_values("share_missing", kind="stable").iloc[-1]
    cohort = float(row["cohort"])
    never = phrase(language, "figure.missingness.never")
    return phrase(language, "alt.missingness").format(
        largest=format_number(float(row["share_missing"]), "percent", language),
        cohort=never if np.isinf(cohort) else format_number(cohort, "year", language),
        time=format_number(float(row["time"]), "year", language),
    )


def _design_comparison(frame: pd.DataFrame, language: Language) -> str:
    sentences = []
    for _, row in frame.iterrows():
        role = _name(str(row["role"]), language)
        analysis = phrase(language, f"figure.design_comparison.{row['analysis']}")
        sentences.append(
            phrase(language, "alt.design_comparison_series").format(
                name=f"{role}, {analysis}" if language == "en" else f"{role}（{analysis}）",
                value=_effect(float(row["estimate"]), language),
                low=_effect(float(row["conf_low"]), language),
                high=_effect(float(row["conf_high"]), language),
            )
        )
    return phrase(language, "alt.design_comparison").format(series=phrase(language, "language.space").join(sentences))


_WRITERS: dict[str, Callable[[pd.DataFrame, Language], str]] = {
    "event_study": _event_study,
    "support_map": _support_map,
    "synthetic_path": _synthetic_path,
    "effect_distribution": _effect_distribution,
    "missingness": _missingness,
    "design_comparison": _design_comparison,
}
