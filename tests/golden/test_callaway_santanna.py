"""Callaway-Sant'Anna against R's ``did``: every case of two data sets, 106 in all."""

from pathlib import Path

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.testing import check_case, read_bundle

FOLDER = Path(__file__).parent / "CallawaySantAnna"
CASES = [case for name in ("mpdta", "sim") for case in read_bundle(FOLDER / name).cases]
STOCHASTIC = [case for case in CASES if "draws" in case.more]
EXACT = [case for case in CASES if "draws" not in case.more]


def _name(case):
    return f"{case.folder.name}-{case.name}"


pytestmark = pytest.mark.filterwarnings("ignore::groupeffect.errors.GroupEffectWarning")


def test_all_cases_are_here():
    assert len(EXACT) == 104
    assert len(STOCHASTIC) == 2


@pytest.mark.parametrize("case", EXACT, ids=_name)
def test_tables(case):
    """Cells, aggregations, standard errors and covariances."""
    check_case(case).raise_if_failed()


@pytest.mark.parametrize("case", [case for case in EXACT if "wald" in case.more], ids=_name)
def test_wald_statistic_of_the_cells_before_treatment(case):
    cells = case.fit().infer(ge.ClusterRobust(by=case.by, correction="none"))
    index = cells.index
    before = (index.time < index.cohort) & ~index.is_reference
    estimate, vcov = cells.estimate[before], cells.uncertainty.vcov[np.ix_(before, before)]
    assert estimate @ np.linalg.solve(vcov, estimate) == pytest.approx(case.more["wald"], rel=1e-6)


def test_unit_clusters_by_name_are_units():
    """Naming the unit column as cluster changes nothing."""
    fit = EXACT[0].fit()
    own = fit.infer(ge.ClusterRobust(correction="none")).uncertainty
    named = fit.infer(ge.ClusterRobust(by=fit.panel.columns.unit, correction="none")).uncertainty
    np.testing.assert_array_equal(own.std_error, named.std_error)


@pytest.mark.parametrize("case", STOCHASTIC, ids=_name)
def test_multiplier_bootstrap_within_monte_carlo_error(case):
    """5000 draws on either side: an interquartile range has a standard deviation of 1.7 %, so 8 % is 3.4 sigma."""
    cells, strategy = case.fit(), ge.MultiplierBootstrap(draws=case.more["draws"], seed=3)
    for table, critical in (("cells", "critical_value"), ("by_event_time", "critical_value_by_event_time")):
        scheme, expected = case.scheme(table), case.tables[table]
        result = (cells if scheme is None else cells.aggregate(scheme)).infer(strategy)
        np.testing.assert_allclose(result.estimate, expected["estimate"], rtol=1e-8)
        np.testing.assert_allclose(result.uncertainty.std_error, expected["std_error"], rtol=0.08)
        width = result.uncertainty.band[:, 1] - result.estimate
        np.testing.assert_allclose(width / result.uncertainty.std_error, case.more[critical], rtol=0.04)


def test_other_convention_for_doubly_robust_cross_sections_moves_standard_errors_only():
    """R's influence has one term with the opposite sign; ours is the derivative. Estimates agree."""
    case = read_bundle(FOLDER / "sim")["rc_cov_dr_nevertreated"]
    theirs, panel = case.fit(), case.panel()
    ours = ge.fit(ge.did.CallawaySantAnna(method="dr"), panel, theirs.design)
    np.testing.assert_array_equal(ours.effects.estimate, theirs.effects.estimate)
    one, other = (fit.infer(ge.ClusterRobust()).uncertainty.std_error for fit in (ours, theirs))
    assert 1e-4 < np.abs(one / other - 1).max() < 0.2
