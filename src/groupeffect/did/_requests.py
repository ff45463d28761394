"""What regression estimators cannot do, refused by name."""

from __future__ import annotations

import numpy as np

from groupeffect._types import BoolArray
from groupeffect.design.baseline import BaselineWindow
from groupeffect.design.design import Design
from groupeffect.errors import DesignError
from groupeffect.panel.panel import Panel

__all__ = ["refuse_exits", "refuse_window"]


def refuse_window(name: str, design: Design, instead: str) -> None:
    """Refuse a baseline window.

    Parameters
    ----------
    name : str
        Name of the estimator.
    design : Design
    instead : str
        What the estimator compares with.

    Raises
    ------
    DesignError
    """
    if isinstance(design.baseline, BaselineWindow):
        raise DesignError(
            f"{name} has no baseline window (the design has {design.baseline}): it compares with {instead}.",
            hint="Use CallawaySantAnna, or a design with base_period='varying' or 'universal'.",
        )


def refuse_exits(name: str, panel: Panel, design: Design, takes_part: BoolArray) -> None:
    """Refuse units that leave treatment within the panel.

    Parameters
    ----------
    name : str
        Name of the estimator.
    panel, design : Panel, Design
    takes_part : ndarray of bool, shape (n,)

    Raises
    ------
    DesignError
    """
    leaves = takes_part & design.treated() & (panel.exit <= panel.times[-1])
    if leaves.any():
        units, exits = panel.unit_ids[leaves][:3], panel.exit[leaves][:3]
        first = ", ".join(f"{unit} at {time:g}" for unit, time in zip(units, exits, strict=True))
        raise DesignError(
            f"{int(np.sum(leaves))} treated units leave treatment within the panel (first: {first}); {name} takes "
            "treatment as lasting.",
            hint="End the panel before the first exit, or leave these units out with panel.take_units(...).",
        )
