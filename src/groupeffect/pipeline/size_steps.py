"""Step that shows, by simulation with known truth, how often each analysis is wrong."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from groupeffect.errors import GroupEffectWarning
from groupeffect.pipeline.truths import TrueCells, true_cells

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.panel.panel import Panel
    from groupeffect.pipeline.spec import Size
    from groupeffect.pipeline.study import Draft, Study
    from groupeffect.reform.effects import RoleEffect
    from groupeffect.result import Result
    from groupeffect.simulate.truth import Truth

__all__ = ["operating_characteristics", "simulated_panel"]

ATTRIBUTES = ("role", "model", "group_id", "county_id", "location", "stage", "designated_weak_year", "new_school")


def operating_characteristics(study: Study, draft: Draft) -> None:
    """Size where the truth is zero, bias and coverage where it is not: for the defaults and for what misleads."""
    import pandas as pd
    from joblib import Parallel, delayed

    spec = study.spec.size
    assert spec is not None
    seeds = np.random.SeedSequence(spec.seed).generate_state(spec.draws)
    jobs = [(scenario, int(seed)) for scenario in spec.scenarios for seed in seeds]
    workers = Parallel(n_jobs=spec.workers, inner_max_num_threads=1, backend="loky", return_as="generator")
    found = []
    for frame in workers(delayed(_one_draw)(*job, spec.n_schools, study.reform.margin) for job in jobs):
        found.append(frame)
        draft.tell(f"{len(found)} of {len(jobs)} draws")
    rows = pd.concat(found, ignore_index=True)
    draft.table("draws", rows)
    draft.table("size", _size_table(rows))
    draft.table("recovery", _recovery_table(rows))
    draft.note(f"{spec.draws} draws of each of {', '.join(spec.scenarios)} with {spec.n_schools} schools")
    lost = _lost(rows, spec)
    if lost:
        draft.note(lost)


def _lost(rows: pd.DataFrame, spec: Size) -> str:
    done = rows[rows["analysis"] == "pre_designation"].groupby(["scenario", "role"])["seed"].nunique()
    short = {key: int(spec.draws - n) for key, n in done.items() if n < spec.draws}
    return f"draws in which the analysis was refused: {short}" if short else ""


def simulated_panel(scenario: str, seed: int, n_schools: int) -> tuple[Panel, Truth]:
    """A draw of the generator as a panel on the pupil-SD scale, and its truth."""
    import groupeffect as ge
    from groupeffect.simulate import simulate_panel

    frame, truth = simulate_panel(scenario, n_schools=n_schools, seed=seed)
    columns = ge.Columns(
        unit="school_id",
        time="year",
        outcome="score",
        cohort="join_year",
        never=(0,),
        cell_size="enrol",
        attributes=ATTRIBUTES,
        outcome_unit="sd",
    )
    return ge.read_panel(frame, columns), truth


def _one_draw(scenario: str, seed: int, n_schools: int, margin: float) -> pd.DataFrame:
    """Every analysis of one draw: estimate, error, interval, truth."""
    import pandas as pd

    from groupeffect.pipeline.reform_steps import naive_estimates, twfe_result
    from groupeffect.reform import analyse_reform

    with warnings.catch_warnings():
        # each draw would repeat the same warnings; what they say stands in the notes of the main analysis
        warnings.simplefilter("ignore", GroupEffectWarning)
        panel, truth = simulated_panel(scenario, seed, n_schools)
        analysis = analyse_reform(panel, margin=margin)
        rows: list[dict[str, object]] = []
        for effect in (analysis.member, analysis.core):
            if effect is None:
                continue
            own = _truth_of(effect, truth)
            for one in (effect, *effect.alternatives):
                name, cells = ("pre_designation", own) if one is effect else (one.pool, _truth_of(one, truth))
                rows += _rows(name, one.overall, one.role, cells)
                rows += _rows(name, one.event_study, one.role, cells)
            for naive in naive_estimates(effect):
                rows += _rows(naive.kind, naive.result, effect.role, own)
            rows += _rows("twfe", twfe_result(effect), effect.role, own)
    return pd.DataFrame(rows).assign(scenario=scenario, seed=seed)


def _rows(analysis: str, result: Result, role: str, truth: TrueCells) -> list[dict[str, object]]:
    """Rows of a result that are effects (event time >= 0, or overall), with their truth."""
    index, estimate, error = result.index, result.estimate, result.uncertainty.std_error
    assert error is not None
    before = index.event_time < 0
    rows: list[dict[str, object]] = []
    for row in np.flatnonzero(~before & np.isfinite(estimate) & np.isfinite(error)):
        event_time = float(index.event_time[row])
        low, high = result.uncertainty.interval[row]
        rows.append(
            {
                "role": role,
                "analysis": analysis,
                "event_time": event_time,
                "estimate": float(estimate[row]),
                "std_error": float(error[row]),
                "conf_low": float(low),
                "conf_high": float(high),
                "truth": truth.average(event_time),
            }
        )
    return rows


def _truth_of(effect: RoleEffect, truth: Truth) -> TrueCells:
    """True effects behind an estimate of a simulated reform."""
    panel = effect.fit.panel
    position = {unit: row for row, unit in enumerate(truth.labels["school_id"])}
    rows = np.array([position[unit] for unit in panel.unit_ids])
    return true_cells(effect, truth.tau[rows][:, np.searchsorted(truth.world.years, panel.times)])


def _size_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Rejection of zero where the truth is zero, by scenario, role and analysis (overall effect)."""
    overall = rows[rows["event_time"].isna()]
    zero = overall[overall.groupby("scenario")["truth"].transform(lambda value: value.abs().max() == 0)]
    zero = zero.assign(rejected=(zero["conf_low"] > 0) | (zero["conf_high"] < 0))
    grouped = zero.groupby(["scenario", "role", "analysis"], sort=True)
    table = grouped.agg(
        draws=("estimate", "size"),
        mean_estimate=("estimate", "mean"),
        sd_estimate=("estimate", "std"),
        mean_std_error=("std_error", "mean"),
        rejection=("rejected", "mean"),
    )
    return table.reset_index()


def _recovery_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Bias and coverage of the default analysis where there is an effect, by event time (empty = overall)."""
    used = rows[rows["analysis"] == "pre_designation"]
    used = used[used.groupby("scenario")["truth"].transform(lambda value: value.abs().max() > 0)]
    used = used.assign(
        error=used["estimate"] - used["truth"],
        covered=(used["conf_low"] <= used["truth"]) & (used["truth"] <= used["conf_high"]),
    )
    grouped = used.groupby(["scenario", "role", "event_time"], dropna=False, sort=True)
    table = grouped.agg(
        draws=("estimate", "size"),
        truth=("truth", "mean"),
        mean_estimate=("estimate", "mean"),
        bias=("error", "mean"),
        spread=("error", "std"),
        coverage=("covered", "mean"),
    ).reset_index()
    table["mc_error"] = table["spread"] / np.sqrt(table["draws"])
    columns = ["scenario", "role", "event_time", "draws", "truth", "mean_estimate", "bias", "mc_error", "coverage"]
    return table[columns]
