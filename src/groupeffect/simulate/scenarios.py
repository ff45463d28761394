"""The seventeen scenarios: the default parameters with a few changes each, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from groupeffect.errors import SpecError
from groupeffect.simulate.parameters import Parameters

__all__ = ["SCENARIOS", "Scenario", "scenario_parameters"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Parameters
    ----------
    name : str
        Name used in calls and on the command line.
    explanation : str
        One line for a reader.
    changes : mapping of str to object
        Fields of :class:`Parameters` that differ from the default.
    """

    name: str
    explanation: str
    changes: Mapping[str, Any] = field(default_factory=dict)


_NO_EFFECT: Final[dict[str, Any]] = {
    "member_path": (0.0,),
    "baseline_heterogeneity": 0.0,
    "core_slope": 0.0,
    "core_mean": None,
    "anticipation": (),
    "intake_prior": 0.0,
    "intake_disadvantage": 0.0,
    "ring_effect": 0.0,
    "satisfaction_member": 0.0,
    "satisfaction_core": 0.0,
}

_ALL: Final = (
    Scenario("clean", "the default effects, threats and roll-out of the reform"),
    Scenario("null", "nothing that membership does reaches any outcome; selection and shocks as in clean", _NO_EFFECT),
    Scenario(
        "rtm_only",
        "no effect, no county shocks or trends, one-off school-year noise doubled (SD 0.20, no autocorrelation), "
        "members ordered by the observed score alone: every change is regression to the mean",
        {
            **_NO_EFFECT,
            "school_year_sd": 0.20,
            "school_year_rho": 0.0,
            "county_year_sd": 0.0,
            "county_trend_sd": 0.0,
            "priority_noise": 0.0,
        },
    ),
    Scenario("core_safe", "core schools lose nothing by sending teachers", {"core_slope": 0.0}),
    Scenario("core_borderline", "core schools lose 0.03 SD on average", {"core_mean": -0.03}),
    Scenario("core_hollowed", "core schools lose 0.10 SD on average", {"core_mean": -0.10}),
    Scenario(
        "composition",
        "better pupils move to members: intake attainment +0.06 SD and disadvantaged share -3 points per year",
        {"intake_prior": 0.06, "intake_disadvantage": -0.03},
    ),
    Scenario(
        "anticipation",
        "every member improves before it joins: 0.03 SD two years and 0.06 SD one year ahead",
        {"anticipation": (0.06, 0.03), "anticipation_share": 1.0},
    ),
    Scenario(
        "spillover",
        "schools never in a group lose 0.02 SD once a member of their stage is within 5 km",
        {"ring_effect": -0.02},
    ),
    Scenario(
        "co_reform",
        "another reform lifts the early-minded half of the counties by 0.03 SD from 2022 on",
        {"co_reform_shift": 0.03},
    ),
    Scenario("universal", "every school is in a group by the last wave: no never-treated school", {"universal": True}),
    Scenario("few_counties", "five counties instead of eighteen", {"n_counties": 5}),
    Scenario(
        "mergers",
        "a tenth of the schools absorbed another one, a twentieth changed its code",
        {"fault_merge": 0.10, "fault_rename": 0.05},
    ),
    Scenario(
        "mnar",
        "over a third of the bad school-year scores (transitory part below -0.10 SD) are not handed in",
        {"mnar_rate": 0.35},
    ),
    Scenario(
        "rescale_bad",
        "from 2023 early-minded counties sit an easier, compressed paper that is filed as the provincial one",
        {"hidden_rescale": (0.10, 0.85, 2023)},
    ),
    Scenario("exit_heavy", "a quarter of the members leave after two years", {"exit_share": 0.25}),
    Scenario(
        "negative",
        "membership harms members, growing to 0.06 SD",
        {"member_path": (-0.01, -0.03, -0.05, -0.06), "baseline_heterogeneity": 0.0, "anticipation": ()},
    ),
)

SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType({scenario.name: scenario for scenario in _ALL})
"""Name -> scenario, in the order of the documentation."""


def scenario_parameters(scenario: str = "clean", base: Parameters | None = None) -> Parameters:
    """Return the parameters of a scenario.

    Parameters
    ----------
    scenario : str, default "clean"
        A key of :data:`SCENARIOS`.
    base : Parameters, optional
        Parameters to change; the defaults if not given.

    Returns
    -------
    parameters : Parameters

    Raises
    ------
    SpecError
        If there is no such scenario.
    """
    if scenario not in SCENARIOS:
        raise SpecError(f"There is no scenario {scenario!r}.", hint=f"Choose one of: {', '.join(SCENARIOS)}.")
    return replace(base if base is not None else Parameters(), **SCENARIOS[scenario].changes)
