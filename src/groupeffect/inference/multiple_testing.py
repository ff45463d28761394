"""Families of tests: p-values that hold for many outcomes or subgroups together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from groupeffect.errors import InferenceError, SpecError
from groupeffect.result import Result

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Adjustment", "adjust_family"]

Adjustment: TypeAlias = Literal["benjamini_hochberg", "benjamini_yekutieli", "holm"]

_METHODS: Final[dict[str, str]] = {
    "benjamini_hochberg": "fdr_bh",
    "benjamini_yekutieli": "fdr_by",
    "holm": "holm",
}


def adjust_family(
    results: Mapping[str, Result], *, method: Adjustment = "benjamini_hochberg", row: int = 0
) -> pd.DataFrame:
    """One row of each of several results with p-values adjusted for looking at all of them.

    Parameters
    ----------
    results : mapping of str to Result
        Name of the outcome or subgroup -> result. The primary outcome, declared beforehand, does not belong in it.
    method : {"benjamini_hochberg", "benjamini_yekutieli", "holm"}, default "benjamini_hochberg"
        False discovery rate for independent or positively dependent tests, the same for any dependence, or family-wise
        error rate.
    row : int, default 0
        Row of each result.

    Returns
    -------
    DataFrame
        ``name, estimate, std_error, conf_low, conf_high, p_value, p_adjusted``, in the order of `results`; intervals
        are not adjusted.

    Raises
    ------
    SpecError
        If the family is empty or `method` is unknown.
    InferenceError
        If a result has no p-value in that row.

    References
    ----------
    .. [1] Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate: a practical and powerful
       approach to multiple testing. Journal of the Royal Statistical Society B 57(1), 289-300.
    """
    import pandas as pd
    from statsmodels.stats.multitest import multipletests

    if method not in _METHODS:
        raise SpecError(f"method={method!r} is unknown.", hint=f"Use one of {', '.join(_METHODS)}.")
    if not results:
        raise SpecError("There is no result in the family.", hint="Give at least one.")
    rows = [result.tidy().iloc[row] for result in results.values()]
    columns = ["estimate", "std_error", "conf_low", "conf_high", "p_value"]
    table = pd.DataFrame([item[columns] for item in rows]).astype(float).reset_index(drop=True)
    table.insert(0, "name", list(results))
    missing = table.loc[table["p_value"].isna(), "name"].tolist()
    if missing:
        raise InferenceError(
            f"{len(missing)} of {len(table)} results have no p-value (first: {missing[0]!r}).",
            hint="Leave them out and say so, or infer them with a strategy that gives p-values.",
        )
    table["p_adjusted"] = np.asarray(multipletests(table["p_value"].to_numpy(), method=_METHODS[method])[1])
    return table
