"""Two-stage difference-in-differences against R's ``did2s``: every case of four data sets, 18 in all."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import groupeffect as ge
from groupeffect.errors import FewClustersWarning

FOLDER = Path(__file__).parent / "TwoStage"
SIM = {
    "unit": "unit_id",
    "time": "year",
    "outcome": "score",
    "cohort": "cohort",
    "covariates": ("z",),
    "attributes": ("group_id",),
}
COLUMNS = {
    "mpdta": {"unit": "countyreal", "time": "year", "outcome": "lemp", "cohort": "first.treat"},
    "sim": SIM,
    "sim_unbalanced": SIM,
    "df_het": {"unit": "unit", "time": "year", "outcome": "dep_var", "cohort": "g", "attributes": ("state",)},
}
CLUSTERS = {"mpdta": None, "sim": "group_id", "sim_unbalanced": "group_id", "df_het": "state"}


def golden(data: str) -> dict:
    return json.loads((FOLDER / data / "expected.json").read_text())


def read(data: str, weight: str | None = None) -> ge.Panel:
    frame = pd.read_csv(FOLDER / data / golden(data)["data"])
    return ge.read_panel(frame, ge.Columns(**COLUMNS[data], never=(0,), weight=weight))


ALL = [(data, case) for data in COLUMNS for case in golden(data)["cases"]]


@pytest.mark.parametrize(("data", "case"), ALL)
def test_agrees_with_the_reference(data: str, case: str) -> None:
    bundle = golden(data)
    wanted, tolerance = bundle["cases"][case], bundle["tolerance"]
    panel = read(data, weight="pupils" if "weighted" in case else None)
    assert np.isfinite(panel.outcome).sum() == wanted["nobs"]
    kind = "static" if case.startswith("static") else "event_study"
    estimator = ge.did.TwoStage(kind=kind, covariates="as_is" if "cov" in case else "none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClustersWarning)  # 24 groups
        result = ge.fit(estimator, panel, ge.staggered_design(panel)).infer(ge.ClusterRobust(by=CLUSTERS[data]))
    rows = np.array([0])
    if kind == "event_study":
        rows = np.searchsorted(result.index.event_time, wanted["event_time"])
        np.testing.assert_array_equal(result.index.event_time[rows], wanted["event_time"])
    table = result.tidy().iloc[rows]
    np.testing.assert_allclose(table["estimate"], wanted["estimate"], rtol=tolerance["estimate_relative"])
    np.testing.assert_allclose(table["std_error"], wanted["se"], rtol=tolerance["se_relative"])
    vcov = result.uncertainty.vcov[np.ix_(rows, rows)][np.tril_indices(len(rows))]
    lower = np.concatenate([np.array(row) for row in wanted["vcov"]])
    np.testing.assert_allclose(vcov, lower, rtol=0, atol=tolerance["vcov_of_largest"] * np.abs(lower).max())


def test_number_of_cases() -> None:
    assert len(ALL) == 18


def test_cells_and_their_aggregations_give_the_same_numbers_in_a_balanced_panel() -> None:
    panel, wanted = read("mpdta"), golden("mpdta")["cases"]
    own = ge.fit(ge.did.TwoStage(), panel, ge.staggered_design(panel))
    total = own.aggregate(ge.overall()).infer(ge.ClusterRobust()).tidy()
    assert total["estimate"][0] == pytest.approx(wanted["static"]["estimate"][0], rel=1e-6)
    assert total["std_error"][0] == pytest.approx(wanted["static"]["se"][0], rel=1e-6)
    events = own.aggregate(ge.by_event_time()).infer(ge.ClusterRobust()).tidy()
    case = wanted["event_study_inf_ref"]
    np.testing.assert_allclose(events["estimate"], case["estimate"], rtol=1e-6)
    np.testing.assert_allclose(events["std_error"], case["se"], rtol=1e-6)
