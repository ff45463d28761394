"""Sun-Abraham regressions of R's ``fixest``: every ``sunab`` case of four data sets, 13 in all.

Coefficients by event time, overall mean, means by cohort, and every cohort x time coefficient; standard errors with the
default small-sample factor, p-values, and the covariance by event time where the reference file has it. ``fixest``
counts observations and takes shares as given: ``kind=...`` and ``shares="fixed"``. Coefficients of covariates are not
reported by the estimator.
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
from groupeffect.result import Result

FOLDER = Path(__file__).parent / "SunAbraham"
SIM = {
    "unit": "unit_id",
    "time": "year",
    "outcome": "score",
    "cohort": "cohort",
    "covariates": ("z",),
    "attributes": ("group_id",),
}
COLUMNS = {
    "mpdta": {
        "unit": "countyreal",
        "time": "year",
        "outcome": "lemp",
        "cohort": "first.treat",
        "covariates": ("lpop",),
    },
    "sim": SIM,
    "sim_unbalanced": SIM,
    "base_stagg": {"unit": "id", "time": "year", "outcome": "y", "cohort": "year_treated", "covariates": ("x1",)},
}
ADJUSTED = {("base_stagg", "sunab"), ("base_stagg", "sunab_att_ref")}


def golden(data: str) -> dict:
    return json.loads((FOLDER / data / "expected.json").read_text())


def estimator(data: str, case: str, **options: object) -> ge.did.SunAbraham:
    covariates = "as_is" if case == "sunab_cov" or (data, case) in ADJUSTED else "none"
    if data == "mpdta" and case == "sunab_cov":
        covariates = "by_time"
    reference = (-2, -1) if case == "sunab_att_ref" else None
    return ge.did.SunAbraham(**({"covariates": covariates, "reference": reference, "shares": "fixed"} | options))


def infer(data: str, case: str, **options: object) -> Result:
    weight = "pupils" if case == "sunab_weighted" else None
    frame = pd.read_csv(FOLDER / data / golden(data)["data"])
    panel = ge.read_panel(frame, ge.Columns(**COLUMNS[data], never=(0, 10000), weight=weight))
    own = ge.fit(estimator(data, case, **options), panel, ge.staggered_design(panel))
    by = "group_id" if "group_id" in golden(data)["cases"][case]["call"] else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClustersWarning)  # 24 groups
        return own.infer(ge.ClusterRobust(by=by))


ALL = [(data, case) for data in COLUMNS for case in golden(data)["cases"]]


def test_number_of_cases() -> None:
    assert len(ALL) == 13


@pytest.mark.parametrize(("data", "case"), ALL)
def test_by_event_time(data: str, case: str) -> None:
    bundle = golden(data)
    wanted, tolerance = bundle["cases"][case], bundle["tolerance"]
    result = infer(data, case, kind="event_study")
    rows = ~result.index.is_reference
    table = result.tidy()[rows]
    np.testing.assert_array_equal(table["event_time"], wanted["event_time"])
    np.testing.assert_allclose(
        table["estimate"], wanted["event_study"]["estimate"], rtol=tolerance["estimate_relative"]
    )
    np.testing.assert_allclose(table["std_error"], wanted["event_study"]["se"], rtol=tolerance["se_relative"])
    np.testing.assert_allclose(table["p_value"], wanted["event_study"]["p"], rtol=1e-5)
    assert result.uncertainty.df == wanted["df_t"]
    vcov = result.uncertainty.vcov[np.ix_(rows, rows)]
    lower = np.concatenate([np.array(row) for row in wanted["vcov"]])
    size = len(wanted["vcov"])
    ours = vcov[np.tril_indices(len(vcov))][: size * (size + 1) // 2]
    np.testing.assert_allclose(ours, lower, rtol=0, atol=1e-7 * np.abs(lower).max())


@pytest.mark.parametrize(("data", "case"), ALL)
def test_means_and_cells(data: str, case: str) -> None:
    bundle = golden(data)
    wanted, tolerance = bundle["cases"][case], bundle["tolerance"]
    total = infer(data, case, kind="static").tidy()
    assert total["estimate"][0] == pytest.approx(wanted["att"]["estimate"], rel=tolerance["estimate_relative"])
    assert total["std_error"][0] == pytest.approx(wanted["att"]["se"], rel=tolerance["se_relative"])
    cohorts = infer(data, case, kind="cohort").tidy()
    assert [f"cohort::{g:g}" for g in cohorts["cohort"]] == wanted["cohort"]["names"]
    np.testing.assert_allclose(cohorts["estimate"], wanted["cohort"]["estimate"], rtol=tolerance["estimate_relative"])
    np.testing.assert_allclose(cohorts["std_error"], wanted["cohort"]["se"], rtol=tolerance["se_relative"])
    result = infer(data, case)
    table = result.tidy()[~result.index.is_reference]
    table.index = [f"year::{e:g}:cohort::{g:g}" for e, g in zip(table["event_time"], table["cohort"], strict=True)]
    assert len(table) == len(wanted["cells"]["names"])
    table = table.loc[wanted["cells"]["names"]]
    np.testing.assert_allclose(table["estimate"], wanted["cells"]["estimate"], rtol=tolerance["estimate_relative"])
    np.testing.assert_allclose(table["std_error"], wanted["cells"]["se"], rtol=tolerance["se_relative"])
    counts = result.fit.effects.regression
    assert counts.n_obs == wanted["nobs"]
    assert counts.n_regressors + counts.n_time_effects == wanted["df_k"]


def test_counts_of_observations_are_the_weights_of_the_reference() -> None:
    wanted = golden("sim_unbalanced")["cases"]["sunab"]["shares"]
    result = infer("sim_unbalanced", "sunab")
    index = result.index
    ours = {
        f"year::{e:g}:cohort::{g:g}": n for e, g, n in zip(index.event_time, index.cohort, index.n_treated, strict=True)
    }
    assert [ours[name] for name in wanted["names"]] == wanted["weight"]
