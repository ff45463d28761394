"""All 2x2 estimators of R's DRDID on two data sets.

The standard error is ``sqrt(sum(influence**2)) / n``, as there. Three conventions of the reference are its own:

- its two-way regressions use n - 1 (factor ``sqrt(n / (n - 1))``);
- ``twfe_did_panel`` with covariates treats the two rows of a unit as independent; its standard error is reproduced from
  the stacked rows, while our panel influence is by unit;
- ``drdid_rc`` and ``drdid_rc1`` have one term of the influence with the opposite sign (``convention="drdid"``).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from groupeffect.did.basic import TwoByTwo, two_by_two, two_by_two_cross_sections

FOLDER = Path(__file__).parent / "two_by_two"
PANEL = {
    "drdid_panel": "dr",
    "drdid_imp_panel": "dr_improved",
    "reg_did_panel": "reg",
    "std_ipw_did_panel": "ipw",
    "ipw_did_panel": "ipw_unnormalised",
    "twfe_did_panel": "twfe",
}
SECTIONS = {
    "drdid_rc": "dr",
    "drdid_rc1": "dr_simple",
    "drdid_imp_rc": "dr_improved",
    "drdid_imp_rc1": "dr_improved_simple",
    "reg_did_rc": "reg",
    "std_ipw_did_rc": "ipw",
    "ipw_did_rc": "ipw_unnormalised",
    "twfe_did_rc": "twfe",
}
CASES = [
    (data, f"{name}_{covariates}")
    for data in ("mpdta", "lalonde_exp")
    for name in (*PANEL, *SECTIONS)
    for covariates in ("nocov", "cov")
]


def rows(data: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frame by unit and year; outcome, post, treated, covariates (without constant) of its rows."""
    frame = pd.read_csv(FOLDER / data / "data.csv")
    if data == "mpdta":
        covariates = np.column_stack([frame["lpop"], frame["lpop"] ** 2])
        outcome, treated = frame["lemp"].to_numpy(), (frame["first_treat"] == 2006).to_numpy()
    else:
        names = ["age", "education", "black", "hispanic", "married", "nodegree"]
        covariates = frame[names].to_numpy(float)
        outcome, treated = frame["re"].to_numpy(), (frame["treated"] == 1).to_numpy()
    post = (frame["year"] == frame["year"].max()).to_numpy()
    return frame, outcome, post, treated, covariates


def estimate(data: str, case: str) -> TwoByTwo:
    name, kind = case.rsplit("_", 1)
    _, outcome, post, treated, covariates = rows(data)
    used = covariates if kind == "cov" else None
    if name in SECTIONS:
        convention = "drdid" if name in ("drdid_rc", "drdid_rc1") else "derivative"
        return two_by_two_cross_sections(outcome, post, treated, used, method=SECTIONS[name], convention=convention)
    before = None if used is None else used[~post]
    return two_by_two(outcome[post], outcome[~post], treated[~post], before, method=PANEL[name])


def std_error(result: TwoByTwo) -> float:
    return float(np.sqrt((result.influence**2).sum()) / len(result.influence))


def expected(data: str) -> dict:
    return json.loads((FOLDER / data / "expected.json").read_text())


@pytest.mark.parametrize(("data", "case"), CASES)
def test_agrees_with_drdid(data: str, case: str) -> None:
    golden = expected(data)
    wanted, tolerance = golden["cases"][case], golden["tolerance"]
    result = estimate(data, case)
    assert result.estimate == pytest.approx(wanted["att"], rel=tolerance["att_relative"])
    own = std_error(result)
    if case == "twfe_did_panel_cov":
        own = std_error(estimate(data, "twfe_did_rc_cov"))
    if case.startswith("twfe_did_rc") or case == "twfe_did_panel_cov":
        m = len(rows(data)[1])
        own *= np.sqrt(m / (m - 1))
    assert own == pytest.approx(wanted["se"], rel=tolerance["se_relative"])


def test_all_reference_cases_are_run() -> None:
    for data in ("mpdta", "lalonde_exp"):
        assert set(expected(data)["cases"]) == {case for name, case in CASES if name == data}


def test_panel_regression_error_is_by_unit() -> None:
    """With covariates the reference ignores that the two rows of a unit move together; ours does not."""
    for data in ("mpdta", "lalonde_exp"):
        clustered = std_error(estimate(data, "twfe_did_panel_cov"))
        assert clustered == pytest.approx(expected(data)["cases"]["twfe_did_panel_nocov"]["se"], rel=1e-9)
        assert clustered < expected(data)["cases"]["twfe_did_panel_cov"]["se"]
