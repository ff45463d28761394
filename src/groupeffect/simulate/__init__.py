"""Synthetic reforms and panels with known truth.

:func:`simulate_schools` draws a province whose schools are organised into groups of a core school and its members, with
the selection, shocks and data faults of real ones, and the truth; :func:`write_reform` writes it as files.
:func:`simulate_panel` is the fast path for Monte Carlo work. :data:`DGPS` holds small panels for tests of estimators.
"""

from __future__ import annotations

from groupeffect.simulate.dgps import DGPS, dgp
from groupeffect.simulate.export import truth_summary, truth_tables, write_reform
from groupeffect.simulate.inequality import official_cv, score_gaps, theil
from groupeffect.simulate.parameters import Parameters
from groupeffect.simulate.power import mde_table
from groupeffect.simulate.scenarios import SCENARIOS, Scenario, scenario_parameters
from groupeffect.simulate.schools import SchoolReform, simulate_panel, simulate_schools
from groupeffect.simulate.truth import Truth

__all__ = [
    "DGPS",
    "SCENARIOS",
    "Parameters",
    "Scenario",
    "SchoolReform",
    "Truth",
    "dgp",
    "mde_table",
    "official_cv",
    "scenario_parameters",
    "score_gaps",
    "simulate_panel",
    "simulate_schools",
    "theil",
    "truth_summary",
    "truth_tables",
    "write_reform",
]
