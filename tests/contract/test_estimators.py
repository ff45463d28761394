"""Every registered estimator keeps the contract of design section 5."""

from pathlib import Path

import pytest

import groupeffect as ge
from groupeffect.testing import CHECKS, CheckFailedError, check_estimator

_REFERENCES = Path(__file__).parents[2] / "paper" / "refs.bib"
BIBLIOGRAPHY = _REFERENCES if _REFERENCES.exists() else None

VARIANTS = [
    (ge.did.CallawaySantAnna(method="ipw"), ("recovery", "derivative", "jackknife", "weights")),
    (ge.did.CallawaySantAnna(method="reg"), ("recovery", "derivative", "jackknife", "weights")),
    (ge.did.CallawaySantAnna(unbalanced="pairs"), ("pure", "shape", "derivative", "weights", "refusal")),
    (ge.synth.SyntheticControl(intercept=True), ("pure", "shape", "recovery", "weights", "refusal")),
    (ge.synth.SyntheticDiD(unit_weights="uniform", time_weights="uniform"), ("pure", "shape", "recovery", "weights")),
]


@pytest.mark.parametrize("name", sorted(ge.discover()))
def test_registered_estimator(name):
    estimator = ge.discover()[name]()
    report = check_estimator(estimator, bibliography=BIBLIOGRAPHY).raise_if_failed()
    assert {outcome.name.split(" [")[0] for outcome in report.outcomes} == set(CHECKS)
    assert sum(outcome.status == "passed" for outcome in report.outcomes) > len(report.outcomes) / 2


@pytest.mark.parametrize(("estimator", "only"), VARIANTS, ids=lambda value: repr(value)[:60])
def test_variant(estimator, only):
    check_estimator(estimator, only=only).raise_if_failed()


def test_every_skipped_check_gives_its_reason():
    report = check_estimator(ge.synth.SyntheticControl(), only=("derivative", "jackknife"))
    assert len(report.skipped) == len(report.outcomes)
    assert all("influence" in outcome.detail for outcome in report.skipped)


def test_a_failure_raises_with_every_failed_check():
    from groupeffect.testing import CheckOutcome, CheckReport

    outcomes = (CheckOutcome("a", "passed"), CheckOutcome("b", "failed", "off by 2"), CheckOutcome("c", "failed", "no"))
    with pytest.raises(CheckFailedError, match=r"2 of 3 contract checks(.|\n)*b: off by 2(.|\n)*c: no"):
        CheckReport("thing", outcomes).raise_if_failed()


def test_a_given_panel_is_checked_too():
    panel = ge.testing.staggered_panel(40, weighted=True)
    report = check_estimator(ge.did.CallawaySantAnna(), panel=panel, only=("shape", "derivative"))
    names = [outcome.name for outcome in report.outcomes]
    assert "derivative [random directions, given panel]" in names
    report.raise_if_failed()
