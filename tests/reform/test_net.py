from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from groupeffect import Jackknife, by_event_time, overall
from groupeffect.errors import DesignError, SpecError
from groupeffect.reform import core_effect, member_effect, net_effect
from groupeffect.reform.net import pupils


@pytest.fixture(scope="module")
def pair(noisy):
    return member_effect(noisy.panel), core_effect(noisy.panel, pool="core_vs_never")


@pytest.fixture(scope="module")
def net(pair):
    return net_effect(*pair)


def true_net(toy, net, weight):
    index, cohort = net.fit.effects.index, net.fit.design.cohort
    total = size = 0.0
    for g, time in zip(index.cohort, index.time, strict=True):
        if time >= g:
            units = cohort == g
            total += (weight[units] * toy.tau[units, int(time - 2016)]).sum()
            size += weight[units].sum()
    return total / size


def test_exact_without_noise(toy):
    found = net_effect(member_effect(toy.panel), core_effect(toy.panel, pool="core_vs_never"))
    enrolment = toy.panel.cell_size[:, 0]
    assert found.estimate == pytest.approx(true_net(toy, found, enrolment), abs=1e-7)
    school = float(found.by_weight["school"].estimate[0])
    assert school == pytest.approx(true_net(toy, found, np.ones(len(enrolment))), abs=1e-7)
    share = enrolment[toy.member].sum() / enrolment[toy.member | toy.core].sum()
    assert found.member_share == pytest.approx(share)


def test_all_members_are_counted_not_only_weak_ones(net, noisy):
    counted = np.isfinite(net.fit.design.cohort)
    assert np.array_equal(counted, noisy.member | noisy.core)
    assert net.notes == ()


@pytest.mark.parametrize("kind", ["enrolment", "school"])
@pytest.mark.parametrize("scheme", [overall(), by_event_time(0)], ids=["overall", "event_time"])
def test_influence_is_the_derivative_in_the_weights(pair, kind, scheme):
    """The joint influence: both roles, the shared reference schools, the estimated shares."""
    fit = net_effect(*pair, weight=kind).fit
    panel, h = fit.panel, 1e-5
    kinds = [np.flatnonzero(panel.attributes["role"] == role)[:4] for role in ("member", "core", "none")]
    units = np.concatenate(kinds)
    effects = fit.aggregate(scheme).effects
    analytic = effects.influence.values / panel.n_units
    for unit in units:
        ends = []
        for step in (h, -h):
            weight = panel.unit_weight.copy()
            weight[unit] += step
            ends.append(fit.rerun(panel=panel.with_unit_weight(weight)).aggregate(scheme).effects.estimate)
        numeric = (ends[0] - ends[1]) / (2 * h)
        assert (np.abs(numeric - analytic[unit]) < 1e-5 * np.abs(analytic).max(axis=0)).all()


def test_school_weights_combine_the_two_effects(pair, net):
    """With one weight per school the net effect is the mean of the two, by treated school-years."""
    member, core = pair[0].alternatives[0], pair[1]
    size = {}
    for name, effect in (("member", member), ("core", core)):
        cells = [cell for cell in effect.support.cells if cell.phase == "after" and cell.identified]
        size[name] = sum((effect.fit.design.cohort == cell.cohort).sum() for cell in cells)
    expected = (size["member"] * member.estimate + size["core"] * core.estimate) / sum(size.values())
    assert net.by_weight["school"].estimate[0] == pytest.approx(expected, abs=1e-12)


def test_covariance_counts(pair, net):
    """Both roles lean on the same reference schools and groups: the variance is not that of independent effects."""
    member, core = pair[0].alternatives[0], pair[1]
    share = 3 / 4
    apart = np.hypot(share * member.std_error, (1 - share) * core.std_error)
    found = float(net.by_weight["school"].uncertainty.std_error[0])
    assert found > 1.03 * apart
    assert found < share * member.std_error + (1 - share) * core.std_error


def test_jackknife_agrees(net):
    again = net.fit.aggregate(overall()).infer(Jackknife("reform_cluster"))
    assert again.uncertainty.std_error[0] == pytest.approx(net.std_error, rel=0.15)


def test_only_weak_members_when_nobody_else_can_be_compared(build):
    toy = build(noise=0.1, n_groups=80, n_outside=0, n_areas=2)
    found = net_effect(member_effect(toy.panel), core_effect(toy.panel))
    assert "only members designated weak" in found.notes[0]
    index = found.fit.effects.index
    assert set(index.cohort[index.time >= index.cohort]) == {2022, 2023}


def test_pupils_come_from_the_base_period(noisy, pair):
    size = noisy.panel.cell_size.copy()
    size[:, 6:] *= 10  # after joining
    size[0, :4] = np.nan  # not known in the base period
    panel = dataclasses.replace(noisy.panel, cell_size=size)
    expected = noisy.panel.cell_size[:, 0].copy()
    expected[0] = np.nanmean(size[0])
    assert pupils(panel, pair[0].spec) == pytest.approx(expected)


def test_refusals(noisy, toy, pair):
    no_size = dataclasses.replace(noisy.panel, cell_size=None)
    bare = member_effect(no_size), core_effect(no_size, pool="core_vs_never")
    with pytest.raises(SpecError, match="how many pupils"):
        net_effect(*bare)
    assert set(net_effect(*bare, weight="school").by_weight) == {"school"}
    with pytest.raises(SpecError, match="unknown"):
        net_effect(*pair, weight="pupil")
    other = toy.panel.take_units(np.arange(toy.panel.n_units - 5))
    with pytest.raises(DesignError, match="different schools"):
        net_effect(pair[0], core_effect(other, pool="core_vs_never"))
    empty = noisy.panel.cell_size.copy()
    empty[3] = np.nan
    hole = dataclasses.replace(noisy.panel, cell_size=empty)
    with pytest.raises(SpecError, match="no number of pupils"):
        net_effect(member_effect(hole), core_effect(hole, pool="core_vs_never"))


def test_text(net):
    assert "net effect" in repr(net)
    assert "per school" in repr(net)
    assert net.event_study.tidy()["event_time"].tolist() == [0, 1, 2, 3]
    assert net.interval[0] < net.estimate < net.interval[1]
