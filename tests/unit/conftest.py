"""Small panels shared by the unit tests."""

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.testing import block_panel, staggered_panel


@pytest.fixture(scope="session")
def panel():
    """48 units, cohorts 2003, 2005, 2006 and never, with 40 equal clusters in attribute ``cluster``."""
    return staggered_panel(80, clusters=40)


@pytest.fixture(scope="session")
def design(panel):
    return ge.staggered_design(panel)


@pytest.fixture(scope="session")
def cells(panel, design):
    return ge.fit(ge.did.CallawaySantAnna(), panel, design)


@pytest.fixture(scope="session")
def block():
    panel = block_panel()
    treated = panel.unit_ids[np.isfinite(panel.adoption)].tolist()
    return panel, ge.block_design(panel, treated=treated, start=2009)
