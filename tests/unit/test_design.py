"""Designs: who is compared with whom, and every comparison that is refused."""

from dataclasses import replace

import numpy as np
import pytest

import groupeffect as ge
from groupeffect.design.cells import comparison_units, list_cells
from groupeffect.design.design import check_usable
from groupeffect.errors import (
    AlreadyTreatedError,
    DesignError,
    DroppedUnitsWarning,
    NoComparisonError,
    NoPrePeriodError,
    NoTreatedError,
    SpecError,
)
from groupeffect.testing import staggered_panel


def adopt(panel, adoption):
    return replace(panel, adoption=np.asarray(adoption, dtype=float))


def everyone(panel, *cohorts):
    return adopt(panel, np.resize(np.array(cohorts, dtype=float), panel.n_units))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"comparison": "nevertreated"}, "nevertreated"),
        ({"base_period": "first"}, "first"),
        ({"base_period": 2002}, "2002"),
        ({"anticipation": -1}, "-1"),
    ],
)
def test_unknown_options(panel, options, named):
    with pytest.raises(SpecError, match=named) as caught:
        ge.staggered_design(panel, **options)
    assert caught.value.hint


def test_baseline_window_backwards():
    with pytest.raises(SpecError, match=r"ends \(2001\) before it begins \(2003\)"):
        ge.baseline_window(2003, 2001)


def test_nobody_treated(panel):
    with pytest.raises(NoTreatedError, match="None of the 80 units is treated by 2006") as caught:
        ge.staggered_design(everyone(panel, np.inf))
    assert "cohort" in str(caught.value)


def test_treated_only_after_the_panel_is_nobody_treated(panel):
    with pytest.raises(NoTreatedError):
        ge.staggered_design(everyone(panel, 2007, 2010))


def test_treated_from_the_first_time_on(panel):
    with pytest.raises(AlreadyTreatedError, match="All 40 treated units are treated from the first time 2001"):
        ge.staggered_design(everyone(panel, 2001, np.inf))


def test_all_schools_treated_at_once(panel):
    with pytest.raises(NoComparisonError):
        ge.staggered_design(everyone(panel, 2004))


def test_all_schools_treated_in_turn_works_until_the_last(panel):
    design = ge.staggered_design(everyone(panel, 2003, 2005))
    assert design.cohorts.tolist() == [2003]
    assert design.last_comparison == 2005


def test_never_treated_asked_for_but_nobody_is(panel):
    with pytest.raises(NoComparisonError, match="No unit is never treated") as caught:
        ge.staggered_design(everyone(panel, 2003, 2005), comparison="never_treated")
    assert "not_yet_treated" in caught.value.hint


def test_pool_without_untreated_units(panel):
    with pytest.raises(NoComparisonError):
        ge.staggered_design(panel, comparison_pool=panel.adoption == 2003)


def test_one_pre_period_is_enough_without_anticipation_and_too_few_with(panel):
    late = everyone(panel, 2002, np.inf)
    assert ge.staggered_design(late).cohorts.tolist() == [2002]
    with pytest.raises(NoPrePeriodError, match="anticipation 1"):
        ge.staggered_design(late, anticipation=1)


def test_window_before_the_data(panel):
    with pytest.raises(NoPrePeriodError, match="1990-1995"):
        ge.staggered_design(panel, base_period=ge.baseline_window(1990, 1995))


def test_units_without_base_period_are_left_out_and_counted(panel):
    early = everyone(panel, 2001, 2003, np.inf, np.inf)
    with pytest.warns(DroppedUnitsWarning, match="20 units of cohort 2001 left out"):
        design = ge.staggered_design(early)
    assert "20 units of cohort 2001" in design.notes[0]
    gone = early.adoption == 2001
    assert not design.comparison_pool[gone].any()
    assert not design.treated()[gone].any()


def test_exits_stand_in_the_notes(panel):
    leaving = replace(panel, exit=np.where(panel.adoption == 2003, 2005.0, np.inf))
    design = ge.staggered_design(leaving)
    assert f"{int((panel.adoption == 2003).sum())} treated units leave treatment" in design.notes[0]
    assert not ge.staggered_design(panel).notes


@pytest.mark.parametrize("comparison", ["not_yet_treated", "never_treated"])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_comparison_units_are_untreated_at_both_times(panel, comparison, anticipation):
    design = ge.staggered_design(panel, comparison=comparison, anticipation=anticipation)
    cells = list_cells(design)
    assert {(cell.cohort, design.times[cell.time]) for cell in cells} == {
        (g, t) for g in (2003, 2005, 2006) for t in (2002, 2003, 2004, 2005, 2006)
    }
    for cell in cells:
        used = comparison_units(design, cell)
        last = max(design.times[cell.time], design.times[cell.base].max())
        assert used.any()
        assert (design.cohort[used] > last + anticipation).all()
        assert comparison == "not_yet_treated" or np.isinf(design.cohort[used]).all()


