"""Imputation against R's ``didimputation``: every case of three data sets, 22 in all.

The reference counts each observed unit-time once and holds shares fixed: ``kind="event_study"`` or ``"static"`` with
``variance="bjs"``. Standard errors of leads are those of ``fixest`` with its small-sample factor, which
``kind="pretrends"`` has. In mpdta 20 units have one untreated year only: they say nothing about leads and are not
counted as clusters here, but are there (480 or 500 clusters: 4e-5 of a standard error).

One standard error is not matched: ``overall_weighted`` of the simulation. With weights version 0.5.0 squares them in
the weights of untreated outcomes, which then do not reproduce its own estimate; a test below shows both numbers.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import groupeffect as ge
from groupeffect.errors import FewClustersWarning

FOLDER = Path(__file__).parent / "Imputation"
COLUMNS = {
    "mpdta": {"unit": "countyreal", "time": "year", "outcome": "lemp", "cohort": "first.treat"},
    "sim": {
        "unit": "unit_id",
        "time": "year",
        "outcome": "score",
        "cohort": "cohort",
        "covariates": ("z",),
        "attributes": ("group_id",),
    },
    "df_het": {"unit": "unit", "time": "year", "outcome": "dep_var", "cohort": "g", "attributes": ("state",)},
}
LEADS = {"event_study_pretrends_all": "all"} | dict.fromkeys(("event_study_pretrends", "event_study_cluster"), 2)
CLUSTERS = {"sim": "group_id", "df_het": "state"}


def golden(data: str) -> dict:
    return json.loads((FOLDER / data / "expected.json").read_text())


def read(data: str, weight: str | None = None) -> ge.Panel:
    frame = pd.read_csv(FOLDER / data / golden(data)["data"])
    return ge.read_panel(frame, ge.Columns(**COLUMNS[data], never=(0,), weight=weight))


def estimator(data: str, case: str, **options: object) -> ge.did.Imputation:
    leads = LEADS.get(case, 0)
    if data == "df_het" and leads == 2:
        leads = 5
    kind = "event_study" if case.startswith("event_study") else "static"
    chosen = {"kind": kind, "pretrends": leads, "variance": "bjs", "covariates": "as_is" if "cov" in case else "none"}
    return ge.did.Imputation(**(chosen | options))


def infer(own: ge.Fit, by: str | None) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClustersWarning)  # 24 groups
        return own.infer(ge.ClusterRobust(by=by)).tidy()


ALL = [(data, case) for data in COLUMNS for case in golden(data)["cases"]]
WRONG_WEIGHTS = ("sim", "overall_weighted")


@pytest.mark.parametrize(("data", "case"), ALL)
def test_agrees_with_the_reference(data: str, case: str) -> None:
    bundle = golden(data)
    wanted, tolerance = bundle["cases"][case], bundle["tolerance"]
    panel = read(data, weight="pupils" if "weighted" in case else None)
    by = CLUSTERS[data] if "cluster" in case else None
    table = infer(ge.fit(estimator(data, case), panel, ge.staggered_design(panel)), by)
    estimate, error = np.array(wanted["estimate"]), np.array(wanted["se"])
    before = np.zeros(len(estimate), dtype=bool)
    if wanted["event_time"][0] is not None:
        before = np.array(wanted["event_time"]) < 0
        table = table.set_index("event_time").loc[wanted["event_time"]]
    np.testing.assert_allclose(table["estimate"], estimate, rtol=tolerance["estimate_relative"])
    if (data, case) != WRONG_WEIGHTS:
        np.testing.assert_allclose(table["std_error"][~before], error[~before], rtol=tolerance["se_relative"])
    if before.any():
        alone = ge.fit(estimator(data, case, kind="pretrends"), panel, ge.staggered_design(panel))
        leads = infer(alone, by)
        np.testing.assert_allclose(leads["estimate"], estimate[before], rtol=tolerance["estimate_relative"])
        factor = np.sqrt(500 / 499 / (480 / 479)) if data == "mpdta" else 1.0
        np.testing.assert_allclose(factor * leads["std_error"], error[before], rtol=tolerance["se_relative"])


def test_number_of_cases() -> None:
    assert len(ALL) == 22


def test_cells_and_their_aggregations_give_the_same_numbers_in_a_balanced_panel() -> None:
    panel = read("mpdta")
    wanted = golden("mpdta")["cases"]
    own = ge.fit(ge.did.Imputation(), panel, ge.staggered_design(panel))
    total = own.aggregate(ge.overall()).infer(ge.ClusterRobust()).tidy()
    assert total["estimate"][0] == pytest.approx(wanted["overall"]["estimate"][0], rel=1e-6)
    assert total["std_error"][0] == pytest.approx(wanted["overall"]["se"][0], rel=1e-6)
    events = own.aggregate(ge.by_event_time()).infer(ge.ClusterRobust()).tidy().set_index("event_time")
    case = wanted["event_study_pretrends_all"]
    events = events.loc[case["event_time"]]
    np.testing.assert_allclose(events["estimate"], case["estimate"], rtol=1e-6)
    after = np.array(case["event_time"]) >= 0
    np.testing.assert_allclose(events["std_error"][after], np.array(case["se"])[after], rtol=1e-6)


def test_weighted_standard_error_of_the_reference_squares_the_weights() -> None:
    panel = read("sim", weight="pupils")
    treated = panel.times[None, :] >= panel.adoption[:, None]
    weight = np.repeat(panel.unit_weight[:, None], panel.n_times, axis=1)
    unit, time = np.indices(panel.outcome.shape)
    dummies = np.zeros((panel.outcome.size, panel.n_units + panel.n_times))
    dummies[np.arange(panel.outcome.size), unit.ravel()] = 1
    dummies[np.arange(panel.outcome.size), panel.n_units + time.ravel()] = 1
    flat, w, y = treated.ravel(), weight.ravel(), panel.outcome.ravel()
    root = np.sqrt(w[~flat])
    fitted = np.linalg.lstsq(dummies[~flat] * root[:, None], y[~flat] * root, rcond=None)[0]
    gap = y - dummies @ fitted
    own = np.where(flat, w, 0.0) / w[flat].sum()
    for cells in {(g, t) for g, t in zip(panel.adoption[unit.ravel()], time.ravel(), strict=True)}:
        here = flat & (panel.adoption[unit.ravel()] == cells[0]) & (time.ravel() == cells[1])
        if here.any():
            gap[here] -= np.average(gap[here], weights=own[here] ** 2)

    def std_error(power: int) -> float:
        gram = np.linalg.pinv(dummies[~flat].T @ (dummies[~flat] * w[~flat, None] ** power))
        v = -w * (dummies @ (gram @ (dummies.T @ (own if power == 1 else own * w))))
        v = np.where(flat, own, v)
        return float(np.sqrt((np.bincount(unit.ravel(), weights=v * gap) ** 2).sum()))

    wanted = golden("sim")["cases"]["overall_weighted"]["se"][0]
    ours = infer(ge.fit(estimator("sim", "overall_weighted"), panel, ge.staggered_design(panel)), None)
    assert std_error(2) == pytest.approx(wanted, rel=1e-6)
    assert std_error(1) == pytest.approx(ours["std_error"][0], rel=1e-9)
    assert ours["std_error"][0] / wanted == pytest.approx(1.0364, abs=1e-3)
