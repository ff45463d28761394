"""What a check says: passed, failed with numbers, or not applicable with the reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from groupeffect.errors import GroupEffectError, GroupEffectWarning

__all__ = ["CheckFailedError", "CheckOutcome", "CheckReport", "NotApplicable", "Status", "need", "run_checks"]

Status: TypeAlias = Literal["passed", "failed", "not applicable"]


class CheckFailedError(GroupEffectError, AssertionError):
    """A contract check did not hold; also an AssertionError, so that test runners show it as a failed test."""


class NotApplicable(Exception):  # noqa: N818  (a signal between checks and runner, not an error)
    """Raised by a check that has nothing to say about a subject; the text is the reason."""


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """One check.

    Parameters
    ----------
    name : str
        Name of the check, with the scenario in brackets where there are several.
    status : {"passed", "failed", "not applicable"}
        What came out.
    detail : str
        The measured number, what went wrong, or why the check does not apply.
    """

    name: str
    status: Status
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.status:>14}  {self.name}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All checks of one subject.

    Parameters
    ----------
    subject : str
        What was checked.
    outcomes : tuple of CheckOutcome
        One entry per check and scenario, in the order they ran.
    """

    subject: str
    outcomes: tuple[CheckOutcome, ...]

    @property
    def failures(self) -> tuple[CheckOutcome, ...]:
        """Checks that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")

    @property
    def skipped(self) -> tuple[CheckOutcome, ...]:
        """Checks that do not apply, each with its reason."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "not applicable")

    def raise_if_failed(self) -> CheckReport:
        """Return the report itself if nothing failed.

        Raises
        ------
        CheckFailedError
            With every failed check and its numbers.
        """
        if self.failures:
            listed = "\n".join(str(outcome) for outcome in self.failures)
            raise CheckFailedError(
                f"{self.subject} fails {len(self.failures)} of {len(self.outcomes)} contract checks:\n{listed}",
                hint="Each line names the check and what was measured; groupeffect.testing documents the checks.",
            )
        return self

    def __str__(self) -> str:
        return "\n".join([self.subject, *(str(outcome) for outcome in self.outcomes)])


def need(condition: object, detail: str) -> None:
    """Fail the running check unless a condition holds."""
    if not condition:
        raise CheckFailedError(detail)


def run_checks(subject: str, checks: Iterable[tuple[str, Callable[[], str]]]) -> CheckReport:
    """Run named checks; each returns its detail, or raises CheckFailedError or NotApplicable.

    Any other exception is a failure too, reported with its type. Warnings of this package are expected on small panels
    and are not shown; all others are.
    """
    outcomes = []
    for name, check in checks:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GroupEffectWarning)
            outcomes.append(_run_one(name, check))
    return CheckReport(subject, tuple(outcomes))


def _run_one(name: str, check: Callable[[], str]) -> CheckOutcome:
    try:
        return CheckOutcome(name, "passed", check())
    except NotApplicable as reason:
        return CheckOutcome(name, "not applicable", str(reason))
    except CheckFailedError as error:
        return CheckOutcome(name, "failed", error.message)
    except Exception as error:  # a check that crashes on the subject is a failed check, and says so
        return CheckOutcome(name, "failed", f"{type(error).__name__}: {error}")
