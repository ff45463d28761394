"""The period that effects are measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from groupeffect.errors import SpecError

__all__ = ["BasePeriod", "BaselineWindow", "baseline_window"]


@dataclass(frozen=True, slots=True)
class BaselineWindow:
    """A fixed range of times, both ends included, whose mean outcome is the base for every cohort."""

    first: float
    last: float

    def __str__(self) -> str:
        return f"{self.first:g}-{self.last:g}"


BasePeriod: TypeAlias = Literal["varying", "universal"] | BaselineWindow


def baseline_window(first: float, last: float) -> BaselineWindow:
    """Base period made of all times from `first` to `last`, both included.

    Schools picked for a reform because of recent scores recover by themselves; a window that ends before the years
    that were used to pick them is free of that regression to the mean.

    Parameters
    ----------
    first, last : float
        First and last time of the window, in the unit of the panel's times.

    Returns
    -------
    BaselineWindow

    Raises
    ------
    SpecError
        If `last` is before `first`.
    """
    if last < first:
        raise SpecError(f"The baseline window ends ({last:g}) before it begins ({first:g}).", hint="Swap the two.")
    return BaselineWindow(float(first), float(last))
