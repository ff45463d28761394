from __future__ import annotations

import numpy as np
import pytest

from groupeffect import ClusterRobust, by_event_time, overall
from groupeffect.errors import SpecError
from groupeffect.inference.critical import critical_value
from groupeffect.reform import ClusterBand, member_effect
from groupeffect.reform.bands import effective_df


def test_effective_df_of_equal_and_of_dominating_clusters():
    rng = np.random.default_rng(0)
    equal = rng.standard_normal((400, 3))
    assert effective_df(equal, 400) == pytest.approx([400] * 3, rel=0.2)
    few = np.r_[10 * rng.standard_normal((6, 1)), 0.1 * rng.standard_normal((400, 1))]
    assert effective_df(few, 406)[0] < 20
    assert effective_df(np.r_[np.ones((1, 1)), np.zeros((9, 1))], 10)[0] == 3
    assert effective_df(np.ones((5, 1)), 5)[0] == 4  # never above G - 1
    assert effective_df(np.zeros((5, 1)), 5)[0] == 2


def test_band_and_interval(noisy):
    fit = member_effect(noisy.panel, pool="all_never").fit.aggregate(by_event_time(0))
    band = ClusterBand("reform_cluster").apply(fit, level=0.95)
    plain = ClusterRobust("reform_cluster", correction="cr1").apply(fit, level=0.95)
    assert np.array_equal(band.std_error, plain.std_error)
    assert (band.interval[:, 0] <= plain.interval[:, 0] + 1e-12).all()
    assert (band.band[:, 1] > band.interval[:, 1]).all()
    assert 2 <= band.df <= plain.df
    again = ClusterBand("reform_cluster").apply(fit, level=0.95)
    assert np.array_equal(again.band, band.band)
    ratio = (band.band[:, 1] - fit.effects.estimate) / (band.interval[:, 1] - fit.effects.estimate)
    assert ratio == pytest.approx(np.full(len(ratio), ratio[0]))
    assert ratio[0] < critical_value(1 - 0.05 / len(ratio)) / critical_value(0.95) * 1.05  # no wider than Bonferroni


def test_one_row_needs_no_band(noisy):
    found = member_effect(noisy.panel, pool="all_never").fit.aggregate(overall())
    known = ClusterBand("reform_cluster").apply(found, level=0.9)
    assert np.array_equal(known.band, known.interval)


def test_too_few_draws():
    with pytest.raises(SpecError, match="too few"):
        ClusterBand(draws=10)
