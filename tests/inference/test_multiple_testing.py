"""Adjusted p-values against the definitions."""

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import SpecError
from groupeffect.inference.multiple_testing import adjust_family
from groupeffect.simulate import dgp


@pytest.fixture(scope="module")
def results():
    columns = ge.Columns(unit="unit", time="time", outcome="y", cohort="cohort", never=(0,))
    found = {}
    for seed in range(5):
        panel = ge.read_panel(dgp("parallel_trends", n_units=120, n_times=6, seed=seed, noise=8.0)[0], columns)
        fit = ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel))
        found[f"outcome {seed}"] = fit.aggregate(ge.overall()).infer(ge.ClusterRobust())
    return found


def test_benjamini_hochberg_by_its_definition(results):
    table = adjust_family(results)
    p = table["p_value"].to_numpy()
    order, m = np.argsort(p), len(p)
    stepped = p[order] * m / np.arange(1, m + 1)
    expected = np.empty(m)
    expected[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    np.testing.assert_allclose(table["p_adjusted"], expected, rtol=1e-12)
    assert list(table["name"]) == list(results)


def test_holm_by_its_definition(results):
    table = adjust_family(results, method="holm")
    p = table["p_value"].to_numpy()
    order, m = np.argsort(p), len(p)
    expected = np.empty(m)
    expected[order] = np.minimum(np.maximum.accumulate(p[order] * (m - np.arange(m))), 1.0)
    np.testing.assert_allclose(table["p_adjusted"], expected, rtol=1e-12)


def test_methods_are_ordered_and_one_test_needs_no_adjustment(results):
    bh, by = (adjust_family(results, method=name) for name in ("benjamini_hochberg", "benjamini_yekutieli"))
    assert (by["p_adjusted"] >= bh["p_adjusted"]).all()
    one = adjust_family({"only": results["outcome 0"]})
    assert one["p_adjusted"][0] == one["p_value"][0]


def test_refusals(results):
    with pytest.raises(SpecError, match="no result"):
        adjust_family({})
    with pytest.raises(SpecError, match="benjamini_hochberg"):
        adjust_family(results, method="fdr")
