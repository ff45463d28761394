"""Every fault of a table or a folder of files, in one report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupeffect.errors import PanelError, Violation
from groupeffect.panel.columns import Columns
from groupeffect.panel.panel import Drop
from groupeffect.panel.read import check_table

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.panel.files import Source

__all__ = ["ValidationReport", "validate_table"]


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What was found in the data.

    Parameters
    ----------
    violations : tuple of Violation
        Every broken rule: errors stop the work, warnings are printed in the annex of a report.
    tables : tuple of str
        Name of the table each violation was found in, in the same order.
    history : tuple of Drop
        What was left out, renamed or decoded while reading.
    """

    violations: tuple[Violation, ...]
    tables: tuple[str, ...]
    history: tuple[Drop, ...] = ()

    @property
    def errors(self) -> tuple[Violation, ...]:
        """Violations that stop the work."""
        return tuple(violation for violation in self.violations if violation.severity == "error")

    @property
    def warnings(self) -> tuple[Violation, ...]:
        """Violations the work goes on with."""
        return tuple(violation for violation in self.violations if violation.severity != "error")

    @property
    def ok(self) -> bool:
        """Whether there are no errors."""
        return not self.errors

    def to_frame(self) -> pd.DataFrame:
        """One row per violation, errors first.

        Returns
        -------
        DataFrame
            Columns ``severity``, ``table``, ``rule``, ``count``, ``message``, ``rows`` (first three rows as text) and
            ``hint``.
        """
        import pandas as pd

        lines = [
            {
                "severity": violation.severity,
                "table": table,
                "rule": violation.rule,
                "count": violation.count,
                "message": violation.message,
                "rows": "; ".join(_row_text(row) for row in violation.rows),
                "hint": violation.hint,
            }
            for violation, table in self._ordered()
        ]
        return pd.DataFrame(lines, columns=["severity", "table", "rule", "count", "message", "rows", "hint"])

    def raise_errors(self) -> None:
        """Raise one error with every violation that is an error.

        Raises
        ------
        PanelError
            If there is any; its subclass if all errors are of one rule that has one.
        """
        from groupeffect.panel.rules import raise_errors

        raise_errors(self.violations, " and ".join(dict.fromkeys(self.tables)) or "data")

    def _ordered(self) -> list[tuple[Violation, str]]:
        pairs = list(zip(self.violations, self.tables, strict=True))
        return sorted(pairs, key=lambda pair: pair[0].severity != "error")

    def __str__(self) -> str:
        n_errors, n_warnings = len(self.errors), len(self.warnings)
        lines = [f"{_count(n_errors, 'error')}, {_count(n_warnings, 'warning')}."]
        for violation, table in self._ordered():
            lines.append(f"{violation.severity.upper()} in {table}: {violation}")
        lines += [
            f"note: {drop.reason}" + (f" ({_count(drop.rows, 'row')})" if drop.rows else "") for drop in self.history
        ]
        return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _row_text(row: object) -> str:
    assert hasattr(row, "items")
    return ", ".join(f"{key}={value!r}" for key, value in row.items())


def validate_table(
    source: Source, columns: Columns, *, encoding: str | None = None, sheet: str | None = None
) -> ValidationReport:
    """Check one table as :func:`groupeffect.read_panel` would, without raising.

    Parameters
    ----------
    source : DataFrame or path
        The table.
    columns : Columns
        Which column plays which role.
    encoding, sheet : str, optional
        As in :func:`groupeffect.read_panel`.

    Returns
    -------
    ValidationReport
        Every error and warning; ``report.ok`` if the table can be read.
    """
    try:
        panel, violations, name = check_table(source, columns, encoding=encoding, sheet=sheet)
    except PanelError as fault:
        found = fault.violations or (Violation("unreadable", fault.message, hint=fault.hint),)
        return ValidationReport(found, (str(source),) * len(found))
    return ValidationReport(violations, (name,) * len(violations), () if panel is None else panel.history)
