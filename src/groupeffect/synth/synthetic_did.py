"""Synthetic difference-in-differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from groupeffect.design.design import Design
from groupeffect.effects.effects import Effects
from groupeffect.errors import SpecError
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register
from groupeffect.synth._block import estimate_block, read_block
from groupeffect.synth._fixed import FixedWeights
from groupeffect.synth._weights import Rule, SolverName, solver_named

__all__ = ["SyntheticDiD"]


@register
@dataclass(frozen=True, slots=True)
class SyntheticDiD:
    r"""Synthetic difference-in-differences for one block of treated units.

    Unit weights make the donors' average run parallel to the treated average before treatment, time weights make the
    times before treatment predict the donors' outcomes after it, and the effect is the doubly weighted difference in
    differences.

    Parameters
    ----------
    unit_weights : {"balance", "uniform"}, default "balance"
        Fit the donors to the treated path, or weigh them equally.
    time_weights : {"balance", "uniform"}, default "balance"
        Fit the times before treatment to those after, or weigh them equally. Both uniform is plain
        difference-in-differences.
    eta_omega : float, optional
        Penalty on the unit weights in units of the noise level (dimensionless); by default
        ``(n_treated * n_times_treated) ** 0.25``.
    eta_lambda : float, default 1e-6
        Penalty on the time weights in units of the noise level (dimensionless); the default only breaks ties.
    intercept : bool, default True
        Let the donors' average run parallel to the treated one instead of meeting it.
    solver : {"exact", "frank_wolfe"}, default "exact"
        ``"exact"``: the optimum, certified by its duality gap. ``"frank_wolfe"``: the early-stopped search of the R
        package synthdid with its sparsifying step, to reproduce published numbers. On Proposition 99 the two differ by
        0.002 packs (of -15.6); the loss of the exact weights is never higher.

    Raises
    ------
    SpecError
        If an option is out of range.

    Notes
    -----
    With donors j, treated mean :math:`\bar Y_t` and :math:`d_t = \bar Y_t - \sum_j\hat\omega_j Y_{jt}`, the effect at t
    is :math:`d_t - \sum_{s \le T_0}\hat\lambda_s d_s` in outcome units, and its mean over the treated times is the
    estimator of [1]_ (algorithm 1 and equations 2.1 to 2.3). The noise level is the standard deviation of the donors'
    first differences before treatment; it includes time shocks common to all units, so the penalty, and through it the
    estimate, is not exactly free of them (it is free of unit constants). Treated units count with ``unit_weight``;
    the penalty uses their number, so that a unit listed twice is not quite the same as one with weight two.

    There is no influence function: use ``PlaceboUnits`` (algorithm 4 of [1]_) or, with several treated units,
    ``Jackknife``. The jackknife of [1]_ (algorithm 3) keeps the weights; fit ``estimator.holding(effects)`` for it.

    References
    ----------
    .. [1] Arkhangelsky, D., Athey, S., Hirshberg, D. A., Imbens, G. W. and Wager, S. (2021). Synthetic
       difference-in-differences. American Economic Review 111, 4088-4118.

    Examples
    --------
    >>> design = ge.block_design(panel, treated=("California",), start=1989)  # doctest: +SKIP
    >>> ge.fit(ge.synth.SyntheticDiD(), panel, design).aggregate(ge.overall())  # doctest: +SKIP
    """

    unit_weights: Literal["balance", "uniform"] = "balance"
    time_weights: Literal["balance", "uniform"] = "balance"
    eta_omega: float | None = None
    eta_lambda: float = 1e-6
    intercept: bool = True
    solver: SolverName = "exact"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="SyntheticDiD",
        label="Synthetic difference-in-differences",
        reference="arkhangelsky2021",
        family="synth",
        provides=frozenset({"refit", "counterfactual", "weights"}),
        handles=frozenset({"block", "anticipation", "never_treated", "unit_weight"}),
        exact_tol=1e-6,
        varies_with=frozenset({"time_shocks", "duplication"}),
    )

    def __post_init__(self) -> None:
        for name in ("unit_weights", "time_weights"):
            if getattr(self, name) not in ("balance", "uniform"):
                raise SpecError(
                    f"SyntheticDiD({name}={getattr(self, name)!r}) is unknown.", hint="Use 'balance' or 'uniform'."
                )
        for name in ("eta_omega", "eta_lambda"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise SpecError(f"SyntheticDiD({name}={value}) is negative.", hint="Use 0 or more.")
        solver_named(self.solver)

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Effects by time; see the class for what is computed and :func:`groupeffect.fit` for how to call it."""
        block = read_block(panel, design, name=self.info.name)
        eta_omega = self.eta_omega
        if eta_omega is None:
            eta_omega = float(len(block.treated_rows) * len(block.after)) ** 0.25
        return estimate_block(
            panel,
            design,
            block,
            unit=Rule(self.unit_weights, eta=eta_omega, intercept=self.intercept),
            time=Rule(self.time_weights, eta=self.eta_lambda, intercept=True),
            solver=solver_named(self.solver),
        )

    def holding(self, effects: Effects) -> FixedWeights:
        """Estimator that keeps the weights of these effects, as the jackknife of the paper does.

        See :class:`groupeffect.synth.FixedWeights`.
        """
        return FixedWeights.of(effects)
