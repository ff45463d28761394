from __future__ import annotations

import numpy as np
import pytest

from groupeffect.reform import before_after, core_effect, last_year_base, member_effect


@pytest.fixture(scope="module")
def picked(build):
    """No effect at all; weak schools had bad luck in the selection years, core schools good luck."""
    none = (0.0,) * 4
    toy = build(n_groups=80, noise=0.05, area_shock=0.0, member_path=none, core_path=none, n_outside=200, seed=1)
    luck = np.where((toy.weak & ~toy.outside)[:, None], -0.2, 0.0) + np.where(toy.core[:, None], 0.2, 0.0)
    years = (toy.panel.times == 2020) | (toy.panel.times == 2021)
    return toy.panel.with_outcome(toy.panel.outcome + luck * years)


def test_before_after_is_the_mean_change_of_the_schools(picked):
    effect = member_effect(picked)
    naive = before_after(effect)
    cells = [cell for cell in effect.support.cells if cell.phase == "after" and cell.identified]
    changes = []
    for cell in cells:
        rows = effect.fit.design.cohort == cell.cohort
        changes += (
            picked.outcome[rows, int(cell.time - 2016)] - picked.outcome[rows, int(cell.cohort - 1 - 2016)]
        ).tolist()
    assert naive.estimate == pytest.approx(np.mean(changes), abs=1e-12)
    assert naive.result.tidy()["term"].tolist() == ["before_after"]


def test_luck_returning_to_normal_passes_for_an_effect(picked):
    member = member_effect(picked, pool="all_never")
    core = core_effect(picked, pool="core_vs_never")
    for effect, sign in ((member, 1), (core, -1)):
        assert effect.overall.uncertainty.p_value[0] > 0.05
        # a quarter of the schools join right after the selection years
        for naive in (before_after(effect), last_year_base(effect)):
            assert sign * naive.estimate > 0.02
            assert naive.p_value < 0.01
            assert naive.warning.startswith("Not an effect")
            assert naive.role == effect.role


def test_last_year_base_keeps_the_schools_of_the_comparison(picked):
    effect = member_effect(picked)
    naive = last_year_base(effect)
    assert naive.result.about["base_period"] == "universal"
    assert naive.result.about["n_treated"] == effect.overall.about["n_treated"]
    assert naive.result.about["n_comparison_pool"] == effect.overall.about["n_comparison_pool"]
