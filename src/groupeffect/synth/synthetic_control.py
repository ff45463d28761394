"""Synthetic control on the outcome path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from groupeffect.design.design import Design
from groupeffect.effects.effects import Effects
from groupeffect.errors import SpecError
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register
from groupeffect.synth._block import estimate_block, read_block
from groupeffect.synth._fixed import FixedWeights
from groupeffect.synth._weights import Rule, SolverName, solver_named

__all__ = ["SyntheticControl"]


@register
@dataclass(frozen=True, slots=True)
class SyntheticControl:
    r"""Synthetic control: a weighted mean of donors that follows the treated path before treatment.

    Several treated units are averaged (by ``unit_weight``) and matched as one. Weights are fitted to the outcome at
    every time before treatment, without covariates.

    Parameters
    ----------
    intercept : bool, default False
        Allow a constant gap between the treated and the synthetic path (demeaned synthetic control): fit the paths
        around their pre-treatment means and count effects from there. For treated units that lie above or below all
        donors.
    eta : float, default 1e-6
        Penalty on the squared weights in units of the noise level (dimensionless). The default only breaks ties;
        larger values spread the weights.
    solver : {"exact", "frank_wolfe"}, default "exact"
        ``"exact"``: the optimum, certified by its duality gap. ``"frank_wolfe"``: the early-stopped search of the R
        package synthdid with its sparsifying step, to reproduce published numbers; its loss is never lower.

    Raises
    ------
    SpecError
        If an option is out of range.

    Notes
    -----
    With treated mean :math:`\bar Y_t` and donors :math:`Y_{jt}`, the weights minimise over the simplex

    .. math:: \zeta^2\lVert\omega\rVert^2
        + \frac{1}{T_0}\sum_{t \le T_0}\Bigl(\bar Y_t - \omega_0 - \sum_j\omega_j Y_{jt}\Bigr)^2,

    with :math:`\omega_0 = 0` unless `intercept`, and :math:`\zeta` = `eta` times the standard deviation of the donors'
    first differences before treatment. The effect at t is the gap
    :math:`\bar Y_t - \omega_0 - \sum_j\omega_j Y_{jt}`, in outcome units; rows before treatment show the fit. With more
    donors than times the optimum is not unique; the weights with the smallest sum of squares are returned.

    There is no influence function: use ``PlaceboUnits`` or ``Jackknife``. Without an intercept the estimate changes if
    a constant is added to one unit; common time shocks never matter.

    References
    ----------
    Abadie, A., Diamond, A. and Hainmueller, J. (2010). Synthetic control methods for comparative case studies. Journal
    of the American Statistical Association 105, 493-505.
    Doudchenko, N. and Imbens, G. (2016). Balancing, regression, difference-in-differences and synthetic control
    methods: a synthesis. NBER Working Paper 22791 (the intercept).

    Examples
    --------
    >>> design = ge.block_design(panel, treated=("California",), start=1989)  # doctest: +SKIP
    >>> ge.fit(ge.synth.SyntheticControl(), panel, design).aggregate(ge.overall())  # doctest: +SKIP
    """

    intercept: bool = False
    eta: float = 1e-6
    solver: SolverName = "exact"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="SyntheticControl",
        label="Synthetic control",
        reference="abadie2010",
        family="synth",
        provides=frozenset({"refit", "counterfactual", "weights"}),
        handles=frozenset({"block", "anticipation", "never_treated", "unit_weight"}),
        exact_tol=1e-6,
        varies_with=frozenset({"unit_constants"}),
    )

    def __post_init__(self) -> None:
        if not self.eta >= 0:
            raise SpecError(f"SyntheticControl(eta={self.eta}) is negative.", hint="Use 0 or more; 1e-6 breaks ties.")
        solver_named(self.solver)

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Gaps by time; see the class for what is computed and :func:`groupeffect.fit` for how to call it."""
        block = read_block(panel, design, name=self.info.name)
        return estimate_block(
            panel,
            design,
            block,
            unit=Rule("balance", eta=self.eta, intercept=self.intercept),
            time=Rule("uniform" if self.intercept else "none"),
            solver=solver_named(self.solver),
        )

    def holding(self, effects: Effects) -> FixedWeights:
        """Estimator that keeps the weights of these effects (R's jackknife does): see :class:`FixedWeights`."""
        return FixedWeights.of(effects)
