"""Efficient estimator under random timing against R's ``staggered``: every case of two data sets, 26 in all.

Both its standard errors are compared: ``se`` with ``variance="design"``, ``se_neyman`` with ``variance="neyman"``. One
row differs by intent: event time -2 of the county data, where the first cohort has no outcome. There the reference
keeps that cohort's base difference without a difference to take it from; a test shows that this is all.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import groupeffect as ge

FOLDER = Path(__file__).parent / "StaggeredRollout"
COLUMNS = {
    "mpdta": {"unit": "countyreal", "time": "year", "outcome": "lemp", "cohort": "first.treat"},
    "sim": {"unit": "unit_id", "time": "year", "outcome": "score", "cohort": "cohort"},
}
METHODS = {"cs": "callaway_santanna", "sa": "sun_abraham", "beta1": "callaway_santanna"}
TARGETS = {
    "simple": "overall",
    "cohort": "overall_by_cohort",
    "calendar": "overall_by_calendar_time",
    "eventstudy": "by_event_time",
    "beta1": "overall",
}


def golden(data: str) -> dict:
    return json.loads((FOLDER / data / "expected.json").read_text())


def read(data: str) -> ge.Panel:
    return ge.read_panel(pd.read_csv(FOLDER / data / golden(data)["data"]), ge.Columns(**COLUMNS[data], never=(0,)))


ALL = [(data, case) for data in COLUMNS for case in golden(data)["cases"]]


def test_number_of_cases() -> None:
    assert len(ALL) == 26


@pytest.mark.parametrize(("variance", "key"), [("design", "se"), ("neyman", "se_neyman")])
@pytest.mark.parametrize(("data", "case"), ALL)
def test_agrees_with_the_reference(data: str, case: str, variance: str, key: str) -> None:
    bundle = golden(data)
    wanted, tolerance = bundle["cases"][case], bundle["tolerance"]
    words = case.split("_")
    estimator = ge.did.StaggeredRollout(
        method=METHODS.get(words[1], "efficient"), target=TARGETS[words[-1]], variance=variance
    )
    panel = read(data)
    design = ge.staggered_design(panel, base_period="universal")
    table = ge.fit(estimator, panel, design).infer(ge.ClusterRobust()).tidy()
    estimate, error = np.atleast_1d(wanted["estimate"]), np.atleast_1d(wanted[key])
    if "eventTime" in wanted:
        table = table.set_index("event_time").loc[wanted["eventTime"]]
        compared = np.array([not (data == "mpdta" and e == -2) for e in wanted["eventTime"]])
        table, estimate, error = table[compared], estimate[compared], error[compared]
    np.testing.assert_allclose(table["estimate"], estimate, rtol=tolerance["estimate_relative"], atol=1e-14)
    np.testing.assert_allclose(table["std_error"].fillna(0), error, rtol=tolerance["se_relative"])


def test_event_time_before_the_first_time_of_a_cohort() -> None:
    panel = read("mpdta")
    design = ge.staggered_design(panel, base_period="universal")
    cells = ge.did.StaggeredRollout(method="callaway_santanna").estimate(panel, design)
    size = {g: float((panel.adoption == g).sum()) for g in (2004, 2006, 2007)}
    base = panel.outcome[:, panel.times == 2003].ravel()
    stray = base[panel.adoption == 2004].mean() - base[panel.adoption > 2004].mean()
    own = cells.index.event_time == -2
    np.testing.assert_array_equal(cells.index.cohort[own], [2006, 2007])
    reference = (size[2006] * cells.estimate[own][0] + size[2007] * cells.estimate[own][1] - size[2004] * stray) / sum(
        size.values()
    )
    wanted = golden("mpdta")["cases"]["staggered_cs_eventstudy"]
    assert wanted["eventTime"][0] == -2
    assert reference == pytest.approx(wanted["estimate"][0], rel=1e-9)
