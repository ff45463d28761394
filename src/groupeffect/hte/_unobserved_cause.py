"""How far an unobserved cause as strong as an observed one could pull an estimate, by dowhy."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import AnyArray
from groupeffect.hte._stack import make_stack, read_modifiers

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.fitting import Fit

__all__ = ["strongest_bias"]


def strongest_bias(fit: Fit) -> tuple[tuple[str, float] | None, float]:
    """Covariate that stands for the strongest unobserved cause, the bias of one as strong, and the robustness value."""
    import networkx as nx
    from dowhy import CausalModel
    from dowhy.causal_estimators.linear_regression_estimator import LinearRegressionEstimator
    from dowhy.causal_refuters.add_unobserved_common_cause import sensitivity_linear_partial_r2

    data, names = _long_differences(fit)
    if not names:
        return None, float("nan")
    columns = [name for name in data.columns if name not in ("treated", "change")]
    edges = [("treated", "change"), *((x, y) for x in columns for y in ("treated", "change"))]
    with warnings.catch_warnings():
        # dowhy announces data columns of the graph as unobserved or unused; here they coincide by construction
        warnings.filterwarnings("ignore", category=UserWarning, module=r"dowhy\..*")
        model = CausalModel(data=data, treatment="treated", outcome="change", graph=nx.DiGraph(edges))
        estimand = model.identify_effect(method_name="maximal-adjustment")
    estimand.set_identifier_method("backdoor")
    estimator = LinearRegressionEstimator(estimand).fit(data)
    estimate = estimator.estimate_effect(data, control_value=0, treatment_value=1, target_units="ate")
    biases, robustness = {}, float("nan")
    for column, name in names.items():
        with np.errstate(divide="ignore"):
            # with many rows the critical value of a by-product rounds to zero, and dowhy divides by it
            analysis = sensitivity_linear_partial_r2(
                data,
                estimate,
                ["treated"],
                frac_strength_treatment=[1.0],
                benchmark_common_causes=[column],
                significance_level=0.05,
                null_hypothesis_effect=0,
                plot_estimate=False,
            )
        adjusted = float(analysis.benchmarking_results["bias_adjusted_estimate"].iloc[0])
        raw = float(analysis.stats["estimate"])
        biases[name] = abs(raw) - float(np.copysign(1.0, raw)) * adjusted
        robustness = float(analysis.stats["robustness_value"])
    strongest = max(biases, key=lambda name: biases[name])
    return (strongest, biases[strongest]), robustness


def _long_differences(fit: Fit) -> tuple[pd.DataFrame, dict[str, str]]:
    """Outcome changes behind the fit, stacked by cohort and comparison, with covariates and block indicators."""
    import pandas as pd

    stack = make_stack(fit.panel, fit.design, read_modifiers(fit.panel, ()), None)
    varies = [k for k in range(stack.features.shape[1]) if np.ptp(stack.features[:, k]) > 0]
    names = {f"x{k}": stack.feature_names[k] for k in varies}
    columns: dict[str, AnyArray] = {"change": stack.change, "treated": stack.treated.astype(np.int64)}
    columns |= {f"x{k}": stack.features[:, k] for k in varies}
    present = np.unique(stack.block)
    columns |= {f"b{block}": (stack.block == block).astype(float) for block in present[1:]}
    return pd.DataFrame(columns), names
