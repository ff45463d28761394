"""Local projections against R's ``lpdid``: every case of two data sets, 12 in all.

Estimates of regressions by horizon need no option; the pooled ones need ``convention="lpdid"``, because the reference
compares with units that join within the window, and so do all standard errors (small-sample factor of ``fixest``).
``nocomp`` has no number in the reference: it drops cohorts whose last horizon is the last time, which are all; under
the same convention there is nothing to compare, which is refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import groupeffect as ge
from groupeffect.errors import NoComparisonError

FOLDER = Path(__file__).parent / "LocalProjection"
COLUMNS = {
    "mpdta": {"unit": "countyreal", "time": "year", "outcome": "lemp", "cohort": "first.treat"},
    "sim": {"unit": "unit_id", "time": "year", "outcome": "score", "cohort": "cohort"},
}
OPTIONS = {
    "default": {},
    "reweighted": {"weighting": "equal"},
    "pmd_2": {"pre_mean": 2},
    "nocomp": {"composition": "fixed"},
    "pooled": {"kind": "pooled"},
    "pooled_reweighted": {"kind": "pooled", "weighting": "equal"},
}


def golden(data: str) -> dict:
    return json.loads((FOLDER / data / "expected.json").read_text())


def read(data: str) -> ge.Panel:
    return ge.read_panel(pd.read_csv(FOLDER / data / golden(data)["data"]), ge.Columns(**COLUMNS[data], never=(0,)))


def fitted(data: str, case: str, convention: str) -> ge.Fit:
    panel = read(data)
    estimator = ge.did.LocalProjection(window=(-3, 3), convention=convention, **OPTIONS[case])
    return ge.fit(estimator, panel, ge.staggered_design(panel))


ALL = [(data, case) for data in COLUMNS for case in golden(data)["cases"]]


def test_number_of_cases() -> None:
    assert len(ALL) == 12
    assert {case for _, case in ALL} == set(OPTIONS)


@pytest.mark.parametrize(("data", "case"), [(data, case) for data, case in ALL if case != "nocomp"])
def test_agrees_with_the_reference(data: str, case: str) -> None:
    bundle = golden(data)
    wanted, tolerance = bundle["cases"][case], bundle["tolerance"]
    table = fitted(data, case, "lpdid").infer(ge.ClusterRobust(correction="none")).tidy()
    if "pooled" not in case:
        table = table.set_index("event_time")
        assert list(table.index) == wanted["window"]
    relative = tolerance["estimate_relative"]
    np.testing.assert_allclose(table["estimate"], wanted["estimate"], rtol=relative, atol=1e-14)
    np.testing.assert_allclose(table["std_error"].fillna(0), wanted["se"], rtol=tolerance["se_relative"])
    if "pooled" not in case:
        clean = fitted(data, case, "clean").effects
        np.testing.assert_allclose(clean.estimate, wanted["estimate"], rtol=relative, atol=1e-14)


@pytest.mark.parametrize("data", COLUMNS)
def test_nocomp_has_nothing_to_compare_in_the_reference(data: str) -> None:
    assert golden(data)["cases"]["nocomp"]["window"] == [-1]
    with pytest.raises(NoComparisonError):
        fitted(data, "nocomp", "lpdid")
    followed = fitted(data, "nocomp", "clean").effects
    assert len(set(followed.index.n_treated[followed.index.event_time >= 0])) == 1


def test_numbers_of_observations() -> None:
    from groupeffect.did.local_projection import _rows, _setup

    for data, case in ALL:
        if case == "nocomp":
            continue
        counts = golden(data)["cases"][case]["nobs"]
        known = {h: n for h, n in zip(counts["window"], counts["nobs"], strict=True) if n}
        estimator = fitted(data, case, "lpdid").estimator
        panel = read(data)
        rows = _rows(estimator, panel, _setup(estimator, panel, ge.staggered_design(panel)))
        assert {row.horizon: row.fit.n_obs for row in rows if not row.reference} == known
