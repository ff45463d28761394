"""Every number that a reader sees: how it is rounded, how each language writes it, where it came from.

Rounding rules
--------------
* Effects have two decimals. If that would put a number on or across a value it is not on (zero, the smallest effect
  of interest, the margin), the whole sentence gets a third or fourth decimal: an interval from 0.004 to 0.12 is never
  shown as one that starts at 0.00.
* Shares are whole percents, counts have thousands separators, years have none.
* Months of learning are whole, from :mod:`groupeffect.reform.magnitude`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from groupeffect.report.plain import Language

__all__ = ["Number", "NumberBook", "NumberKind", "decimals_for", "format_number"]

NumberKind: TypeAlias = Literal["effect", "count", "year", "percent", "level"]
"""``effect``: outcome units; ``count``: whole things; ``year``: calendar; ``percent``, ``level``: shares, times 100."""

_LOCALES = {"en": "en", "zh": "zh_Hans_CN"}
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text, with the place it came from.

    Parameters
    ----------
    id : str
        ``n1``, ``n2``, ... in the order of the document; the same in every language.
    value : float
        As computed, never rounded.
    kind : NumberKind
        How it is written.
    decimals : int
        Digits after the point, for effects.
    source : str
        Key of the estimate and the results file and row behind it.
    """

    id: str
    value: float
    kind: NumberKind
    decimals: int
    source: str

    def text(self, language: Language) -> str:
        """Write the number in one language."""
        return format_number(self.value, self.kind, language, decimals=self.decimals)


class NumberBook:
    """Gives the numbers of one document their ids.

    Examples
    --------
    >>> book = NumberBook()
    >>> book.add(0.0812, "effect", source="member.overall").text("en")
    '0.08'
    """

    def __init__(self) -> None:
        self._numbers: list[Number] = []

    def add(self, value: float, kind: NumberKind, *, source: str, decimals: int = 2) -> Number:
        """Enter a number and give it the next id."""
        number = Number(f"n{len(self._numbers) + 1}", float(value), kind, decimals, source)
        self._numbers.append(number)
        return number

    def effects(self, values: Iterable[float], *, thresholds: Iterable[float], source: str) -> tuple[Number, ...]:
        """Enter numbers that stand in one sentence, all with the same decimals."""
        listed = tuple(values)
        decimals = decimals_for(listed, thresholds)
        return tuple(self.add(value, "effect", source=source, decimals=decimals) for value in listed)

    @property
    def numbers(self) -> tuple[Number, ...]:
        """All numbers so far."""
        return tuple(self._numbers)


def decimals_for(values: Iterable[float], thresholds: Iterable[float], *, least: int = 2, most: int = 4) -> int:
    """Fewest decimals at which rounding moves no value onto or across a threshold.

    Parameters
    ----------
    values : iterable of float
        Numbers shown together.
    thresholds : iterable of float
        Numbers that matter to the reader: zero, the smallest effect of interest, the margin.
    least, most : int
        Limits of the answer.
    """
    listed, limits = tuple(values), tuple(thresholds)
    for decimals in range(least, most):
        if all(_side(round(value, decimals), limit) == _side(value, limit) for value in listed for limit in limits):
            return decimals
    return most


def _side(value: float, limit: float) -> int:
    """-1 below, 0 on, 1 above, up to the error of decimal fractions in binary."""
    difference = value - limit
    return 0 if abs(difference) < 1e-12 else 1 if difference > 0 else -1


def format_number(value: float, kind: NumberKind, language: Language, *, decimals: int = 2) -> str:
    """Write a number as a language does, with a real minus sign and no negative zero.

    Parameters
    ----------
    value : float
        The number.
    kind : NumberKind
        How it is written.
    language : {"en", "zh"}
        Language.
    decimals : int, default 2
        Digits after the point, for effects.
    """
    from babel.numbers import format_decimal

    scaled = 100 * value if kind in ("percent", "level") else value
    digits = decimals if kind == "effect" else 0
    rounded = round(scaled, digits) + 0.0
    if kind == "effect":
        pattern = "#,##0." + "0" * digits if digits else "#,##0"
    else:
        pattern = "0" if kind == "year" else "#,##0"
    text = str(format_decimal(rounded, format=pattern, locale=_LOCALES[language]))
    if kind in ("percent", "level"):
        text += "%"
    return text.replace("-", _MINUS)
