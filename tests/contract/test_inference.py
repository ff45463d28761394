"""Every inference strategy keeps its contract."""

import pytest

import groupeffect as ge
from groupeffect.inference.base import strategies
from groupeffect.testing import check_inference

SETTINGS = [
    ge.ClusterRobust(),
    ge.ClusterRobust(correction="cr1"),
    ge.MultiplierBootstrap(draws=999),
    ge.MultiplierBootstrap(draws=999, std_error="sd"),
    ge.Jackknife(),
    ge.PlaceboUnits(draws=20),
]


@pytest.mark.parametrize("strategy", SETTINGS, ids=repr)
def test_contract(strategy):
    check_inference(strategy).raise_if_failed()


def test_every_strategy_is_checked():
    assert {type(strategy).__name__ for strategy in SETTINGS} == set(strategies())
