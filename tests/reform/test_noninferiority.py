from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from groupeffect import by_event_time
from groupeffect.effects.effects import EffectIndex
from groupeffect.errors import SpecError
from groupeffect.protocols import Uncertainty
from groupeffect.reform import core_effect, noninferiority
from groupeffect.result import _restore


def result(estimate: float, error: float, df: float | None = None):
    """A result with one row and nothing else."""
    uncertainty = Uncertainty("given", np.array([[np.nan, np.nan]]), np.array([np.nan]), np.array([error]), df=df)
    return _restore(EffectIndex.build(term="att", size=1), np.array([estimate]), uncertainty, 0.95, {}, (), None)


@pytest.mark.parametrize(
    ("estimate", "error", "verdict", "harm_shown", "beyond"),
    [
        (0.00, 0.02, "not_harmed_beyond_margin", False, False),  # lower bound -0.033
        (0.00, 0.04, "harm_not_excluded", False, False),  # -0.066 to 0.066
        (-0.09, 0.015, "harmed", True, True),  # upper bound -0.065
        (-0.05, 0.02, "harmed", True, False),  # some harm, not shown to be above the margin
        (-0.04, 0.03, "harm_not_excluded", False, False),
        (-0.02, 0.01, "not_harmed_beyond_margin", True, False),  # some harm, shown to be below the margin
        (0.06, 0.02, "not_harmed_beyond_margin", False, False),
    ],
)
def test_verdicts(estimate, error, verdict, harm_shown, beyond):
    found = noninferiority(result(estimate, error))
    assert found.verdict == verdict
    assert found.harm_shown == harm_shown
    assert found.harm_beyond_margin == beyond


def test_bounds_are_one_sided_and_match_the_p_value():
    z = stats.norm.ppf(0.95)
    found = noninferiority(result(-0.01, 0.02))
    assert found.lower == pytest.approx(-0.01 - z * 0.02)
    assert found.upper == pytest.approx(-0.01 + z * 0.02)
    assert found.p_value == pytest.approx(stats.norm.sf(0.04 / 0.02))
    edge = noninferiority(result(-0.05 + z * 0.02, 0.02))
    assert edge.p_value == pytest.approx(0.05)
    wide = noninferiority(result(-0.01, 0.02, df=5))
    assert wide.lower == pytest.approx(-0.01 - stats.t.ppf(0.95, 5) * 0.02)
    assert wide.p_value == pytest.approx(stats.t.sf(2, 5))


def test_margin_and_level_matter():
    one = result(-0.03, 0.01)
    assert noninferiority(one, margin=0.03).verdict == "harmed"
    assert noninferiority(one, margin=0.10).verdict == "not_harmed_beyond_margin"
    assert noninferiority(one, level=0.999).verdict == "harm_not_excluded"


def test_refusals(toy):
    with pytest.raises(SpecError, match="not positive"):
        noninferiority(result(0, 0.1), margin=0)
    with pytest.raises(SpecError, match="between"):
        noninferiority(result(0, 0.1), level=0.4)
    with pytest.raises(SpecError, match="one estimate"):
        noninferiority(result(0, np.nan))
    effect = core_effect(toy.panel)
    rows = effect.fit.aggregate(by_event_time(0)).infer(effect_strategy())
    with pytest.raises(SpecError, match="there are 3 rows"):
        noninferiority(rows)


def effect_strategy():
    from groupeffect import ClusterRobust

    return ClusterRobust("reform_cluster")


def test_core_effect_carries_its_verdict(build):
    safe = core_effect(build(noise=0.05, core_path=(0.0,) * 4).panel, margin=0.06)
    assert safe.non_inferiority.verdict == "not_harmed_beyond_margin"
    assert safe.non_inferiority.margin == 0.06
    hollow = core_effect(build(noise=0.05, core_path=(-0.2,) * 4).panel)
    assert hollow.non_inferiority.verdict == "harmed"
    assert hollow.non_inferiority.harm_beyond_margin
