"""Stacked estimator: contract, the explicit stacked regression with corrected weights, windows, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import groupeffect as ge
from groupeffect.errors import DesignError, NoComparisonError, SpecError, UnbalancedError
from groupeffect.testing import check_estimator
from groupeffect.testing.panels import growing_effect, staggered_panel

MOST = ("pure", "shape", "recovery", "derivative", "jackknife", "invariance", "weights", "refusal")
VARIANTS = [
    (ge.did.Stacked(), (*MOST, "documentation")),
    (ge.did.Stacked(window=(-2, 1)), MOST),
    (ge.did.Stacked(covariates="none"), ("pure", "shape", "derivative", "jackknife", "invariance", "weights")),
]


@pytest.mark.parametrize(("estimator", "only"), VARIANTS, ids=repr)
def test_contract(estimator: ge.did.Stacked, only: tuple[str, ...]) -> None:
    check_estimator(estimator, only=only).raise_if_failed()


def stack(panel: ge.Panel, lo: int, hi: int) -> pd.DataFrame:
    """Explicit stacked data with the corrected weights, written row by row."""
    parts = []
    for g in np.unique(panel.adoption[np.isfinite(panel.adoption)]):
        if g + lo < panel.times[0] or g + hi > panel.times[-1]:
            continue
        rows = [
            {"y": panel.outcome[i, t], "unit": i, "stack": g, "event": int(time - g), "D": int(panel.adoption[i] == g)}
            for i in range(panel.n_units)
            for t, time in enumerate(panel.times)
            if lo <= time - g <= hi and (panel.adoption[i] == g or panel.adoption[i] > g + hi)
        ]
        parts.append(pd.DataFrame(rows))
    data = pd.concat(parts, ignore_index=True)
    data["w"] = panel.unit_weight[data["unit"]]
    first = data[data["event"] == lo]
    total = first.groupby("D")["w"].sum()
    size = first.groupby(["stack", "D"])["w"].sum()
    share = {g: size[g, 1] / total[1] / (size[g, 0] / total[0]) for g in first["stack"].unique()}
    data["q"] = np.where(data["D"] == 1, 1.0, data["stack"].map(share)) * data["w"]
    return data


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("lo", "hi"), [(-2, 1), (-1, 1), (-2, 0), (-2, 3)])
def test_is_the_stacked_regression_with_corrected_weights(lo: int, hi: int, weighted: bool) -> None:
    panel = staggered_panel(80, effect=growing_effect, weighted=weighted)
    data = stack(panel, lo, hi)
    fitted = smf.wls("y ~ D * C(event, Treatment(-1))", data, weights=data["q"]).fit(
        cov_type="cluster", cov_kwds={"groups": data["unit"], "use_correction": False}
    )
    own = ge.fit(ge.did.Stacked(window=(lo, hi), kind="event_study"), panel, ge.staggered_design(panel))
    table = own.infer(ge.ClusterRobust(correction="none")).tidy().set_index("event_time").drop(index=-1)
    names = [f"D:C(event, Treatment(-1))[T.{int(e)}]" for e in table.index]
    np.testing.assert_allclose(table["estimate"], fitted.params[names], rtol=0, atol=1e-11)
    np.testing.assert_allclose(table["std_error"], fitted.bse[names], rtol=1e-9)
    cells = ge.fit(ge.did.Stacked(window=(lo, hi)), panel, ge.staggered_design(panel)).aggregate(ge.by_event_time())
    np.testing.assert_array_equal(cells.effects.estimate, own.effects.estimate)
    exact = cells.infer(ge.ClusterRobust()).tidy().set_index("event_time").drop(index=-1)
    np.testing.assert_allclose(exact["std_error"], table["std_error"], rtol=0.25)


def test_regression_clusters_above_the_unit() -> None:
    panel = staggered_panel(240, clusters=40)
    data = stack(panel, -2, 1)
    fitted = smf.wls("y ~ D * C(event, Treatment(-1))", data, weights=data["q"]).fit(
        cov_type="cluster", cov_kwds={"groups": panel.attributes["cluster"][data["unit"]], "use_correction": False}
    )
    own = ge.fit(ge.did.Stacked(window=(-2, 1), kind="event_study"), panel, ge.staggered_design(panel))
    table = own.infer(ge.ClusterRobust(by="cluster", correction="none")).tidy().set_index("event_time")
    for e in (-2, 0, 1):
        name = f"D:C(event, Treatment(-1))[T.{e}]"
        assert table["std_error"][e] == pytest.approx(fitted.bse[name], rel=1e-9)


def test_cells_and_comparison_units() -> None:
    panel = staggered_panel(64)
    own = ge.did.Stacked(window=(-2, 1)).estimate(panel, ge.staggered_design(panel))
    assert set(own.index.cohort) == {2003, 2005}  # 2006 is not observed one time after joining
    assert "cohorts 2006 left out: not observed over the window (-2, 1)" in own.notes
    later = {2003: (2005, 2006, np.inf), 2005: (np.inf,)}
    for j, (g, t) in enumerate(zip(own.index.cohort, own.index.time, strict=True)):
        clean = np.isin(panel.adoption, later[g])
        change = panel.outcome[:, panel.times == t] - panel.outcome[:, panel.times == g - 1]
        wanted = change[panel.adoption == g].mean() - change[clean].mean()
        assert own.estimate[j] == pytest.approx(wanted, abs=1e-12)
        assert own.index.n_comparison[j] == clean.sum()
    assert (own.index.is_reference == (own.index.event_time == -1)).all()


def test_without_a_window_nothing_is_trimmed() -> None:
    panel = staggered_panel(64)
    design = ge.staggered_design(panel, comparison="never_treated", base_period="universal")
    own = ge.did.Stacked().estimate(panel, design)
    other = ge.did.CallawaySantAnna(method="reg").estimate(panel, design)
    assert own.index.keys() == other.index.keys()
    np.testing.assert_allclose(own.estimate, other.estimate, atol=1e-12)
    np.testing.assert_allclose(own.influence.values, other.influence.values, atol=1e-10)
    assert any("not trimmed" in note for note in own.notes)


def test_anticipation_moves_base_and_comparison() -> None:
    panel = staggered_panel(64)
    own = ge.did.Stacked(window=(-2, 0)).estimate(panel, ge.staggered_design(panel, anticipation=1))
    cell = (own.index.cohort == 2005) & (own.index.time == 2005)
    change = panel.outcome[:, 4] - panel.outcome[:, 2]
    wanted = change[panel.adoption == 2005].mean() - change[np.isinf(panel.adoption)].mean()
    assert own.estimate[cell][0] == pytest.approx(wanted, abs=1e-12)


def test_a_cohort_without_comparison_is_named() -> None:
    panel = staggered_panel(64)
    panel = panel.take_units(np.isfinite(panel.adoption))
    own = ge.did.Stacked(window=(-1, 0)).estimate(panel, ge.staggered_design(panel))
    assert set(own.index.cohort) == {2003, 2005}
    assert [cell.cohort for cell in own.unidentified] == [2006]
    assert any(note.startswith("cohorts 2006 have no comparison unit") for note in own.notes)


def test_refusals() -> None:
    panel = staggered_panel(48, covariate=True)
    design = ge.staggered_design(panel)
    for options in ({"kind": "static"}, {"covariates": "linear"}, {"window": (0, 2)}, {"window": (-2, -1)}):
        with pytest.raises(SpecError):
            ge.did.Stacked(**options)
    with pytest.raises(SpecError, match="needs a window"):
        ge.did.Stacked(kind="event_study")
    assert ge.did.Stacked(window=[-2, 2]) == ge.did.Stacked(window=(-2, 2))
    with pytest.raises(DesignError, match="no covariates"):
        ge.did.Stacked(kind="event_study", window=(-2, 1)).estimate(panel, design)
    with pytest.raises(DesignError, match="no baseline window"):
        ge.did.Stacked().estimate(panel, ge.staggered_design(panel, base_period=ge.baseline_window(2001, 2002)))
    with pytest.raises(NoComparisonError, match="No cohort has a stack"):
        ge.did.Stacked(window=(-5, 3)).estimate(panel, design)
    holes = staggered_panel(48, hole_share=0.1)
    with pytest.raises(UnbalancedError):
        ge.did.Stacked(kind="event_study", window=(-2, 1)).estimate(holes, ge.staggered_design(holes))
