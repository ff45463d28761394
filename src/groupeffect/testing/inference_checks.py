"""The contract of inference strategies, as one function per check."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.design.aggregation import by_event_time
from groupeffect.did.callaway_santanna import CallawaySantAnna
from groupeffect.errors import CapabilityError
from groupeffect.fitting import Fit, fit
from groupeffect.inference.jackknife import Jackknife
from groupeffect.protocols import Inference, Uncertainty
from groupeffect.synth.synthetic_did import SyntheticDiD
from groupeffect.testing.documentation import check_parameters
from groupeffect.testing.outcomes import CheckReport, NotApplicable, need, run_checks
from groupeffect.testing.panels import main_scenario, staggered_panel

__all__ = ["check_inference", "fit_for"]

AGREEMENT_TOL = 0.2
"""Largest relative distance of a standard error from the jackknife over the same, unequal clusters."""


def check_inference(strategy: Inference) -> CheckReport:
    """Check that an inference strategy keeps its side of the contract.

    Parameters
    ----------
    strategy : Inference
        With the settings to check; a strategy with a field ``by`` is also checked with clusters of very unequal size.

    Returns
    -------
    CheckReport
        - ``pure``: settings only; two calls and a pickled copy agree to the last bit; the fit is not changed.
        - ``shape``: one row each, p-values between 0 and 1, intervals around the estimate, bands no narrower; rows that
          are zero by construction get nothing.
        - ``level``: a higher level gives wider intervals, the same standard errors.
        - ``scale``: ``a + bY`` multiplies standard errors and intervals by b.
        - ``clusters``: with unequal clusters the standard errors agree with the jackknife within 20 %.
        - ``refusal``: a fit that lacks what is needed is refused, and the message lists strategies that work.
        - ``documentation``: every setting with type and default.
    """
    return run_checks(repr(strategy), _runs(strategy))


def _runs(strategy: Inference) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "pure", partial(check_pure, strategy)
    yield "shape", partial(check_shape, strategy)
    yield "level", partial(check_level, strategy)
    yield "scale", partial(check_scale, strategy)
    yield "clusters", partial(check_clusters, strategy)
    yield "refusal", partial(check_refusal, strategy)
    yield "documentation", partial(check_parameters, type(strategy))


def fit_for(strategy: Inference, *, n_units: int = 80) -> Fit:
    """Small fit that has what a strategy needs: cells by event time, or a synthetic control path."""
    if "counterfactual" in strategy.needs:
        scenario = main_scenario(SyntheticDiD.info)
        return fit(SyntheticDiD(), scenario.panel, scenario.design)
    panel = staggered_panel(n_units)
    scenario = main_scenario(CallawaySantAnna.info)
    return fit(CallawaySantAnna(), panel, scenario.make_design(panel)).aggregate(by_event_time(-1, 2))


def check_pure(strategy: Inference) -> str:
    """Two calls and a pickled copy agree to the last bit, and the fit stays as it was."""
    own = fit_for(strategy)
    before = pickle.dumps(own.effects)
    first = _numbers(strategy.apply(own, level=0.95))
    need(pickle.dumps(own.effects) == before, "apply() changed the effects")
    need(first == _numbers(strategy.apply(own, level=0.95)), "two calls on the same fit differ")
    need(dataclasses.is_dataclass(strategy), f"{type(strategy).__name__} is not a dataclass")
    copy = pickle.loads(pickle.dumps(strategy))
    need(copy == strategy and first == _numbers(copy.apply(own, level=0.95)), "a pickled copy differs")
    return "two calls and a pickled copy agree to the last bit"


def _numbers(uncertainty: Uncertainty) -> bytes:
    return pickle.dumps([getattr(uncertainty, item.name) for item in dataclasses.fields(uncertainty)])


def check_shape(strategy: Inference) -> str:
    """Rows, ranges, order of the bounds, and nothing for rows that are zero by construction."""
    own = fit_for(strategy)
    effects, u = own.effects, strategy.apply(own, level=0.95)
    k = len(effects.index)
    need(u.interval.shape == (k, 2), f"interval has shape {u.interval.shape}, not {(k, 2)}")
    need(u.p_value.shape == (k,), f"p_value has shape {u.p_value.shape}, not {(k,)}")
    need(u.method, "method is empty")
    known = np.isfinite(u.interval).all(axis=1)
    need(known.any(), "no row has an interval")
    need(np.all(u.interval[known, 0] <= effects.estimate[known]), "an interval starts above the estimate")
    need(np.all(u.interval[known, 1] >= effects.estimate[known]), "an interval ends below the estimate")
    p = u.p_value[np.isfinite(u.p_value)]
    need(np.all((p >= 0) & (p <= 1)), "a p-value is not between 0 and 1")
    if u.std_error is not None:
        need(np.all(u.std_error[np.isfinite(u.std_error)] > 0), "a standard error is not positive")
        need(np.isnan(u.std_error[effects.index.is_reference]).all(), "a reference row has a standard error")
    if u.vcov is not None:
        need(u.vcov.shape == (k, k), f"vcov has shape {u.vcov.shape}, not {(k, k)}")
        need(np.allclose(u.vcov, u.vcov.T, equal_nan=True), "vcov is not symmetric")
    if u.band is not None:
        inside = (u.band[known, 0] <= u.interval[known, 0]) & (u.band[known, 1] >= u.interval[known, 1])
        need(inside.all(), "a simultaneous band is narrower than the pointwise interval")
    return f"{k} rows"


def check_level(strategy: Inference) -> str:
    """Higher levels give wider intervals and the same standard errors."""
    own = fit_for(strategy)
    low, high = strategy.apply(own, level=0.8), strategy.apply(own, level=0.99)
    known = np.isfinite(low.interval).all(axis=1)
    ratio = _width(high.interval)[known] / _width(low.interval)[known]
    need(ratio.min() > 1, "the 99 % interval is not wider than the 80 % one")
    if low.std_error is not None and high.std_error is not None:
        need(np.array_equal(low.std_error, high.std_error, equal_nan=True), "standard errors depend on the level")
    return f"99 % intervals are {ratio.min():.2f} to {ratio.max():.2f} times as wide as 80 % ones"


def _width(interval: FloatArray) -> FloatArray:
    return np.asarray(interval[:, 1] - interval[:, 0])


def check_scale(strategy: Inference) -> str:
    """Outcomes times 4 plus a constant: intervals times 4."""
    own = fit_for(strategy)
    again = own.rerun(panel=own.panel.with_outcome(3 + 4 * own.panel.outcome))
    first, second = strategy.apply(own, level=0.95), strategy.apply(again, level=0.95)
    need(np.allclose(second.interval, 4 * first.interval, rtol=1e-6, equal_nan=True), "intervals do not scale")
    need(np.allclose(second.p_value, first.p_value, rtol=1e-6, equal_nan=True), "p-values change with the scale")
    return "intervals scale with the outcome"


def check_clusters(strategy: Inference) -> str:
    """Standard errors over clusters of 1, 2, 3, ... units agree with the jackknife over the same clusters."""
    names = {item.name for item in dataclasses.fields(strategy)}  # type: ignore[arg-type]
    if "by" not in names:
        raise NotApplicable("the strategy has no clusters")
    own = _with_cluster_noise(fit_for(strategy, n_units=600))
    strategy = dataclasses.replace(strategy, by="cluster")  # type: ignore[type-var]
    u = strategy.apply(own, level=0.95)
    if u.std_error is None:
        raise NotApplicable("the strategy gives no standard errors")
    jackknife = Jackknife(by="cluster").apply(own, level=0.95).std_error
    assert jackknife is not None
    known = np.isfinite(u.std_error) & np.isfinite(jackknife)
    distance = np.abs(u.std_error[known] / jackknife[known] - 1).max()
    need(distance < AGREEMENT_TOL, f"a clustered standard error is {100 * distance:.0f} % off the jackknife")
    need(u.n_clusters == len(np.unique(own.panel.attributes["cluster"])), "n_clusters is not the number of clusters")
    return f"within {100 * distance:.1f} % of the jackknife"


def _with_cluster_noise(own: Fit) -> Fit:
    """The same fit with shocks that are common to the units of a cluster."""
    panel = own.panel
    _, code = np.unique(panel.attributes["cluster"], return_inverse=True)
    shocks = 0.5 * np.random.default_rng(12).normal(size=(code.max() + 1, panel.n_times))
    return own.rerun(panel=panel.with_outcome(panel.outcome + shocks[code]))


def check_refusal(strategy: Inference) -> str:
    """A fit without what the strategy needs is refused, with a list of strategies that work."""
    own = fit_for(strategy)
    bare = dataclasses.replace(own.effects, influence=None, counterfactual=None, weights=None, scores=None)
    if strategy.needs <= bare.capabilities:
        raise NotApplicable("the strategy works with every estimator")
    try:
        dataclasses.replace(own, effects=bare).infer(strategy)
    except CapabilityError as error:
        need("Jackknife" in error.hint, f"the hint does not list what would work: {error.hint}")
        return "refused"
    need(False, "no CapabilityError")
    return ""
