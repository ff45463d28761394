"""Names for arrays and for the choices that stand in public signatures."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]

Comparison: TypeAlias = Literal["not_yet_treated", "never_treated"]
Capability: TypeAlias = Literal["influence", "regression", "refit", "counterfactual", "weights", "scores"]

NEVER: Final = float("inf")
"""Cohort of a unit that is never treated."""
