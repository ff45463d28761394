"""Weights taken over from another fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from groupeffect.design.design import Design
from groupeffect.effects.effects import Effects
from groupeffect.errors import EstimationError
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo
from groupeffect.synth._block import block_effects, read_block

__all__ = ["FixedWeights"]


@dataclass(frozen=True, slots=True)
class FixedWeights:
    """Synthetic control or synthetic DiD with weights that were found before.

    The jackknife of Arkhangelsky et al. (2021, algorithm 3) leaves out one unit at a time and keeps the weights of
    those that stay, rescaled to sum to one. Make one with ``estimator.holding(effects)`` and infer as usual:

    >>> f = ge.fit(ge.synth.SyntheticDiD(), panel, design)  # doctest: +SKIP
    >>> held = ge.fit(f.estimator.holding(f.effects), panel, design)  # doctest: +SKIP
    >>> held.aggregate(ge.overall()).infer(ge.Jackknife())  # doctest: +SKIP

    Parameters
    ----------
    omega : tuple of (unit label, weight)
        Donor weights. Donors of the design that are not listed get none; listed units that are not donors are left
        out, and the rest is rescaled to sum to one.
    lambda_ : tuple of (time, weight)
        Weights of the times before treatment; empty for none.

    References
    ----------
    Arkhangelsky, D., Athey, S., Hirshberg, D. A., Imbens, G. W. and Wager, S. (2021). Synthetic
    difference-in-differences. American Economic Review 111, 4088-4118.
    """

    omega: tuple[tuple[object, float], ...]
    lambda_: tuple[tuple[float, float], ...] = ()

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="FixedWeights",
        label="Fixed weights",
        reference="arkhangelsky2021",
        family="synth",
        provides=frozenset({"refit", "counterfactual", "weights"}),
        handles=frozenset({"block", "anticipation", "never_treated", "unit_weight"}),
    )

    @classmethod
    def of(cls, effects: Effects) -> FixedWeights:
        """Weights of a fitted synthetic control.

        Raises
        ------
        EstimationError
            If the effects carry no counterfactual.
        """
        path = effects.counterfactual
        if path is None:
            raise EstimationError(
                "These effects carry no donor weights.", hint="Use effects of an estimator of groupeffect.synth."
            )
        omega = tuple(zip(path.donors.tolist(), path.omega.tolist(), strict=True))
        if path.lambda_ is None:
            return cls(omega)
        return cls(omega, tuple(zip(path.fit_times.tolist(), path.lambda_.tolist(), strict=True)))

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Effects by time with the given weights.

        Raises
        ------
        EstimationError
            If no unit with weight is among the donors, or a weighted time is not before treatment.
        """
        block = read_block(panel, design, name=self.info.name)
        weight = dict(self.omega)
        omega = np.array([weight.get(unit, 0.0) for unit in panel.unit_ids[block.donor_rows].tolist()])
        if not omega.sum() > 0:
            raise EstimationError(
                f"None of the {len(omega)} donors has a weight among the {len(weight)} given.",
                hint="The design needs at least one donor with weight; drop fewer units.",
            )
        position = {time: place for place, time in enumerate(design.times[block.before].tolist())}
        lambda_ = np.zeros(len(block.before))
        for time, value in self.lambda_:
            if time not in position:
                raise EstimationError(
                    f"Time {time:g} has weight but is not a fitted time before the start {block.start:g}.",
                    hint="Hold weights only on designs with the same times before treatment.",
                )
            lambda_[position[time]] = value
        notes = ("weights taken over from another fit",)
        return block_effects(panel, design, block, omega / omega.sum(), lambda_, notes)
