"""Two-way fixed effects regressions of R's fixest, and the weights of R's TwoWayFEWeights.

Estimates of every case; standard errors and p-values (t with G - 1 degrees of freedom) of those whose variance we have:
clusters of units or of groups of units, with or without small-sample factor. Not reproduced, because no inference
strategy here makes them: ``twfe_iid`` and ``twfe_hetero`` (errors independent within units), ``twfe_twoway_cluster``,
``twfe_newey_west``, ``twfe_driscoll_kraay`` (dependence across units by time), ``twfe_cluster_Kfull`` and
``twfe_cluster_Knone`` (other counts of coefficients in the same factor; both follow from ours by a known ratio, which
is tested), ``did_att_iid`` and ``did_att_hc1`` (no fixed effects). Coefficients of covariates are not reported by the
estimator. Sun-Abraham cases of the same files belong to another estimator.
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

FOLDER = Path(__file__).parent / "TWFE"
PLAIN = ge.did.TWFE(covariates="none")
EVENT = ge.did.TWFE(kind="event_study", covariates="none")
ADJUSTED = ge.did.TWFE()
SIM = {
    "twfe_cluster_unit": (PLAIN, ge.ClusterRobust()),
    "twfe_cov_cluster_unit": (ADJUSTED, ge.ClusterRobust()),
    "twfe_cluster_nossc": (PLAIN, ge.ClusterRobust(correction="none")),
    "event_study": (EVENT, ge.ClusterRobust()),
    "twfe_cluster_group": (PLAIN, ge.ClusterRobust(by="group_id")),
    "twfe_cov_cluster_group": (ADJUSTED, ge.ClusterRobust(by="group_id")),
    "event_study_cluster_group": (EVENT, ge.ClusterRobust(by="group_id")),
    "twfe_weighted": (PLAIN, ge.ClusterRobust(by="group_id")),
}
RUN = {
    "mpdta": {
        "twfe_cluster_unit": (PLAIN, ge.ClusterRobust()),
        "twfe_cov_cluster_unit": (ge.did.TWFE(covariates="by_time"), ge.ClusterRobust()),
        "twfe_cluster_nossc": (PLAIN, ge.ClusterRobust(correction="none")),
        "event_study": (EVENT, ge.ClusterRobust()),
    },
    "sim": SIM,
    "sim_unbalanced": SIM,
    "base_stagg": {
        "twfe": (ADJUSTED, ge.ClusterRobust()),
        "event_study": (ge.did.TWFE(kind="event_study"), ge.ClusterRobust()),
    },
    "base_did": {
        "did_att": (ADJUSTED, ge.ClusterRobust()),
        "did_2x2": (ge.did.TWFE(kind="event_study"), ge.ClusterRobust()),
    },
}
SAME_ESTIMATE = {
    "twfe_iid",
    "twfe_hetero",
    "twfe_twoway_cluster",
    "twfe_newey_west",
    "twfe_driscoll_kraay",
    "twfe_cluster_Kfull",
    "twfe_cluster_Knone",
}
WITHOUT_EFFECTS = {"did_att_iid", "did_att_hc1"}
COLUMNS = {
    "mpdta": {
        "unit": "countyreal",
        "time": "year",
        "outcome": "lemp",
        "cohort": "first.treat",
        "covariates": ("lpop",),
    },
    "sim": {
        "unit": "unit_id",
        "time": "year",
        "outcome": "score",
        "cohort": "cohort",
        "covariates": ("z",),
        "attributes": ("group_id",),
    },
    "base_stagg": {"unit": "id", "time": "year", "outcome": "y", "cohort": "year_treated", "covariates": ("x1",)},
    "base_did": {"unit": "id", "time": "period", "outcome": "y", "cohort": "cohort", "covariates": ("x1",)},
}


def golden(data: str) -> dict:
    return json.loads((FOLDER / data / "expected.json").read_text())


def read(data: str, *, weight: str | None = None) -> ge.Panel:
    frame = pd.read_csv(FOLDER / data / "data.csv")
    if data == "base_did":
        frame["cohort"] = np.where(frame["treat"] == 1, 6, 0)
    columns = COLUMNS["sim" if data.startswith("sim") else data]
    return ge.read_panel(frame, ge.Columns(**columns, never=(0, 10000), weight=weight))


def fitted(data: str, case: str) -> ge.Fit:
    panel = read(data, weight="pupils" if case == "twfe_weighted" else None)
    return ge.fit(RUN[data][case][0], panel, ge.staggered_design(panel))


def treatment_rows(case: dict) -> np.ndarray:
    """Rows of the reference that are about treatment."""
    marks = ("D", "rel::", "treat", "time_to_treatment::", "period::")
    return np.array([name.startswith(marks) for name in case["names"]])


@pytest.mark.parametrize(("data", "case"), [(data, case) for data, cases in RUN.items() for case in cases])
def test_agrees_with_fixest(data: str, case: str) -> None:
    bundle = golden(data)
    wanted, tolerance = bundle["cases"][case], bundle["tolerance"]
    own = fitted(data, case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClustersWarning)  # 24 groups
        result = own.infer(RUN[data][case][1])
    rows, table = treatment_rows(wanted), result.tidy()
    table = table[~own.effects.index.is_reference]
    np.testing.assert_allclose(
        table["estimate"], np.array(wanted["estimate"])[rows], rtol=tolerance["estimate_relative"]
    )
    np.testing.assert_allclose(table["std_error"], np.array(wanted["se"])[rows], rtol=tolerance["se_relative"])
    if case != "twfe_cluster_nossc":  # without factor we use normal p-values, fixest t(G - 1)
        np.testing.assert_allclose(table["p_value"], np.array(wanted["p"])[rows], rtol=tolerance["p_relative"])
        assert result.uncertainty.df == wanted["df_t"]
    counts = own.effects.regression
    assert counts.n_obs == wanted["nobs"]
    assert counts.n_regressors + counts.n_time_effects == wanted["df_k"]


@pytest.mark.parametrize("data", ["mpdta", "sim", "sim_unbalanced"])
def test_same_estimate_under_every_variance_of_the_reference(data: str) -> None:
    bundle = golden(data)
    own = fitted(data, "twfe_cluster_unit")
    for case in SAME_ESTIMATE:
        assert own.effects.estimate[0] == pytest.approx(bundle["cases"][case]["estimate"][0], rel=1e-8)
    error = own.infer(ge.ClusterRobust()).tidy()["std_error"][0]
    counts = own.effects.regression
    n, k = counts.n_obs, counts.n_regressors + counts.n_time_effects
    for case, other in (("twfe_cluster_Kfull", k + counts.n_unit_effects - 1), ("twfe_cluster_Knone", 1)):
        assert error * np.sqrt((n - k) / (n - other)) == pytest.approx(bundle["cases"][case]["se"][0], rel=1e-6)


def test_every_case_of_the_reference_is_run_or_named() -> None:
    for data, cases in RUN.items():
        left = set(golden(data)["cases"]) - set(cases) - SAME_ESTIMATE - WITHOUT_EFFECTS
        assert not left


def test_negative_weights_agree_with_the_reference() -> None:
    wanted = golden("mpdta")["weights"]
    own = fitted("mpdta", "twfe_cluster_unit")
    panel = own.panel
    weights = own.effects.weights.dense()[0][panel.times[None, :] >= panel.adoption[:, None]]
    assert len(weights) == wanted["tot_cells"]
    assert (weights < 0).sum() == wanted["nr_minus"]
    assert (weights > 0).sum() == wanted["nr_plus"]
    assert weights[weights < 0].sum() == pytest.approx(wanted["sum_minus"], rel=1e-9)
    assert weights[weights > 0].sum() == pytest.approx(wanted["sum_plus"], rel=1e-9)
    assert own.effects.notes[0].startswith(f"{wanted['nr_minus']} of {wanted['tot_cells']} treated unit-times")
    assert f"{wanted['sum_minus']:.4f}" in own.effects.notes[0]
