"""The parts of the contract suite that are not checks themselves."""

import json

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.errors import SpecError
from groupeffect.testing import CheckFailedError, read_bundle
from groupeffect.testing.command_line import toml_text
from groupeffect.testing.derivative import log_weight_derivative
from groupeffect.testing.documentation import check_parameters, parameter_entries
from groupeffect.testing.invariance import repeat_units
from groupeffect.testing.outcomes import NotApplicable, need, run_checks
from groupeffect.testing.panels import (
    block_panel,
    conditional_trend_panel,
    growing_effect,
    scenarios,
    staggered_panel,
    uneven_clusters,
)


def test_runner_tells_failures_reasons_and_crashes_apart():
    def not_for_this():
        raise NotApplicable("no influence")

    def crashes():
        raise ZeroDivisionError("division by zero")

    report = run_checks(
        "thing",
        [("good", lambda: "1e-12"), ("bad", lambda: need(False, "off by 2")), ("no", not_for_this), ("ugly", crashes)],
    )
    assert [outcome.status for outcome in report.outcomes] == ["passed", "failed", "not applicable", "failed"]
    assert report.outcomes[3].detail == "ZeroDivisionError: division by zero"
    assert [outcome.name for outcome in report.skipped] == ["no"]
    assert "off by 2" in str(report)
    with pytest.raises(AssertionError, match="thing fails 2 of 4"):
        report.raise_if_failed()


def test_a_report_without_failures_returns_itself():
    report = run_checks("thing", [("good", lambda: "")])
    assert report.raise_if_failed() is report


def test_log_weight_derivative_of_a_mean():
    y, w = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 1.0])
    numeric = log_weight_derivative(lambda v: np.array([np.average(y, weights=v)]), w, np.eye(3))
    np.testing.assert_allclose(numeric[:, 0], w * (y - np.average(y, weights=w)) / w.sum(), atol=1e-9)


def test_noiseless_panels_have_the_stated_effects():
    panel = staggered_panel(noise=0.0, effect=growing_effect)
    fit = ge.fit(ge.did.CallawaySantAnna(), panel, ge.staggered_design(panel))
    index = fit.effects.index
    after = index.event_time >= 0
    expected = np.where(after, growing_effect(index.cohort, index.event_time), 0.0)
    np.testing.assert_allclose(fit.effects.estimate, expected, atol=1e-12)


def test_conditional_trend_panel_misleads_without_the_covariate():
    panel = conditional_trend_panel()
    treated = np.isfinite(panel.adoption)
    change = panel.outcome[:, -1] - panel.outcome[:, 2]
    assert change[treated].mean() - change[~treated].mean() > 1.0
    for t in range(panel.n_times):
        for side in (treated, ~treated):
            assert 0 < panel.covariates[side, t, 0].mean() < 1


def test_block_panel_levels_lie_within_the_donors():
    panel = block_panel(noise=0.0)
    treated, before = np.isfinite(panel.adoption), panel.times < 2009
    donors = panel.outcome[~treated][:, before]
    path = panel.outcome[treated].mean(axis=0)[before]
    assert (path > donors.min(axis=0)).all()
    assert (path < donors.max(axis=0)).all()


def test_uneven_clusters():
    assert np.bincount(uneven_clusters(10))[1:].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", sorted(ge.discover()))
def test_scenarios_have_different_names_and_valid_designs(name):
    cases = scenarios(ge.discover()[name].info)
    assert len({case.name for case in cases}) == len(cases) > 1
    for case in cases:
        assert case.design.treated().any()


def test_repeated_units_get_new_labels():
    panel = staggered_panel(8, weighted=True)
    twice = repeat_units(panel, np.array([0, 0, 3]))
    assert twice.unit_ids.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(twice.outcome, panel.outcome[[0, 0, 3]])


class Documented:
    """Something.

    Parameters
    ----------
    one, two : int, default 3
        Both.
    three : {"a", "b"}, optional
        Choice.

    Notes
    -----
    Nothing.
    """


def test_parameters_are_read_from_a_docstring():
    import inspect

    entries = parameter_entries(inspect.getdoc(Documented))
    assert list(entries) == ["one", "two", "three"]
    assert entries["two"] == ("int, default 3", "Both.")


def test_undocumented_options_are_named():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Sloppy:
        """Something.

        Parameters
        ----------
        one : int, default 4
            Wrong default.
        ghost : int
            No option.
        """

        one: int = 3
        two: int = 1

    with pytest.raises(CheckFailedError) as caught:
        check_parameters(Sloppy)
    for words in ("one does not state its default", "two is not documented", "ghost is documented but no option"):
        assert words in caught.value.message


def test_bundles_without_provenance_are_refused(tmp_path):
    (tmp_path / "expected.json").write_text(json.dumps({"cases": [], "tolerance": {"estimate": 1e-8}}))
    with pytest.raises(SpecError, match=r"provenance.*reason.*tool"):
        read_bundle(tmp_path)


def test_toml_text_is_read_back():
    import tomllib

    spec = {"panel": {"file": "a b.csv", "never": (0.0, "无")}, "estimator": {"flag": True, "eta": 1e-6, "draws": 20}}
    assert tomllib.loads(toml_text(spec)) == {
        "panel": {"file": "a b.csv", "never": [0.0, "无"]},
        "estimator": {"flag": True, "eta": 1e-6, "draws": 20},
    }