def test_base_periods_of_the_three_kinds(panel):
    def bases(**options):
        design = ge.staggered_design(panel, **options)
        return {(c.cohort, design.times[c.time]): design.times[c.base].tolist() for c in list_cells(design)}

    varying = bases()
    assert varying[2005, 2006] == [2004]
    assert varying[2005, 2003] == [2002]
    universal = bases(base_period="universal")
    assert universal[2005, 2001] == universal[2005, 2006] == [2004]
    earlier = bases(anticipation=1)
    assert earlier[2005, 2005] == [2003]
    window = bases(base_period=ge.baseline_window(2001, 2002))
    assert set(map(tuple, window.values())) == {(2001, 2002)}


def test_window_is_cut_where_treatment_begins(panel):
    with pytest.warns(DroppedUnitsWarning, match="cohort 2003"):
        design = ge.staggered_design(panel, base_period=ge.baseline_window(2003, 2004))
    assert design.cohorts.tolist() == [2005, 2006]


def test_universal_base_row_is_marked(panel):
    design = ge.staggered_design(panel, base_period="universal")
    marked = [(c.cohort, design.times[c.time]) for c in list_cells(design) if c.is_base]
    assert marked == [(2003, 2002), (2005, 2004), (2006, 2005)]


def test_block_design(block):
    _, design = block
    assert design.treated().sum() == 3
    assert design.comparison_pool.sum() == 14
    assert np.unique(design.cohort[design.treated()]).tolist() == [2009]


def test_block_design_takes_one_label_as_text(panel):
    named = replace(panel, unit_ids=np.array([f"s{i:02d}" for i in range(panel.n_units)]))
    design = ge.block_design(named, treated="s03", start=2004)
    assert design.treated().sum() == 1


def test_block_design_never_takes_treated_units_as_donors(panel):
    treated = panel.unit_ids[panel.adoption == 2003].tolist()
    design = ge.block_design(panel, treated=treated, start=2003)
    assert np.isinf(panel.adoption[design.comparison_pool]).all()


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"treated": ("nobody",), "start": 2009}, NoTreatedError, "nobody"),
        ({"treated": (), "start": 2009}, NoTreatedError, "No unit is treated"),
        ({"treated": (102,), "start": 2050}, NoTreatedError, "2050"),
        ({"treated": (102,), "start": 2001}, NoPrePeriodError, "begins at 2001"),
        ({"treated": (102,), "start": 2009, "donors": (102,)}, NoComparisonError, "No donor"),
        ({"treated": (102,), "start": 2009, "donors": ("x", "y")}, NoTreatedError, "2 labels in donors"),
    ],
)
def test_block_design_refusals(block, options, error, named):
    with pytest.raises(error, match=named) as caught:
        ge.block_design(block[0], **options)
    assert caught.value.hint


def test_changed_designs_are_checked_again(panel, design):
    with pytest.raises(NoTreatedError):
        check_usable(design.reassign(np.full(panel.n_units, np.inf)))
    with pytest.raises(NoPrePeriodError):
        check_usable(design.reassign(np.where(design.treated(), 2001.0, np.inf)))


def test_wrong_shapes(design):
    with pytest.raises(DesignError, match="need the shape"):
        replace(design, cohort=design.cohort[:3])


def test_arrays_are_read_only(design):
    for name in ("cohort", "comparison_pool", "times", "fit_times", "effect_times"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(design, name)[0] = 0


def test_take_units_keeps_rows_together(design):
    rows = np.array([5, 3, 60])
    part = design.take_units(rows)
    assert part.unit_ids.tolist() == design.unit_ids[rows].tolist()
    assert part.cohort.tolist() == design.cohort[rows].tolist()


def test_own_cohorts_and_pool():
    panel = staggered_panel(40)
    members = np.where(np.arange(40) % 2 == 0, panel.adoption, np.inf)
    pool = np.arange(40) % 2 == 0
    design = ge.staggered_design(panel, cohort=members, comparison_pool=pool)
    assert (design.cohort[1::2] == np.inf).all()
    assert not design.comparison_pool[1::2].any()


def test_repr_says_what_is_compared(design):
    assert repr(design) == (
        "Design(50 treated units in 3 cohorts, 80 units in the comparison pool (not_yet_treated), base varying, "
        "anticipation 0)"
    )
