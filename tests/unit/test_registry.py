"""Which estimators exist, and how plug-ins join."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

import groupeffect as ge
from groupeffect import registry
from groupeffect.errors import SpecError
from groupeffect.protocols import Estimator, Inference
from groupeffect.registry import EstimatorInfo, discover, find, register


@dataclass(frozen=True)
class Plugin:
    """An estimator of somebody's own package."""

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        "Plugin", "Plug-in", "nobody2000", "did", frozenset({"refit"}), frozenset({"staggered"})
    )

    def estimate(self, panel, design):
        return ge.did.CallawaySantAnna().estimate(panel, design)


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


def test_all_families_are_found():
    found = ge.discover()
    assert {"CallawaySantAnna", "DRLearner", "SyntheticControl", "SyntheticDiD", "TWFE"} <= set(found)
    assert {cls.info.family for cls in found.values()} == {"did", "synth", "hte"}


@pytest.mark.parametrize("name", sorted(ge.discover()))
def test_info_says_what_the_class_is(name):
    cls = ge.discover()[name]
    assert cls.info.name == name == cls.__name__
    assert isinstance(cls(), Estimator)
    assert cls.info.label
    assert cls.info.reference
    assert {"staggered", "block"} & cls.info.handles
    assert getattr(getattr(ge, cls.info.family), name) is cls


def test_strategies_follow_their_protocol():
    from groupeffect.inference.base import strategies

    for name, kind in strategies().items():
        assert isinstance(kind(), Inference)
        assert getattr(ge, name) is kind


def test_register_and_find(own_registry):
    register(Plugin)
    register(Plugin)  # the same class again is fine
    assert find("Plugin") is Plugin
    assert Plugin in discover().values()


def test_two_classes_of_one_name(own_registry):
    @dataclass(frozen=True)
    class Other:
        info: ClassVar[EstimatorInfo] = Plugin.info

    register(Plugin)
    with pytest.raises(SpecError, match="Two estimators are called 'Plugin'"):
        register(Other)


def test_entry_points_are_discovered(own_registry, monkeypatch):
    class Point:
        def load(self):
            return Plugin

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()] if group == "groupeffect.estimators" else [])
    assert ge.discover()["Plugin"] is Plugin


def test_close_names_are_suggested():
    with pytest.raises(SpecError, match="no estimator 'CallawaySantana'") as caught:
        find("CallawaySantana")
    assert caught.value.hint == "Did you mean 'CallawaySantAnna'?"


def test_known_names_are_listed_when_nothing_is_close():
    with pytest.raises(SpecError) as caught:
        find("zzz")
    assert "SyntheticControl" in caught.value.hint
