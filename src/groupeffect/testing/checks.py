"""The contract of estimators, as one function per check."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from groupeffect.design.design import Design
from groupeffect.effects.effects import Effects
from groupeffect.fitting import fit
from groupeffect.inference.cluster import ClusterRobust
from groupeffect.inference.jackknife import Jackknife
from groupeffect.panel.panel import Panel
from groupeffect.protocols import Estimator
from groupeffect.registry import EstimatorInfo
from groupeffect.testing.command_line import check_command_line
from groupeffect.testing.derivative import AGGREGATIONS, DERIVATIVE_TOL, check_derivative
from groupeffect.testing.documentation import check_parameters, check_reference
from groupeffect.testing.invariance import INVARIANCES, check_duplication, check_invariance
from groupeffect.testing.outcomes import CheckReport, NotApplicable, need, run_checks
from groupeffect.testing.panels import Scenario, main_scenario, plain_design, scenarios, staggered_panel
from groupeffect.testing.recovery import RECOVERIES, check_recovery
from groupeffect.testing.refusals import REFUSALS, UNHANDLED, check_refusal, check_unhandled

__all__ = ["CHECKS", "check_estimator"]

CHECKS = (
    "pure",
    "shape",
    "recovery",
    "derivative",
    "jackknife",
    "invariance",
    "weights",
    "refusal",
    "documentation",
    "command line",
)
"""Names of the checks, in the order in which they run."""

JACKKNIFE_TOL = 0.15
"""Largest relative distance of the analytic standard error from the jackknife."""


def check_estimator(
    estimator: Estimator,
    *,
    panel: Panel | None = None,
    bibliography: Path | None = None,
    only: Collection[str] = CHECKS,
) -> CheckReport:
    """Check that an estimator keeps the contract on which inference, tables and figures rest.

    Parameters
    ----------
    estimator : Estimator
        With the options to check.
    panel : Panel, optional
        Further data for the checks that do not need a known truth; small, because some checks re-estimate for every
        unit. The design is the plainest one that the estimator handles.
    bibliography : Path, optional
        BibTeX file that must have the key ``info.reference``.
    only : collection of str, default CHECKS
        Checks to run:

        - ``pure``: inputs are not changed, two calls agree, copies agree.
        - ``shape``: rows are unique and explained; influence has one row per unit and columns with mean zero.
        - ``recovery``: a known effect is found exactly in noiseless data, in every aggregation.
        - ``derivative``: influence equals the numerical derivative in each unit's weight, in every aggregation, and so
          do its sums by cluster.
        - ``jackknife``: analytic standard errors lie within 15 % of the jackknife.
        - ``invariance``: order and labels of units, calendar, scale, unit constants, time shocks, duplication.
        - ``weights``: implied weights reproduce the estimate, with +1 on treated and -1 on untreated unit-times.
        - ``refusal``: what cannot be estimated is refused by the documented error; nothing is ignored in silence.
        - ``documentation``: every option with type and default, and a reference.
        - ``command line``: ``groupeffect fit`` with a TOML file gives the same JSON, byte by byte.

    Returns
    -------
    CheckReport
        One outcome per check and scenario; call ``raise_if_failed()`` in a test.

    Examples
    --------
    >>> import groupeffect as ge
    >>> report = ge.testing.check_estimator(ge.did.CallawaySantAnna(method="reg"), only=("documentation",))
    >>> [outcome.status for outcome in report.failures]
    []
    """
    cases = list(scenarios(estimator.info))
    if panel is not None:
        cases.append(Scenario("given panel", panel, plain_design(estimator.info)))
    runs = [run for run in _runs(estimator, cases, bibliography) if run[0].split(" [")[0] in only]
    return run_checks(repr(estimator), runs)


_Run = tuple[str, Callable[[], str]]


def _runs(estimator: Estimator, cases: list[Scenario], bibliography: Path | None) -> Iterator[_Run]:
    # cross-fitted estimators cost a hundred times as much: what does not depend on the scenario runs on the first
    few = cases[:1] if _cross_fitted(estimator.info) else cases
    for case in few:
        yield f"pure [{case.name}]", partial(check_pure, estimator, case)
    for case in cases:
        yield f"shape [{case.name}]", partial(check_shape, estimator, case)
    for name in RECOVERIES:
        yield f"recovery [{name}]", partial(check_recovery, estimator, name)
    yield from _derivative_runs(estimator, cases)
    yield "jackknife", partial(check_jackknife, estimator)
    for case in few:
        for name in INVARIANCES:
            yield f"invariance [{name}, {case.name}]", partial(check_invariance, estimator, case, name)
        yield f"invariance [duplication, {case.name}]", partial(check_duplication, estimator, case)
    for case in cases:
        yield f"weights [{case.name}]", partial(check_weights, estimator, case)
    for name in REFUSALS:
        yield f"refusal [{name}]", partial(check_refusal, estimator, name)
    for feature in UNHANDLED:
        yield f"refusal [{feature} handled or said]", partial(check_unhandled, estimator, feature)
    yield "documentation [parameters]", partial(check_parameters, type(estimator))
    yield (
        "documentation [reference]",
        partial(check_reference, type(estimator), estimator.info.reference, bibliography),
    )
    yield "command line", partial(check_command_line, estimator)


def _cross_fitted(info: EstimatorInfo) -> bool:
    return info.influence_tol > DERIVATIVE_TOL


def _derivative_runs(estimator: Estimator, cases: list[Scenario]) -> Iterator[_Run]:
    if _cross_fitted(estimator.info):
        large = Scenario("large", staggered_panel(480, covariate=True), plain_design(estimator.info))
        yield "derivative [random directions, large]", partial(check_derivative, estimator, large, "random")
        return
    yield f"derivative [each unit, {cases[0].name}]", partial(check_derivative, estimator, cases[0], "units")
    yield f"derivative [cluster sums, {cases[0].name}]", partial(check_derivative, estimator, cases[0], "clusters")
    for case in cases[1:]:
        yield f"derivative [random directions, {case.name}]", partial(check_derivative, estimator, case, "random")


def check_pure(estimator: Estimator, scenario: Scenario) -> str:
    """Options only, no state: inputs unchanged, two calls and copies of the estimator agree to the last bit."""
    panel, design = scenario.panel, scenario.design
    before = _contents(panel, design)
    first = _numbers(estimator.estimate(panel, design))
    need(_contents(panel, design) == before, "estimate() changed the panel or the design")
    need(first == _numbers(estimator.estimate(panel, design)), "two calls on the same data differ")
    need(dataclasses.is_dataclass(estimator), f"{type(estimator).__name__} is not a dataclass")
    need(type(estimator).__dataclass_params__.frozen, f"{type(estimator).__name__} is not frozen")  # type: ignore[attr-defined]
    copies = {
        "a pickled copy": pickle.loads(pickle.dumps(estimator)),
        "dataclasses.replace": dataclasses.replace(estimator),  # type: ignore[type-var]
    }
    for name, copy in copies.items():
        need(copy == estimator, f"{name} is not equal to the estimator")
        need(first == _numbers(copy.estimate(panel, design)), f"{name} gives other estimates")
    kept = _numbers(pickle.loads(pickle.dumps(estimator.estimate(panel, design))))
    need(kept == first, "effects do not survive pickle")
    return "two calls, a pickled copy and dataclasses.replace agree to the last bit"


def _contents(panel: Panel, design: Design) -> bytes:
    return pickle.dumps((panel, design))


def _numbers(effects: Effects) -> tuple[object, ...]:
    influence = effects.influence
    values = None if influence is None else np.ascontiguousarray(influence.values).tobytes()
    return effects.index.keys(), effects.estimate.tobytes(), values, effects.notes


def check_shape(estimator: Estimator, scenario: Scenario) -> str:
    """Rows are unique, finite or explained; influence fits units and rows; capabilities are those declared."""
    panel, design = scenario.panel, scenario.design
    effects = estimator.estimate(panel, design)
    keys, k = effects.index.keys(), len(effects.index)
    need(k > 0, "there is no row")
    need(len(set(keys)) == k, f"{k - len(set(keys))} rows repeat a key")
    off = np.abs(effects.index.event_time - (effects.index.time - effects.index.cohort))
    need(not (off > 0).any(), "event times are not time minus cohort")
    missing = int((~np.isfinite(effects.estimate)).sum())
    need(missing == 0 or effects.notes, f"{missing} estimates are not finite and notes say nothing")
    need(missing < k, "no estimate is finite")
    need(bool((effects.estimate[effects.index.is_reference] == 0).all()), "a reference row is not zero")
    need(
        effects.capabilities == estimator.info.provides | {"refit"},
        f"info.provides says {sorted(estimator.info.provides)}, the effects have {sorted(effects.capabilities)}",
    )
    if effects.influence is None:
        return f"{k} rows, no influence"
    values = effects.influence.values
    need(values.shape == (panel.n_units, k), f"influence has shape {values.shape}, not {(panel.n_units, k)}")
    need(np.array_equal(effects.influence.unit_ids, panel.unit_ids), "influence rows are not the panel's units")
    need(np.isfinite(values).all(), "influence has values that are not finite")
    means, size = np.abs(values.mean(axis=0)), np.abs(values).max()
    need(means.max() < 1e-9 * size, f"an influence column has mean {means.max():.1e} (largest value {size:.1e})")
    return f"{k} rows, column means below {means.max():.0e}"


def check_jackknife(estimator: Estimator) -> str:
    """Analytic standard errors lie within 15 % of the jackknife on a well-behaved panel."""
    if "influence" not in estimator.info.provides:
        raise NotApplicable("the estimator gives no influence function (see info.provides)")
    if "staggered" in estimator.info.handles:
        covariate = "covariates" in estimator.info.handles
        panel = staggered_panel(240, covariate=covariate, clusters=40)
        own = fit(estimator, panel, plain_design(estimator.info)(panel))
    else:
        plain = main_scenario(estimator.info)
        own = fit(estimator, plain.panel, plain.design)
    rows = [own]
    if own.effects.shares is not None:
        rows += [own.aggregate(scheme) for scheme in AGGREGATIONS[:5]]
    worst = 0.0
    for each in rows:
        analytic = ClusterRobust(by="cluster").apply(each, level=0.95).std_error
        jackknife = Jackknife(by="cluster").apply(each, level=0.95).std_error
        assert analytic is not None
        assert jackknife is not None
        known = np.isfinite(analytic) & np.isfinite(jackknife)
        need(known.any(), "no row has a standard error")
        distance = np.abs(analytic[known] / jackknife[known] - 1)
        worst = max(worst, float(distance.max()))
        need(
            worst < JACKKNIFE_TOL,
            f"an analytic standard error is {analytic[known][distance.argmax()]:.4g}, the jackknife's "
            f"{jackknife[known][distance.argmax()]:.4g}",
        )
    return f"within {100 * worst:.1f} % of the jackknife"


def check_weights(estimator: Estimator, scenario: Scenario) -> str:
    """Implied weights reproduce the estimate; after treatment they sum to +1 on treated and -1 on untreated."""
    if "weights" not in estimator.info.provides:
        raise NotApplicable("the estimator gives no implied weights (see info.provides)")
    panel, design = scenario.panel, scenario.design
    effects = estimator.estimate(panel, design)
    parts = [("rows", effects)]
    if effects.shares is not None:
        parts += [(str(scheme), effects.aggregate(scheme)) for scheme in AGGREGATIONS]
    return f"largest error {max(_weight_error(name, part, panel, design) for name, part in parts):.1e}"


def _weight_error(name: str, effects: Effects, panel: Panel, design: Design) -> float:
    assert effects.weights is not None
    dense, observed = effects.weights.dense(), np.isfinite(panel.outcome)
    shape = (len(effects.index), panel.n_units, panel.n_times)
    need(dense.shape == shape, f"{name}: weights have shape {dense.shape}, not {shape}")
    need(not dense[:, ~observed].any(), f"{name}: unobserved outcomes have weight")
    known = np.isfinite(effects.estimate)
    made = (dense * np.where(observed, panel.outcome, 0.0)).sum(axis=(1, 2))[known]
    scale = max(float(np.abs(panel.outcome[observed]).max()), 1e-12)
    error = np.abs(made - effects.estimate[known]).max() / scale
    need(error < 1e-9, f"{name}: weights times outcomes miss an estimate by {error:.1e} of the outcome scale")
    after = known & ~effects.index.is_reference & _is_after(effects)
    on_treated = panel.times[None, :] >= design.cohort[:, None]
    totals = dense[after][:, on_treated].sum(axis=1), dense[after][:, ~on_treated].sum(axis=1)
    for side, total, wanted in zip(("treated", "untreated"), totals, (1.0, -1.0), strict=True):
        off = np.abs(total - wanted).max(initial=0.0)
        need(off < 1e-9, f"{name}: weights of {side} unit-times sum to {wanted + off:.6g} or so, not {wanted:g}")
        error = max(error, off)
    return float(error)


def _is_after(effects: Effects) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows about treated times only."""
    index = effects.index
    elapsed = np.where(np.isnan(index.event_time), index.time - index.cohort, index.event_time)
    return np.where(np.isnan(elapsed), True, elapsed >= 0)
