"""The whole tree of errors and warnings.

A message says what was found (numbers), where (names, first rows) and what to do; ``hint`` holds the last part so that
a program can show it apart. Errors about data carry every violation at once in ``violations``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "AlreadyTreatedError",
    "BeyondSupportError",
    "CapabilityError",
    "ConvergenceError",
    "DesignError",
    "DroppedUnitsWarning",
    "DuplicateCellError",
    "EstimationError",
    "FailedDrawsError",
    "FewClustersWarning",
    "GroupEffectError",
    "GroupEffectWarning",
    "InferenceError",
    "MissingColumnError",
    "MissingKeyError",
    "NoComparisonError",
    "NoPrePeriodError",
    "NoTreatedError",
    "NonAbsorbingError",
    "OverlapError",
    "PanelError",
    "PoorPreFitWarning",
    "ReportError",
    "SingularDesignError",
    "SmallCellError",
    "SpecError",
    "TooFewClustersError",
    "UnbalancedError",
    "VaryingAttributeError",
    "Violation",
    "WeakOverlapWarning",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken data rule, with where it is broken.

    Parameters
    ----------
    rule : str
        Short name of the rule, for example ``"duplicate_cell"``.
    message : str
        What was found, in numbers.
    count : int
        How many rows (or columns) break the rule.
    rows : sequence of mapping
        The first rows that break it (at most three), as column -> value.
    hint : str
        What to do.
    severity : {"error", "warning"}
        Errors stop the work; warnings are printed in the annex.
    """

    rule: str
    message: str
    count: int = 1
    rows: Sequence[Mapping[str, object]] = field(default=())
    hint: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        lines = [f"[{self.rule}] {self.message}"]
        lines += ["    " + ", ".join(f"{key}={value!r}" for key, value in row.items()) for row in self.rows]
        if self.hint:
            lines.append(f"    what to do: {self.hint}")
        return "\n".join(lines)


class GroupEffectError(Exception):
    """Base of every error raised on purpose by this package.

    Parameters
    ----------
    message : str
        What was found and where.
    hint : str, optional
        What to do about it.
    violations : sequence of Violation, optional
        Every fault found, for errors that collect them.
    """

    def __init__(self, message: str, *, hint: str = "", violations: Sequence[Violation] = ()) -> None:
        self.message = message
        self.hint = hint
        self.violations = tuple(violations)
        parts = [message, *(str(violation) for violation in self.violations)]
        if hint:
            parts.append(f"What to do: {hint}")
        super().__init__("\n".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.violations))


def _rebuild(
    kind: type[GroupEffectError], message: str, hint: str, violations: tuple[Violation, ...]
) -> GroupEffectError:
    return kind(message, hint=hint, violations=violations)


class PanelError(GroupEffectError):
    """The data break one or more rules; ``violations`` lists all of them."""


class MissingColumnError(PanelError):
    """A named column is not in the data."""


class DuplicateCellError(PanelError):
    """A unit has more than one row for a time."""


class MissingKeyError(PanelError):
    """A unit or time key is empty."""


class NonAbsorbingError(PanelError):
    """A unit's first treated time changes over its rows."""


class VaryingAttributeError(PanelError):
    """A column declared constant within units varies within one."""


class UnbalancedError(PanelError):
    """The panel has holes and the method asked for needs none."""


class DesignError(GroupEffectError):
    """The comparison asked for cannot be made with these data."""


class NoTreatedError(DesignError):
    """No unit is ever treated inside the panel."""


class NoComparisonError(DesignError):
    """No untreated unit is left to compare with."""


class NoPrePeriodError(DesignError):
    """No time before treatment (or before the anticipation window) is observed."""


class AlreadyTreatedError(DesignError):
    """Every treated unit is treated from the first time on."""


class BeyondSupportError(DesignError):
    """An effect was asked for after the last time at which a comparison exists."""


class EstimationError(GroupEffectError):
    """An estimator could not be computed."""


class OverlapError(EstimationError):
    """Treated and comparison units share no covariate values."""


class SingularDesignError(EstimationError):
    """Regressors are collinear."""


class ConvergenceError(EstimationError):
    """An iteration did not converge."""


class InferenceError(GroupEffectError):
    """Uncertainty could not be computed."""


class CapabilityError(InferenceError):
    """The estimate lacks what the inference strategy needs; the message lists the strategies that would work."""


class TooFewClustersError(InferenceError):
    """There are too few clusters for any variance."""


class FailedDrawsError(InferenceError):
    """Too many resampling draws failed."""


class SpecError(GroupEffectError):
    """A specification (study file, option) is wrong; all faults are listed."""


class ReportError(GroupEffectError):
    """An output could not be written honestly."""


class SmallCellError(ReportError):
    """A published cell would describe fewer pupils than the suppression limit."""


class GroupEffectWarning(UserWarning):
    """Base of every warning of this package; each also enters ``notes`` or ``history``."""


class FewClustersWarning(GroupEffectWarning):
    """So few clusters that the chosen standard errors are unreliable."""


class WeakOverlapWarning(GroupEffectWarning):
    """Comparison units were trimmed, or a few carry most of the weight."""


class PoorPreFitWarning(GroupEffectWarning):
    """A synthetic control does not reproduce the pre-treatment path."""


class DroppedUnitsWarning(GroupEffectWarning):
    """Units or rows were left out by a stated policy."""
