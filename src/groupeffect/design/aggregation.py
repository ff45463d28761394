"""Aggregation schemes: which cells enter an effect, with which weight.

A scheme is only a description. The linear map, and the influence of the estimated cohort shares in it, are computed in
:mod:`groupeffect.effects.aggregate`, in that one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from groupeffect.errors import SpecError

__all__ = [
    "Aggregation",
    "ByCalendarTime",
    "ByCohort",
    "ByEventTime",
    "Overall",
    "by_calendar_time",
    "by_cohort",
    "by_event_time",
    "overall",
]

OverallKind: TypeAlias = Literal["cells", "cohort", "event_time", "calendar_time"]


@dataclass(frozen=True, slots=True)
class Overall:
    """One number."""

    over: OverallKind = "cells"


@dataclass(frozen=True, slots=True)
class ByEventTime:
    """One effect per time since treatment."""

    lo: float | None = None
    hi: float | None = None
    balance: float | None = None


@dataclass(frozen=True, slots=True)
class ByCohort:
    """One effect per cohort."""


@dataclass(frozen=True, slots=True)
class ByCalendarTime:
    """One effect per calendar time."""


Aggregation: TypeAlias = Overall | ByEventTime | ByCohort | ByCalendarTime


def overall(over: OverallKind = "cells") -> Overall:
    """One average effect on the treated.

    Parameters
    ----------
    over : {"cells", "cohort", "event_time", "calendar_time"}, default "cells"
        ``"cells"``: all post-treatment cells, each with the share of its cohort (the "simple" average of R's ``did``).
        ``"cohort"``: the mean over times within each cohort, then over cohorts by share ("group").
        ``"event_time"`` and ``"calendar_time"``: the plain mean of the effects by event time >= 0 ("dynamic") or by
        calendar time ("calendar").

    Returns
    -------
    Overall

    Raises
    ------
    SpecError
        If `over` is not one of the four.
    """
    if over not in ("cells", "cohort", "event_time", "calendar_time"):
        raise SpecError(
            f"overall(over={over!r}) is unknown.", hint="Use 'cells', 'cohort', 'event_time' or 'calendar_time'."
        )
    return Overall(over)


def by_event_time(lo: float | None = None, hi: float | None = None, *, balance: float | None = None) -> ByEventTime:
    """Effects by time since treatment, cohorts weighted by their share.

    Parameters
    ----------
    lo, hi : float, optional
        First and last event time to report, both included; all by default.
    balance : float, optional
        Keep only cohorts observed at least this long after treatment, and report no later event time, so that every
        event time rests on the same cohorts.

    Returns
    -------
    ByEventTime

    Raises
    ------
    SpecError
        If `lo` is above `hi` or `balance` is negative.
    """
    if lo is not None and hi is not None and lo > hi:
        raise SpecError(f"by_event_time({lo:g}, {hi:g}): the first is after the last.", hint="Swap the two.")
    if balance is not None and balance < 0:
        raise SpecError(f"by_event_time(balance={balance:g}) is negative.", hint="Give an event time >= 0.")
    return ByEventTime(lo, hi, balance)


def by_cohort() -> ByCohort:
    """Effects by first treated time: the mean over a cohort's treated times."""
    return ByCohort()


def by_calendar_time() -> ByCalendarTime:
    """Effects by calendar time: the mean over the cohorts treated by then, weighted by their share."""
    return ByCalendarTime()
