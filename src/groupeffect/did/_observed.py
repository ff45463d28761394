"""Averages of cohort x time cells in which each observed unit-time counts once: the rows of regressions by event time.

Aggregations of :mod:`groupeffect.effects.aggregate` give a cell the share of its cohort. A regression on event-time
dummies gives it the (weighted) number of its observations instead, which is the same in a balanced panel only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.effects.effects import EffectIndex, Effects
from groupeffect.errors import EstimationError, SpecError

__all__ = ["KINDS", "Kind", "check_choice", "observed_average"]

Kind: TypeAlias = Literal["cells", "event_study", "cohort", "static"]
KINDS: tuple[str, ...] = ("cells", "event_study", "cohort", "static")


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among the choices of an option.

    Raises
    ------
    SpecError
    """
    if value not in choices:
        raise SpecError(f"{option}={value!r} is unknown.", hint=f"Use {', '.join(map(repr, choices))}.")


def observed_average(
    cells: Effects, kind: Kind, counted: FloatArray, unit_cohort: IntArray, cohorts: FloatArray, times: FloatArray
) -> Effects:
    """Average cells by event time, treated cells by cohort, or all treated cells, by their number of observations.

    Parameters
    ----------
    cells : Effects
        Cohort x time cells with influence and shares.
    kind : {"cells", "event_study", "cohort", "static"}
        ``"cells"`` gives the cells back.
    counted : ndarray of shape (n, T)
        Weight of each observation in its cell; zero for one that is not in it.
    unit_cohort : ndarray of int, shape (n,)
        Position of the cohort of each unit in `cohorts`; -1 for none.
    cohorts, times : ndarray of shape (G,), (T,)

    Returns
    -------
    Effects
        The estimated numbers of observations are in the influence unless the shares of the cells are fixed.

    Raises
    ------
    EstimationError
        If no treated cell is left.
    """
    if kind == "cells":
        return cells
    index = cells.index
    usable = np.isfinite(cells.estimate)
    after = usable & (index.time >= index.cohort)
    if not after.any():
        raise EstimationError("No treated cell can be estimated.", hint="Look at effects.unidentified.")
    keys: dict[str, FloatArray] = {}
    members = after[None, :]
    if kind == "event_study":
        keys["event_time"] = np.unique(index.event_time[usable])
        members = (index.event_time[None, :] == keys["event_time"][:, None]) & usable
    elif kind == "cohort":
        keys["cohort"] = np.unique(index.cohort[after])
        members = (index.cohort[None, :] == keys["cohort"][:, None]) & after
    code, column = np.searchsorted(cohorts, index.cohort), np.searchsorted(times, index.time)
    totals = np.stack([counted[unit_cohort == g].sum(axis=0) for g in range(len(cohorts))])
    size = totals[code, column] * members
    matrix = size / size.sum(axis=1, keepdims=True)
    estimate = np.where(usable, cells.estimate, 0.0)
    extra = None
    if cells.shares is not None and not cells.shares.fixed:
        spread = members * (estimate[None, :] - (matrix @ estimate)[:, None]) / size.sum(axis=1, keepdims=True)
        extra = np.zeros((len(counted), len(members)))
        for g in range(len(cohorts)):
            own, rows = code == g, unit_cohort == g
            extra[rows] = len(counted) * counted[rows][:, column[own]] @ spread[:, own].T
    rows_index = EffectIndex.build(
        term="att",
        cohort=keys.get("cohort"),
        event_time=keys.get("event_time"),
        n_treated=_units(members, counted, unit_cohort, code, column),
        n_comparison=np.array([index.n_comparison[row].min() for row in members]),
        is_reference=np.array([bool(index.is_reference[row].all()) for row in members]),
    )
    return replace(cells.mapped(rows_index, matrix, extra), shares=None)


def _units(
    members: BoolArray, counted: FloatArray, unit_cohort: IntArray, code: IntArray, column: IntArray
) -> IntArray:
    """Units with an observation in each set of cells."""
    numbers = []
    for row in members:
        total = 0
        for g in np.unique(code[row]):
            own = counted[unit_cohort == g]
            total += int((own[:, column[row & (code == g)]] > 0).any(axis=1).sum())
        numbers.append(total)
    return np.array(numbers, dtype=np.int64)
