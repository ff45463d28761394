"""Gaps between schools: measures, and what they are with and without the reform.

Written apart from the package's own estimands, so that the truth never depends on the code it tests.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from groupeffect._types import AnyArray, FloatArray
from groupeffect.simulate.truth import Truth

__all__ = ["INDICATORS", "official_cv", "official_cv_table", "score_gaps", "theil", "weighted_quantile"]

INDICATORS: Final = (
    "above_degree",
    "backbone",
    "pe_art",
    "floor",
    "sports",
    "equipment",
    "media_rooms",
)
"""The seven official indicators, in their official order."""

_THRESHOLD = {"primary": 0.50, "junior": 0.45}
_TEACHING_POINT = 50


def official_cv(values: AnyArray, pupils: AnyArray) -> float:
    r"""Official between-school coefficient of variation of a county, weighted by enrolment.

    .. math:: CV = \frac{1}{X} \sqrt{\sum_i \frac{n_i}{N} (x_i - X)^2}, \qquad X = \sum_i \frac{n_i}{N} x_i

    Parameters
    ----------
    values : ndarray of shape (n,)
        Indicator per pupil or per 100 pupils.
    pupils : ndarray of shape (n,)
        Enrolment.
    """
    x, weight = np.asarray(values, dtype=float), np.asarray(pupils, dtype=float)
    weight = weight / weight.sum()
    mean = float(weight @ x)
    return float(np.sqrt(weight @ (x - mean) ** 2) / mean)


def theil(values: AnyArray, pupils: AnyArray) -> float:
    """Theil T index of positive values, weighted by pupils."""
    x, weight = np.asarray(values, dtype=float), np.asarray(pupils, dtype=float)
    weight = weight / weight.sum()
    ratio = x / (weight @ x)
    return float(weight @ (ratio * np.log(ratio)))


def weighted_quantile(values: AnyArray, weight: AnyArray, share: float) -> float:
    """Smallest value with at least `share` of the weight at or below it."""
    x, mass = np.asarray(values, dtype=float), np.asarray(weight, dtype=float)
    order = np.argsort(x, kind="stable")
    reached = np.cumsum(mass[order]) >= share * mass.sum() - 1e-12
    return float(x[order][np.argmax(reached)])


def score_gaps(truth: Truth, year: int | None = None) -> pd.DataFrame:
    """Gaps between schools in expected scores (no sampling noise) without and with the reform.

    Parameters
    ----------
    truth : Truth
    year : int, optional
        School year; the last one by default.

    Returns
    -------
    DataFrame
        ``measure, without, with_reform, change``. Schools count equally in ``sd``, ``core_member_gap`` and
        ``urban_rural_gap``; pupils (enrolment of the year) in ``sd_pupils``, ``p90_p10`` and the Theil rows, which are
        on ``500 + 100 z`` and split between and within counties.
    """
    world = truth.world
    column = len(world.years) - 1 if year is None else int(np.flatnonzero(world.years == year)[0])
    here = world.present[:, column]
    pupils = world.enrol[here, column].astype(float)
    labels = {name: truth.labels[name][here] for name in ("county_id", "location", "role")}
    before = truth.y0[here, column]
    first = _gaps(before, pupils, labels)
    second = _gaps(before + truth.tau[here, column], pupils, labels)
    frame = pd.DataFrame({"measure": list(first), "without": first.values(), "with_reform": second.values()})
    frame["change"] = frame["with_reform"] - frame["without"]
    return frame


def _gaps(score: FloatArray, pupils: FloatArray, labels: dict[str, AnyArray]) -> dict[str, float]:
    mean = float(np.average(score, weights=pupils))
    role, location = labels["role"], labels["location"]
    positive = np.maximum(500 + 100 * score, 1.0)
    share = pupils / pupils.sum()
    _, county = np.unique(labels["county_id"].astype(str), return_inverse=True)
    mass = np.bincount(county, weights=share)
    level = np.bincount(county, weights=share * positive) / mass
    between = theil(level, mass)
    total = theil(positive, pupils)
    return {
        "sd": float(score.std()),
        "sd_pupils": float(np.sqrt(np.average((score - mean) ** 2, weights=pupils))),
        "p90_p10": weighted_quantile(score, pupils, 0.9) - weighted_quantile(score, pupils, 0.1),
        "core_member_gap": _gap(score, role == "core", role == "member"),
        "urban_rural_gap": _gap(score, location == "urban", location == "rural"),
        "theil": total,
        "theil_between_counties": between,
        "theil_within_counties": total - between,
    }


def _gap(score: FloatArray, upper: AnyArray, lower: AnyArray) -> float:
    if not upper.any() or not lower.any():
        return float("nan")
    return float(score[upper].mean() - score[lower].mean())


def official_cv_table(schools: pd.DataFrame) -> pd.DataFrame:
    """Official CVs of every county, year and stage, with the teachers sent and received and without.

    Only indicator 2 (backbone teachers per 100 pupils) moves: received teachers count for the member that has them and
    no longer for the core school. Primary schools make the stage primary, junior and nine-year schools the stage
    junior. Teaching points under 50 pupils are left out, as the rule says; so are cells of fewer than two schools.

    Parameters
    ----------
    schools : DataFrame
        ``schools`` of a :class:`~groupeffect.simulate.SchoolReform`, without faults.

    Returns
    -------
    DataFrame
        ``county_id, year, stage, indicator, without, with_reform, threshold``; the indicator ``composite`` is the mean
        of the seven.
    """
    frame = schools[~(schools["teaching_point"] & (schools["enrol"] < _TEACHING_POINT))]
    frame = frame.assign(stage=np.where(frame["stage"] == "primary", "primary", "junior"))
    values = _indicators(frame)
    values["backbone_without"] = 100 * frame["backbone_own"] / frame["enrol"]
    keys = ["county_id", "year", "stage"]
    cv = _grouped_cv(frame[keys], values, frame["enrol"])
    number = frame.groupby(keys).size()
    cv = cv[number.reindex(cv.index) >= 2]
    observed = cv[list(INDICATORS)]
    without = observed.assign(backbone=cv["backbone_without"])
    long = _long_cv(without, keys, "without")
    long["with_reform"] = _long_cv(observed, keys, "with_reform")["with_reform"]
    long["threshold"] = long["stage"].map(_THRESHOLD)
    return long.sort_values(keys, kind="stable", ignore_index=True)


def _long_cv(cv: pd.DataFrame, keys: list[str], name: str) -> pd.DataFrame:
    """One row per cell and indicator, with the composite of the seven."""
    wide = cv.assign(composite=cv.mean(axis=1)).reset_index()
    return wide.melt(id_vars=keys, var_name="indicator", value_name=name)


def _indicators(frame: pd.DataFrame) -> pd.DataFrame:
    enrol = frame["enrol"]
    backbone = frame["backbone_own"] + frame["backbone_recv"] - frame["backbone_sent"]
    return pd.DataFrame(
        {
            "above_degree": 100 * frame["teachers_above_degree"] / enrol,
            "backbone": 100 * backbone / enrol,
            "pe_art": 100 * frame["teachers_pe_art"] / enrol,
            "floor": frame["floor_m2"] / enrol,
            "sports": frame["sports_m2"] / enrol,
            "equipment": frame["equip_yuan"] / enrol,
            "media_rooms": 100 * frame["media_rooms"] / enrol,
        }
    )


def _grouped_cv(keys: pd.DataFrame, values: pd.DataFrame, pupils: pd.Series) -> pd.DataFrame:
    """Official CV of every column within every combination of the keys."""
    names = list(keys.columns)
    group = [keys[name] for name in names]
    mass = pupils.groupby(group).sum()
    mean = values.mul(pupils, axis=0).groupby(group).sum().div(mass, axis=0)
    spread = values - mean.loc[pd.MultiIndex.from_frame(keys)].set_axis(values.index)
    variance = (spread**2).mul(pupils, axis=0).groupby(group).sum().div(mass, axis=0)
    return variance**0.5 / mean
