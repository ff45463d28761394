"""Result: estimates with their uncertainty, ready for tables, figures and files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.effects.effects import EffectIndex
from groupeffect.errors import ReportError
from groupeffect.protocols import Inference, Uncertainty

if TYPE_CHECKING:
    import os

    import pandas as pd

    from groupeffect.fitting import Fit
    from groupeffect.panel.panel import Panel

__all__ = ["TIDY_COLUMNS", "Result"]

TIDY_COLUMNS = (
    "term",
    "cohort",
    "time",
    "event_time",
    "estimate",
    "std_error",
    "statistic",
    "p_value",
    "conf_low",
    "conf_high",
    "band_low",
    "band_high",
    "n_treated",
    "n_comparison",
)
"""Columns of :meth:`Result.tidy`, always these, in this order."""

_FORMAT = "groupeffect-result-1"


class Result:
    """Estimates, their uncertainty and what a reader must know about them.

    Parameters
    ----------
    fit : Fit
        What was estimated.
    uncertainty : Uncertainty
        From an inference strategy.
    strategy : Inference
        The strategy.
    level : float
        Confidence level of intervals and bands.

    Attributes
    ----------
    index : EffectIndex
        Keys of the k rows.
    estimate : ndarray of shape (k,)
        Estimates in outcome units.
    uncertainty : Uncertainty
        Standard errors, intervals, bands.
    level : float
        Confidence level.
    about : mapping
        Estimator, options, design, strategy, counts: what :meth:`glance` shows.
    notes : tuple of str
        Everything dropped, refused or uncertain on the way, the panel's history included.
    fit : Fit or None
        What was estimated; None for a result read from a file.
    """

    __slots__ = ("about", "estimate", "fit", "index", "level", "notes", "uncertainty")
    index: EffectIndex
    estimate: FloatArray
    uncertainty: Uncertainty
    level: float
    about: dict[str, object]
    notes: tuple[str, ...]
    fit: Fit | None

    def __init__(self, fit: Fit, uncertainty: Uncertainty, *, strategy: Inference, level: float) -> None:
        effects = fit.effects
        self._set(
            effects.index,
            effects.estimate,
            uncertainty,
            level,
            _about(fit, uncertainty, strategy, level),
            _notes(fit, uncertainty),
            fit,
        )

    def _set(
        self,
        index: EffectIndex,
        estimate: FloatArray,
        uncertainty: Uncertainty,
        level: float,
        about: Mapping[str, object],
        notes: tuple[str, ...],
        fit: Fit | None,
    ) -> None:
        put = object.__setattr__
        put(self, "index", index)
        put(self, "estimate", estimate)
        put(self, "uncertainty", uncertainty)
        put(self, "level", level)
        put(self, "about", dict(about))
        put(self, "notes", tuple(notes))
        put(self, "fit", fit)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Result is read-only; {name!r} cannot be set.")

    def __reduce__(self) -> tuple[object, ...]:
        parts = (self.index, self.estimate, self.uncertainty, self.level, self.about, self.notes, self.fit)
        return (_restore, parts)

    def tidy(self) -> pd.DataFrame:
        """One row per estimate with the columns `TIDY_COLUMNS`; ``conf_*`` pointwise, ``band_*`` simultaneous."""
        import pandas as pd

        k, u = len(self.index), self.uncertainty
        nan = np.full(k, np.nan)
        band = np.full((k, 2), np.nan) if u.band is None else u.band
        data = {
            "term": self.index.term,
            "cohort": self.index.cohort,
            "time": self.index.time,
            "event_time": self.index.event_time,
            "estimate": self.estimate,
            "std_error": nan if u.std_error is None else u.std_error,
            "statistic": nan if u.statistic is None else u.statistic,
            "p_value": u.p_value,
            "conf_low": u.interval[:, 0],
            "conf_high": u.interval[:, 1],
            "band_low": band[:, 0],
            "band_high": band[:, 1],
            "n_treated": self.index.n_treated,
            "n_comparison": self.index.n_comparison,
        }
        return pd.DataFrame(data, columns=list(TIDY_COLUMNS))

    def glance(self) -> pd.DataFrame:
        """One row about the whole: estimator, design, strategy, counts, what was dropped."""
        import pandas as pd

        row = {key: value for key, value in self.about.items() if not isinstance(value, dict)}
        row["n_notes"] = len(self.notes)
        row["notes"] = "; ".join(self.notes)
        return pd.DataFrame([row])

    def augment(self, panel: Panel) -> pd.DataFrame:
        """The panel's long table with each unit-time's cohort, event time and estimated cell effect.

        Parameters
        ----------
        panel : Panel
            Panel with the units to describe.

        Returns
        -------
        DataFrame
            ``panel.to_frame()`` with ``event_time``, ``treated``, and ``effect`` (the estimate of the cohort x time,
            event time, cohort or calendar time; the single estimate otherwise; nan for untreated unit-times).
        """
        frame = panel.to_frame()
        names = panel.columns
        cohort = dict(zip(panel.unit_ids.tolist(), panel.adoption.tolist(), strict=True))
        if self.fit is not None and len(self.fit.design.unit_ids):
            cohort |= dict(zip(self.fit.design.unit_ids.tolist(), self.fit.design.cohort.tolist(), strict=True))
        first = frame[names.unit].map(cohort).to_numpy(dtype=float)
        time = frame[names.time].to_numpy(dtype=float)
        frame["event_time"] = np.where(np.isfinite(first), time - first, np.nan)
        frame["treated"] = time >= first
        frame["effect"] = np.where(frame["treated"], self._effect_at(first, time), np.nan)
        return frame

    def _effect_at(self, cohort: FloatArray, time: FloatArray) -> FloatArray:
        """Estimate that applies to each cohort and time."""
        with np.errstate(invalid="ignore"):
            keys = {"cohort": cohort, "time": time, "event_time": time - cohort}
        used = [name for name in keys if not np.isnan(getattr(self.index, name)).all()]
        if {"cohort", "time"} <= set(used):
            used = ["cohort", "time"]
        effects = self.index.term == self.index.term[0]  # other terms (projections) are not effects on a unit
        table = {
            tuple(row): value
            for *row, value in zip(
                *(getattr(self.index, name)[effects] for name in used), self.estimate[effects], strict=True
            )
        }
        wanted = zip(*(keys[name] for name in used), strict=True) if used else (() for _ in cohort)
        return np.array([table.get(tuple(key), np.nan) for key in wanted], dtype=float)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Everything but the data as JSON text; written to `path` if given. No clock, no machine name: byte-stable."""
        u = self.uncertainty
        body = {
            "format": _FORMAT,
            "level": self.level,
            "about": self.about,
            "notes": list(self.notes),
            "rows": self.tidy().to_dict("records"),
            "is_reference": self.index.is_reference.tolist(),
            "uncertainty": {
                "method": u.method,
                "n_clusters": u.n_clusters,
                "df": u.df,
                "failed_draws": u.failed_draws,
                "has_band": u.band is not None,
                "has_std_error": u.std_error is not None,
                "has_statistic": u.statistic is not None,
                "vcov": None if u.vcov is None else u.vcov.tolist(),
                "notes": list(u.notes),
            },
        }
        text = json.dumps(_plain(body), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Result:
        """Result from a file written by :meth:`to_json` (without the data, so ``fit`` is None).

        Raises
        ------
        ReportError
            If the file is not a result.
        """
        body = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(body, dict) or body.get("format") != _FORMAT:
            raise ReportError(f"{path} is not a result file ({_FORMAT}).", hint="Write it with result.to_json(path).")
        columns = {name: [row[name] for row in body["rows"]] for name in TIDY_COLUMNS}
        numbers = {
            name: np.array([np.nan if value is None else value for value in values], dtype=float)
            for name, values in columns.items()
            if name != "term"
        }
        index = EffectIndex.build(
            term=np.array(columns["term"]),
            cohort=numbers["cohort"],
            time=numbers["time"],
            event_time=numbers["event_time"],
            n_treated=numbers["n_treated"].astype(np.int64),
            n_comparison=numbers["n_comparison"].astype(np.int64),
            is_reference=np.array(body["is_reference"], dtype=bool),
        )
        saved = body["uncertainty"]
        uncertainty = Uncertainty(
            method=saved["method"],
            interval=np.column_stack([numbers["conf_low"], numbers["conf_high"]]),
            p_value=numbers["p_value"],
            std_error=numbers["std_error"] if saved["has_std_error"] else None,
            statistic=numbers["statistic"] if saved["has_statistic"] else None,
            band=np.column_stack([numbers["band_low"], numbers["band_high"]]) if saved["has_band"] else None,
            vcov=None if saved["vcov"] is None else np.array(saved["vcov"], dtype=float),
            n_clusters=saved["n_clusters"],
            df=saved["df"],
            failed_draws=saved["failed_draws"],
            notes=tuple(saved["notes"]),
        )
        return _restore(
            index, numbers["estimate"], uncertainty, body["level"], body["about"], tuple(body["notes"]), None
        )

    def __repr__(self) -> str:
        percent = f"{100 * self.level:g} %"
        lines = [f"{self.about['estimator_label']}: {len(self.index)} estimates, {self.uncertainty.method}"]
        for row in range(min(len(self.index), 12)):
            keys = [
                f"{name} {value:g}"
                for name in ("cohort", "time", "event_time")
                if not np.isnan(value := float(getattr(self.index, name)[row]))
            ]
            low, high = self.uncertainty.interval[row]
            place = ", ".join(keys) or "overall"
            lines.append(f"  {place}: {percent} interval {low:.4g} to {high:.4g}, estimate {self.estimate[row]:.4g}")
        if len(self.index) > 12:
            lines.append(f"  ... and {len(self.index) - 12} more; see .tidy()")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def _restore(
    index: EffectIndex,
    estimate: FloatArray,
    uncertainty: Uncertainty,
    level: float,
    about: Mapping[str, object],
    notes: tuple[str, ...],
    fit: Fit | None,
) -> Result:
    result = object.__new__(Result)
    result._set(index, estimate, uncertainty, level, about, notes, fit)
    return result


def _options(thing: object) -> dict[str, object]:
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return {}
    return {item.name: getattr(thing, item.name) for item in dataclasses.fields(thing)}


def _about(fit: Fit, uncertainty: Uncertainty, strategy: Inference, level: float) -> dict[str, object]:
    design, panel = fit.design, fit.panel
    return {
        "estimator": fit.estimator.info.name,
        "estimator_label": fit.estimator.info.label,
        "options": _options(fit.estimator),
        "inference": type(strategy).__name__,
        "inference_options": _options(strategy),
        "method": uncertainty.method,
        "level": level,
        "outcome": panel.columns.outcome,
        "outcome_unit": panel.columns.outcome_unit,
        "comparison": design.comparison,
        "base_period": str(design.baseline),
        "anticipation": design.anticipation,
        "n_units": panel.n_units,
        "n_times": panel.n_times,
        "n_treated": int(design.treated().sum()),
        "n_comparison_pool": int(design.comparison_pool.sum()),
        "n_clusters": uncertainty.n_clusters,
        "n_unobserved": int((~np.isfinite(panel.outcome)).sum()),
        "n_dropped_rows": sum(drop.rows for drop in panel.history),
        "n_dropped_units": sum(drop.units for drop in panel.history),
        "failed_draws": uncertainty.failed_draws,
    }


def _notes(fit: Fit, uncertainty: Uncertainty) -> tuple[str, ...]:
    dropped = [
        f"{drop.step}: {drop.reason} ({drop.rows} rows, {drop.units} units)"
        for drop in fit.panel.history
        if drop.rows or drop.units
    ]
    return tuple(dict.fromkeys([*dropped, *fit.design.notes, *fit.effects.notes, *uncertainty.notes]))


def _plain(value: Any) -> Any:
    """JSON-ready copy: numbers as Python numbers, nan as null, infinities as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return None if np.isnan(value) else str(value) if np.isinf(value) else value
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return str(value)
