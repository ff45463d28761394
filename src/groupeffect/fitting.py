"""Fit: an estimator, a panel and a design, with the effects they gave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from groupeffect.design.aggregation import Aggregation
from groupeffect.design.design import Design, check_usable
from groupeffect.effects.effects import Effects
from groupeffect.errors import CapabilityError, DesignError, SpecError
from groupeffect.panel.panel import Panel
from groupeffect.protocols import Estimator, Inference

if TYPE_CHECKING:
    from groupeffect.result import Result

__all__ = ["Fit", "fit"]


@dataclass(frozen=True, slots=True)
class Fit:
    """Effects of an estimator on a panel and a design, and the steps that led to them.

    Parameters
    ----------
    estimator : Estimator
        Options.
    panel : Panel
        Data.
    design : Design
        Comparison.
    effects : Effects
        Present rows (cells, or an aggregation of them).
    steps : tuple of Aggregation
        Aggregations applied so far; repeated by :meth:`rerun`.
    """

    estimator: Estimator
    panel: Panel
    design: Design
    effects: Effects
    steps: tuple[Aggregation, ...] = ()

    def aggregate(self, scheme: Aggregation) -> Fit:
        """Fit with the rows of an aggregation scheme.

        Raises
        ------
        EstimationError, BeyondSupportError
            See :meth:`Effects.aggregate`.
        """
        return replace(self, effects=self.effects.aggregate(scheme), steps=(*self.steps, scheme))

    def rerun(self, *, panel: Panel | None = None, design: Design | None = None) -> Fit:
        """Estimate again on another panel or design with the same options and aggregations."""
        again = fit(self.estimator, panel or self.panel, design or self.design)
        for scheme in self.steps:
            again = again.aggregate(scheme)
        return again

    def infer(self, strategy: Inference, *, level: float = 0.95) -> Result:
        """Result with the uncertainty of a strategy.

        Parameters
        ----------
        strategy : Inference
            For example ``ge.ClusterRobust(by="county")``.
        level : float, default 0.95
            Confidence level of intervals and bands.

        Returns
        -------
        Result

        Raises
        ------
        CapabilityError
            If the estimate lacks what the strategy needs; the message lists strategies that would work.
        SpecError
            If `level` is not between 0 and 1, or `strategy` is a class.
        """
        from groupeffect.result import Result

        if isinstance(strategy, type):
            raise SpecError(
                f"infer() got the class {strategy.__name__}, not a strategy.", hint=f"Write {strategy.__name__}()."
            )
        if not 0 < level < 1:
            raise SpecError(f"level={level} is not between 0 and 1.", hint="Use 0.95 for a 95 % interval.")
        missing = strategy.needs - self.effects.capabilities
        if missing:
            raise _refusal(self, strategy, missing)
        return Result(self, strategy.apply(self, level=level), strategy=strategy, level=level)


def fit(estimator: Estimator, panel: Panel, design: Design) -> Fit:
    """Run an estimator on a panel and a design.

    Parameters
    ----------
    estimator : Estimator
        For example ``ge.did.CallawaySantAnna(method="dr")``.
    panel : Panel
        From :func:`groupeffect.read_panel`.
    design : Design
        From :func:`groupeffect.staggered_design` or :func:`groupeffect.block_design`, made on the same panel.

    Returns
    -------
    Fit

    Raises
    ------
    DesignError
        If the design was made on other units or times, has no treated unit or no time before treatment.
    EstimationError
        If the estimator cannot be computed.
    """
    if isinstance(estimator, type):
        raise SpecError(
            f"fit() got the class {estimator.__name__}, not an estimator.", hint=f"Write {estimator.__name__}()."
        )
    same_units = len(design.unit_ids) == panel.n_units and np.array_equal(design.unit_ids, panel.unit_ids)
    if not same_units or not np.array_equal(design.times, panel.times):
        raise DesignError(
            f"The design was made on another panel ({len(design.unit_ids)} units, {len(design.times)} times) than the "
            f"one given ({panel.n_units} units, {panel.n_times} times).",
            hint="Make the design from this panel, or take the same units from both.",
        )
    check_usable(design)
    _check_times(estimator, design)
    return Fit(estimator, panel, design, estimator.estimate(panel, design))


def _check_times(estimator: Estimator, design: Design) -> None:
    """Refuse chosen fit or effect times where the family does not use them, rather than ignore them."""
    family = estimator.info.family
    unused = [
        name
        for name, families in (("fit_times", {"synth"}), ("effect_times", {"synth", "hte"}))
        if family not in families and not getattr(design, name).all()
    ]
    if unused:
        raise DesignError(
            f"{estimator.info.name} uses all times; the design chooses some ({', '.join(unused)}).",
            hint="Read a panel with fewer times, or report fewer rows with by_event_time(lo, hi).",
        )


def _refusal(fit: Fit, strategy: Inference, missing: frozenset[str]) -> CapabilityError:
    from groupeffect.inference.base import strategies

    present = fit.effects.capabilities
    working = [name for name, kind in strategies().items() if kind.needs <= present]
    return CapabilityError(
        f"{type(strategy).__name__} needs {', '.join(sorted(missing))}, which {fit.estimator.info.name} does not "
        "provide.",
        hint=f"Strategies that work here: {', '.join(working) or 'none'}.",
    )
