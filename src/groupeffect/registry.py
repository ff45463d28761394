"""Which estimators exist: the package's own and those of plug-ins."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal, TypeAlias, TypeVar

from groupeffect._types import Capability
from groupeffect.errors import SpecError

__all__ = ["EstimatorInfo", "Family", "Feature", "Invariance", "discover", "find", "register", "staggered_features"]

Family: TypeAlias = Literal["did", "synth", "hte"]
Feature: TypeAlias = Literal[
    "staggered",
    "block",
    "covariates",
    "unbalanced",
    "unit_weight",
    "anticipation",
    "universal_base",
    "baseline_window",
    "never_treated",
    "not_yet_treated",
]

Invariance: TypeAlias = Literal[
    "unit_order",
    "unit_labels",
    "calendar",
    "scale",
    "unit_constants",
    "unit_constants_with_holes",
    "time_shocks",
    "duplication",
]


def staggered_features(*further: Feature) -> frozenset[Feature]:
    """What every estimator for staggered joining handles here, and what this one handles besides."""
    common: tuple[Feature, ...] = (
        "staggered",
        "unbalanced",
        "unit_weight",
        "anticipation",
        "universal_base",
        "never_treated",
        "not_yet_treated",
    )
    return frozenset((*common, *further))


@dataclass(frozen=True, slots=True)
class EstimatorInfo:
    """What an estimator is and can do; drives the contract suite, the command line and the tables.

    Parameters
    ----------
    name : str
        Name of the class.
    label : str
        Name for tables and figures.
    reference : str
        Key in ``paper/refs.bib``.
    family : {"did", "synth", "hte"}
        Which kind of design it takes.
    provides : frozenset of Capability
        What its effects carry.
    handles : frozenset of Feature
        What it can deal with; anything else is refused by name.
    unbiased_under : tuple of str
        Names of data-generating processes of ``simulate.dgps`` under which it is unbiased.
    exact_tol : float
        Largest absolute error on a noiseless panel with a known effect.
    influence_tol : float
        Largest relative distance of the influence from the derivative of the estimate in unit weights. Above the
        default only where cross-fitted first steps are held fixed in the influence, so that second-order terms remain.
    varies_with : frozenset of Invariance
        Changes of the data under which the estimate moves by construction of the method (synthetic control without an
        intercept, for instance, varies with ``"unit_constants"``); the contract suite checks all others.
    """

    name: str
    label: str
    reference: str
    family: Family
    provides: frozenset[Capability]
    handles: frozenset[Feature]
    unbiased_under: tuple[str, ...] = ()
    exact_tol: float = 1e-9
    influence_tol: float = 1e-5
    varies_with: frozenset[Invariance] = frozenset()


_REGISTRY: dict[str, type] = {}
_Class = TypeVar("_Class", bound=type)


def register(cls: _Class) -> _Class:
    """Class decorator: make an estimator known under ``cls.info.name``.

    Raises
    ------
    SpecError
        If another class has the name already.
    """
    name = cls.info.name  # type: ignore[attr-defined]
    known = _REGISTRY.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise SpecError(f"Two estimators are called {name!r}: {known} and {cls}.", hint="Rename the newer one.")
    _REGISTRY[name] = cls
    return cls


def discover() -> dict[str, type]:
    """All estimators by name: modules of ``did``, ``synth``, ``hte`` and entry points ``groupeffect.estimators``."""
    for family in ("did", "synth", "hte"):
        package = importlib.import_module(f"groupeffect.{family}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"groupeffect.{family}.{module.name}")
    for point in entry_points(group="groupeffect.estimators"):
        register(point.load())
    return dict(sorted(_REGISTRY.items()))


def find(name: str) -> type:
    """Estimator class by name, without importing more families than needed.

    Raises
    ------
    SpecError
        If no estimator has the name; close names are suggested.
    """
    if name in _REGISTRY:
        return _REGISTRY[name]
    known = discover()
    if name not in known:
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=1)
        raise SpecError(
            f"There is no estimator {name!r}.",
            hint=f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}.",
        )
    return known[name]
