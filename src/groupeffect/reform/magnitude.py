"""How large is an effect, in words that policy readers and reviewers use."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np

from groupeffect.errors import SpecError

__all__ = ["KraftSize", "MonthsTable", "eef_months", "kraft_size"]

KraftSize: TypeAlias = Literal["small", "medium", "large"]
MonthsTable: TypeAlias = Literal["toolkit", "trial"]

_LAST: Final[dict[str, tuple[float, ...]]] = {
    "toolkit": (0.01, 0.09, 0.18, 0.26, 0.35, 0.44, 0.52, 0.61, 0.69, 0.78, 0.87, 0.95, 1.00),
    "trial": (0.04, 0.09, 0.18, 0.26, 0.35, 0.44, 0.52, 0.61, 0.69, 0.78, 0.87, 0.95, 1.00),
}
"""Largest effect (two decimals, SD) that counts as 0, 1, 2, ... 12 months."""


def eef_months(effect: float, table: MonthsTable = "trial") -> int:
    """Additional months of learning, as the Education Endowment Foundation translates effects.

    Parameters
    ----------
    effect : float
        Effect in pupil-level SD; rounded to two decimals first, as the tables are.
    table : {"trial", "toolkit"}, default "trial"
        ``"trial"``: the convention of trial reports, in which effects up to 0.04 are 0 months.
        ``"toolkit"``: the Toolkit's table, in which 0.02 is already 1 month.

    Returns
    -------
    int
        Negative for negative effects; 12 is the end of the table and stands for 12 or more.

    Raises
    ------
    SpecError
        If the effect is not finite or the table is unknown.
    """
    if table not in _LAST:
        raise SpecError(f"table={table!r} is unknown.", hint="Use 'trial' or 'toolkit'.")
    size = round(abs(_finite(effect)), 2)
    months = next((month for month, last in enumerate(_LAST[table]) if size <= last), 12)
    return int(np.sign(effect)) * months


def kraft_size(effect: float) -> KraftSize:
    """Size of an effect on achievement among causal studies of education (Kraft 2020).

    Parameters
    ----------
    effect : float
        Effect in pupil-level SD; the sign is ignored.

    Returns
    -------
    {"small", "medium", "large"}
        Below 0.05, from 0.05 to below 0.20, from 0.20.

    Raises
    ------
    SpecError
        If the effect is not finite.
    """
    size = abs(_finite(effect))
    if size < 0.05:
        return "small"
    return "medium" if size < 0.20 else "large"


def _finite(effect: float) -> float:
    if not np.isfinite(effect):
        raise SpecError(f"The effect is {effect}, not a number.", hint="Translate only estimates that exist.")
    return float(effect)
