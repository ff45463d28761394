"""Drawing: one function per figure, from its frame onto axes. No estimation, no data reading, no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from groupeffect.report.locale import phrase
from groupeffect.report.numbers import NumberKind, format_number
from groupeffect.report.plain import Language
from groupeffect.report.style import COLOURS, FONT, MARKERS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "draw_design_comparison",
    "draw_effect_distribution",
    "draw_event_study",
    "draw_missingness",
    "draw_support_map",
    "draw_synthetic_path",
]

_STATUSES = ("baseline", "selection", "before", "identified", "no_comparison", "not_observed")
_HATCHES = {"no_comparison": "////", "selection": "...."}
_LINE: dict[str, Any] = {"linewidth": 1.6, "solid_capstyle": "round"}


class _Words:
    """Phrases of one figure in one language."""

    def __init__(self, figure: str, language: Language, attrs: dict[Any, Any]) -> None:
        self.language = language
        self._prefix = f"figure.{figure}."
        unit = str(attrs.get("unit") or "")
        self.unit = phrase(language, "unit.sd") if unit == "sd" else unit
        self.level = self.number(float(attrs.get("level", 0.95)), "level")

    def __call__(self, key: str, **slots: str) -> str:
        text = phrase(self.language, self._prefix + key).format(unit=self.unit, level=self.level, **slots)
        return text.replace(" ()", "").replace("（）", "")

    def number(self, value: float, kind: NumberKind = "count", decimals: int = 2) -> str:
        return format_number(value, kind, self.language, decimals=decimals)


def _finish(ax: Axes, language: Language, *notes: Sequence[str]) -> Axes:
    """Put the notes (one line each) above the axes and one font on everything that is written."""
    colon = "；" if language == "zh" else ";  "
    lines = "\n".join(colon.join(part for part in line if part) for line in notes if any(line))
    ax.set_title(lines, loc="left", color=COLOURS["muted"], fontsize=8.5)
    ax.tick_params(labelfontfamily=FONT, color="#8C8C8C")
    legend = ax.get_legend()
    texts = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts, *([] if legend is None else legend.get_texts())]
    titles = [getattr(ax, "_left_title", ax.title)]
    for text in (*texts, *titles):
        text.set_fontfamily(FONT)
    return ax


def _value_axis(ax: Axes, axis: Literal["x", "y"]) -> None:
    """Light grid lines and a line at zero for an axis of effects."""
    ax.grid(axis=axis, color=COLOURS["grid"], linewidth=0.6)
    ax.set_axisbelow(True)
    zero: dict[str, Any] = {"color": "#4A4A4A", "linewidth": 0.9, "zorder": 1.5}
    if axis == "y":
        ax.axhline(0, **zero)
    else:
        ax.axvline(0, **zero)


def draw_event_study(frame: pd.DataFrame, ax: Axes, language: Language) -> Axes:
    """Effects by event time with intervals; several series side by side."""
    words = _Words("event_study", language, frame.attrs)
    names = list(dict.fromkeys(frame["series"]))
    shifts = np.linspace(-0.1, 0.1, len(names)) * (len(names) > 1)
    _value_axis(ax, "y")
    ax.axvline(-0.5, color="#8C8C8C", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.4)
    notes = []
    for name, shift in zip(names, shifts, strict=True):
        rows = frame[frame["series"] == name]
        _one_series(ax, rows, str(name), float(shift))
        label = _series_label(words, str(name))
        largest, fewest = rows["n_treated"].max(), rows.loc[rows["n_comparison"] > 0, "n_comparison"].min()
        count = words("note", n=words.number(largest), m=words.number(0 if np.isnan(fewest) else fewest))
        notes.append(count if len(names) == 1 else phrase(language, "language.of").format(a=label, b=count))
    if len(names) > 1:
        _label_series(ax, frame, names, words)
    legend = [words("interval")]
    if frame["band_low"].notna().any():
        legend.append(words("band"))
    if frame["is_reference"].any():
        legend.append(words("reference"))
    ticks = np.sort(frame["event_time"].unique())
    ax.set_xticks(ticks[:: max(1, len(ticks) // 12)])
    ax.xaxis.set_major_formatter(lambda value, _: words.number(value))
    reform = bool({"member", "core", "net"} & set(names))
    ax.set_xlabel(words("x" if reform else "x_other"))
    ax.set_ylabel(words("y" if reform else "y_other"))
    style: dict[str, Any] = {"va": "top", "fontsize": 8, "color": COLOURS["muted"]}
    ax.text(-0.46, 0.985, words("joined" if reform else "started"), transform=ax.get_xaxis_transform(), **style)
    return _finish(ax, language, notes, legend)


def _series_label(words: _Words, name: str) -> str:
    return words(name) if name in ("member", "core", "net", "other") else name


def _one_series(ax: Axes, rows: pd.DataFrame, name: str, shift: float) -> None:
    colour, marker = COLOURS.get(name, COLOURS["other"]), MARKERS.get(name, "o")
    x, y = rows["event_time"].to_numpy(dtype=float) + shift, rows["estimate"].to_numpy(dtype=float)
    low, high = rows["conf_low"].to_numpy(dtype=float), rows["conf_high"].to_numpy(dtype=float)
    band_low, band_high = rows["band_low"].to_numpy(dtype=float), rows["band_high"].to_numpy(dtype=float)
    if np.isfinite(band_low).any():
        ax.fill_between(x, band_low, band_high, color=colour, alpha=0.12, linewidth=0, zorder=1)
    ax.plot(x, y, color=colour, linewidth=0.9, alpha=0.55, zorder=2)
    ax.vlines(x, low, high, color=colour, linewidth=1.6, zorder=2.5)
    base = rows["is_reference"].to_numpy(dtype=bool)
    ax.plot(x[~base], y[~base], marker, color=colour, markersize=5, zorder=3)
    ax.plot(x[base], y[base], marker, markerfacecolor="white", markeredgecolor=colour, markersize=5, zorder=3)


def _label_series(ax: Axes, frame: pd.DataFrame, names: list[Any], words: _Words) -> None:
    """Names of the series at their right ends, pushed apart where they would touch."""
    ends: dict[Any, tuple[float, float]] = {}
    for name, rows in frame.sort_values("event_time").groupby("series"):
        ends[name] = (float(rows["event_time"].iloc[-1]), float(rows["estimate"].iloc[-1]))
    low, high = ax.get_ylim()
    gap = 0.075 * (high - low)
    placed: dict[float, float] = {}
    for name in sorted(names, key=lambda item: ends[item][1]):
        end, height = ends[name]
        height = max(height, placed.get(end, -np.inf) + gap)
        placed[end] = height
        colour = COLOURS.get(str(name), COLOURS["other"])
        ax.text(end + 0.28, height, _series_label(words, str(name)), color=colour, va="center", fontsize=9)
    left, _ = ax.get_xlim()
    final = float(frame["event_time"].max())
    ax.set_xlim(left, final + 0.3 + 0.16 * (final - left))


def draw_support_map(frame: pd.DataFrame, ax: Axes, language: Language) -> Axes:
    """Cohort by time: before joining, can be estimated, nobody left to compare with."""
    from matplotlib.patches import Patch

    words = _Words("support_map", language, frame.attrs)
    cohorts, times = np.unique(frame["cohort"]), np.unique(frame["time"])
    crowded = len(times) > 14
    for cohort, time, _, n, status in frame[["cohort", "time", "n_treated", "n_comparison", "status"]].itertuples(
        index=False
    ):
        x, y = np.searchsorted(times, time), np.searchsorted(cohorts, cohort)
        hatch = _HATCHES.get(str(status))
        box = {"facecolor": COLOURS[str(status)], "edgecolor": "white", "linewidth": 1.5}
        ax.add_patch(_cell(float(x), float(y), hatch, box))
        if status == "identified" and not crowded:
            ax.text(x, y, words.number(float(n)), ha="center", va="center", fontsize=8, color="#1B1B1B")
    sizes = frame.groupby("cohort")["n_treated"].max()
    _grid_axes(ax, times, len(cohorts))
    ax.set_yticks(range(len(cohorts)))
    rows = [
        words("row", cohort=words.number(float(cohort), "year"), n=words.number(float(sizes[cohort])))
        for cohort in cohorts
    ]
    ax.set_yticklabels(rows)
    ax.set_xlabel(words("x"))
    ax.set_ylabel(words("y"))
    present = [name for name in _STATUSES if (frame["status"] == name).any()]
    handles = [Patch(facecolor=COLOURS[name], hatch=_HATCHES.get(name), edgecolor="white") for name in present]
    names = [words(name) for name in present]
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.45, -0.2)}
    ax.legend(handles, names, ncols=len(names), columnspacing=1.2, handlelength=1.4, **place)
    return _finish(ax, language, [words("note")])


def _cell(x: float, y: float, hatch: str | None, style: dict[str, Any]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, hatch=hatch, **style)


def _grid_axes(ax: Axes, times: Any, rows: int) -> None:
    step = max(1, len(times) // 14)
    ax.set_xlim(-0.5, len(times) - 0.5)
    ax.set_ylim(rows - 0.5, -0.5)
    ax.set_xticks(range(0, len(times), step))
    ax.set_xticklabels([f"{time:g}" for time in times[::step]])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def draw_synthetic_path(frame: pd.DataFrame, ax: Axes, language: Language, show: Literal["path", "gap"]) -> Axes:
    """Observed and synthetic path, or the gap between them with its interval."""
    words = _Words("synthetic_path", language, frame.attrs)
    time = frame["time"].to_numpy(dtype=float)
    start = float(time[frame["is_treated"].to_numpy(dtype=bool)].min())
    step = float(np.diff(time).min()) if len(time) > 1 else 1.0
    ax.axvline(start - step / 2, color="#8C8C8C", linewidth=0.9, linestyle=(0, (4, 3)))
    colour = COLOURS["member"]
    if show == "path":
        ax.grid(axis="y", color=COLOURS["grid"], linewidth=0.6)
        ax.plot(time, frame["observed"], color=colour, label=words("observed"), **_LINE)
        dashed: dict[str, Any] = {"color": COLOURS["core"], "linestyle": (0, (5, 2)), "linewidth": 1.6}
        ax.plot(time, frame["synthetic"], label=words("synthetic"), **dashed)
        ax.set_ylabel(words("y"))
        ax.legend(loc="best")
    else:
        _value_axis(ax, "y")
        low, high = frame["conf_low"].to_numpy(dtype=float), frame["conf_high"].to_numpy(dtype=float)
        ax.fill_between(time, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(time, frame["gap"], color=colour, marker="o", markersize=3, **_LINE)
        ax.set_ylabel(words("y_gap"))
    ax.set_xlabel(words("x"))
    ax.xaxis.set_major_locator(_whole_numbers())
    n, m = (words.number(float(frame[name].iloc[0])) for name in ("n_treated", "n_donors"))
    note = [words("note", n=n, m=m)]
    if show == "gap":
        note = [phrase(language, "ui.interval").format(level=words.level)]
    return _finish(ax, language, note)


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, nbins=8)


def draw_effect_distribution(frame: pd.DataFrame, ax: Axes, language: Language) -> Axes:
    """Histogram of predicted unit effects with the mean, or ordered group estimates with intervals."""
    words = _Words("effect_distribution", language, frame.attrs)
    groups = frame[frame["kind"] == "group"]
    _value_axis(ax, "x")
    notes = _ordered_groups(ax, groups, words) if len(groups) else _histogram(ax, frame, words)
    mean = frame[frame["kind"] == "mean"]
    if len(mean):
        row = mean.iloc[0]
        values = [words.number(float(row[name]), "effect") for name in ("value", "conf_low", "conf_high")]
        known = bool(np.isfinite(row["conf_low"]))
        if known:
            ax.axvspan(row["conf_low"], row["conf_high"], color=COLOURS["core"], alpha=0.15, linewidth=0, zorder=0.5)
        ax.axvline(row["value"], color=COLOURS["core"], linewidth=1.6)
        value, low, high = values
        notes.append(words("mean", value=value, low=low, high=high) if known else words("mean_only", value=value))
    ax.set_xlabel(words("x"))
    return _finish(ax, language, notes)


def _histogram(ax: Axes, frame: pd.DataFrame, words: _Words) -> list[str]:
    import seaborn as sns

    values = frame.loc[frame["kind"] == "unit", "value"].to_numpy(dtype=float)
    bins = int(np.clip(np.sqrt(len(values)), 5, 30))
    sns.histplot(x=values, bins=bins, ax=ax, color=COLOURS["identified"], edgecolor=COLOURS["member"], linewidth=0.6)
    ax.set_ylabel(words("y"))
    return [words("note", n=words.number(len(values)))]


def _ordered_groups(ax: Axes, groups: pd.DataFrame, words: _Words) -> list[str]:
    ordered = groups.sort_values("value")
    place = np.arange(len(ordered))
    ax.hlines(place, ordered["conf_low"], ordered["conf_high"], color=COLOURS["member"], linewidth=1.1, alpha=0.6)
    ax.plot(ordered["value"], place, "o", color=COLOURS["member"], markersize=3)
    ax.set_ylabel(words("y_group"))
    ax.set_yticks([])
    return [words("note_group", n=words.number(len(ordered)))]


def draw_missingness(frame: pd.DataFrame, ax: Axes, language: Language) -> Axes:
    """Share of units without an outcome, cohort by time, as a coloured table."""
    import seaborn as sns

    words = _Words("missingness", language, frame.attrs)
    table = frame.pivot_table(index="cohort", columns="time", values="share_missing", aggfunc="first")
    sizes = frame.groupby("cohort")["n_units"].first()
    percent = 100 * table
    sns.heatmap(
        percent,
        ax=ax,
        cmap=sns.light_palette(COLOURS["core"], as_cmap=True),
        vmin=0,
        vmax=max(20.0, float(np.nanmax(percent.to_numpy()))),
        annot=len(table.columns) <= 14,
        fmt=".0f",
        cbar=False,
        linewidths=1.2,
        linecolor="white",
        annot_kws={"fontsize": 8},
    )
    names = [
        words("never") if np.isinf(cohort) else words.number(float(cohort), "year") for cohort in table.index.to_numpy()
    ]
    labels = [
        words("row", cohort=name, n=words.number(float(sizes[cohort])))
        for name, cohort in zip(names, table.index, strict=True)
    ]
    ax.set_yticklabels(labels, rotation=0)
    ax.set_xticklabels([f"{time:g}" for time in table.columns], rotation=0)
    ax.set_xlabel(words("x"))
    ax.set_ylabel(words("y"))
    return _finish(ax, language, [words("note", n=words.number(float(sizes.sum())))])


def draw_design_comparison(frame: pd.DataFrame, ax: Axes, language: Language) -> Axes:
    """Estimates of the same schools under three designs, and the true value where it is known."""
    words = _Words("design_comparison", language, frame.attrs)
    _value_axis(ax, "x")
    order = ("before_after", "last_year_base", "pre_designation")
    place, ticks, labels = 0.0, [], []
    for role in [name for name in ("member", "core") if (frame["role"] == name).any()]:
        rows = frame[frame["role"] == role]
        ticks.append(place)
        labels.append(_words_of_role(language, role))
        top = place
        for analysis in [name for name in order if (rows["analysis"] == name).any()]:
            place += 1
            _one_design(ax, rows[rows["analysis"] == analysis].iloc[0], place, role)
            ticks.append(place)
            n = words.number(float(rows.loc[rows["analysis"] == analysis, "n_treated"].iloc[0]))
            labels.append(words("row", analysis=words(analysis), n=n))
        if "true_value" in rows.columns and rows["true_value"].notna().any():
            truth = float(rows["true_value"].dropna().iloc[0])
            ax.plot([truth, truth], [top + 0.5, place + 0.5], color=COLOURS["truth"], linewidth=1.2, linestyle=":")
            ax.text(truth, top + 0.35, words("truth"), fontsize=8, ha="center", va="bottom", color=COLOURS["truth"])
        place += 1.4
    ax.set_ylim(place - 0.7, -0.5)
    ax.set_yticks(ticks)
    ax.set_yticklabels(labels)
    ax.set_xlabel(words("x"))
    for label in ax.get_yticklabels():
        known = [role for role in ("member", "core") if label.get_text() == _words_of_role(language, role)]
        label.set(color=COLOURS[known[0]] if known else COLOURS["truth"], fontsize=9.5 if known else 8.5)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return _finish(ax, language, [words("note")])


def _words_of_role(language: Language, role: str) -> str:
    return phrase(language, f"figure.event_study.{role}")


def _one_design(ax: Axes, row: pd.Series, place: float, role: str) -> None:
    colour = COLOURS[role]
    ax.hlines(place, row["conf_low"], row["conf_high"], color=colour, linewidth=1.6)
    filled = colour if row["analysis"] == "pre_designation" else "white"
    ax.plot(row["estimate"], place, MARKERS[role], markerfacecolor=filled, markeredgecolor=colour, markersize=6)
