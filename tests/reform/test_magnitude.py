from __future__ import annotations

import numpy as np
import pytest

from groupeffect.errors import SpecError
from groupeffect.reform import eef_months, kraft_size

TOOLKIT = (
    *((0, 0.00), (0, 0.01), (1, 0.02), (1, 0.09), (2, 0.10), (2, 0.18), (3, 0.19), (3, 0.26), (4, 0.27), (4, 0.35)),
    *((5, 0.36), (5, 0.44), (6, 0.45), (6, 0.52), (7, 0.53), (7, 0.61), (8, 0.62), (8, 0.69), (9, 0.70), (9, 0.78)),
    *((10, 0.79), (10, 0.87), (11, 0.88), (11, 0.95), (12, 0.96), (12, 1.00), (12, 1.70)),
)


@pytest.mark.parametrize(("months", "effect"), TOOLKIT)
def test_months_of_the_toolkit_on_both_ends_of_each_class(months, effect):
    assert eef_months(effect, "toolkit") == months
    assert eef_months(-effect, "toolkit") == -months


@pytest.mark.parametrize(
    ("effect", "months"), [(0.04, 0), (0.049, 1), (0.044, 0), (0.05, 1), (0.09, 1), (0.10, 2), (-0.05, -1)]
)
def test_months_of_trial_reports(effect, months):
    assert eef_months(effect) == months


@pytest.mark.parametrize(
    ("effect", "size"),
    [(0.0, "small"), (0.0499, "small"), (0.05, "medium"), (0.1999, "medium"), (0.20, "large"), (-0.3, "large")],
)
def test_kraft(effect, size):
    assert kraft_size(effect) == size


def test_refusals():
    for broken in (np.nan, np.inf):
        with pytest.raises(SpecError, match="not a number"):
            eef_months(broken)
        with pytest.raises(SpecError, match="not a number"):
            kraft_size(broken)
    with pytest.raises(SpecError, match="unknown"):
        eef_months(0.1, "years")
