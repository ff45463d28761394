"""The synthetic reform of school groups: a province of schools, as a bureau would export it, with its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from groupeffect._types import AnyArray
from groupeffect.simulate.codebook import codebook_frame
from groupeffect.simulate.faults import CROSSWALK_COLUMNS, inject_faults
from groupeffect.simulate.frames import (
    expected_from_intake,
    membership_frame,
    realised_share,
    school_frame,
    score_frame,
)
from groupeffect.simulate.inequality import official_cv_table
from groupeffect.simulate.marks import draw_marks, reference_scale
from groupeffect.simulate.parameters import Parameters, Selection
from groupeffect.simulate.population import section_sums
from groupeffect.simulate.scenarios import scenario_parameters
from groupeffect.simulate.truth import Truth, make_truth
from groupeffect.simulate.world import World, build_world

__all__ = ["SchoolReform", "simulate_panel", "simulate_schools"]

DEFAULT_YEARS = (2016, 2025)


@dataclass(frozen=True, slots=True)
class SchoolReform:
    """A synthetic reform.

    Parameters
    ----------
    schools : DataFrame
        School-years; see `codebook`.
    scores : DataFrame
        School-year-subject-grade.
    membership : DataFrame
        Register of the groups.
    crosswalk : DataFrame
        Mergers and renumbered ids; empty without faults.
    codebook : DataFrame
        Meaning of every column.
    truth : Truth
        True effects on the reference scale, keyed by the final ids.
    scale : DataFrame
        Reference mean and SD of each cell of subject x grade x year x exam authority, before faults; part of the truth.
    official_cv : DataFrame
        Official CVs with and without the reform; part of the truth.
    realised : DataFrame
        ``county_id, ratio``: realised / planned spending; part of the truth.
    """

    schools: pd.DataFrame
    scores: pd.DataFrame
    membership: pd.DataFrame
    crosswalk: pd.DataFrame
    codebook: pd.DataFrame
    truth: Truth
    scale: pd.DataFrame
    official_cv: pd.DataFrame
    realised: pd.DataFrame

    @property
    def reference_ids(self) -> AnyArray:
        """Ids of the schools of the reference population: never in a group, never designated weak."""
        world = self.truth.world
        return np.asarray(self.truth.labels["school_id"][world.reference])


def simulate_schools(
    scenario: str = "clean",
    *,
    n_schools: int = 1500,
    n_counties: int | None = None,
    years: tuple[int, int] = DEFAULT_YEARS,
    seed: int = 0,
    selection: Selection | None = None,
    faults: bool = True,
    parameters: Parameters | None = None,
) -> SchoolReform:
    """Draw a province in reform, with the files of a bureau and the truth.

    Parameters
    ----------
    scenario : str, default "clean"
        A key of :data:`~groupeffect.simulate.SCENARIOS`.
    n_schools : int, default 1500
        At least 60. Numbers of groups are scaled to it.
    n_counties : int, optional
        Overrides the scenario (18, or 5 in ``few_counties``).
    years : tuple of int, default (2016, 2025)
        First and last school year. Groups founded later do not exist.
    seed : int, default 0
        Same seed, same tables. Every component has a stream of its own.
    selection : {"observed", "latent", "random", "cutoff"}, optional
        How weak and core schools are picked; ``"observed"`` unless `parameters` say otherwise.
    faults : bool, default True
        Missing scores, mergers, renumbered ids, duplicated rows, wrong group ids, pupils absent from the exam.
    parameters : Parameters, optional
        Defaults that the scenario then changes.

    Returns
    -------
    SchoolReform

    Raises
    ------
    SpecError
        If the scenario is unknown, or the size or years are too small.
    """
    chosen = _parameters(scenario, n_counties, selection, parameters)
    world, rngs = build_world(chosen, n_schools=n_schools, years=years, seed=seed)
    marks = draw_marks(world, rngs)
    scale = reference_scale(world, marks)
    realised = realised_share(world, rngs["cost"])
    tables = {
        "schools": school_frame(world, rngs, realised),
        "scores": score_frame(world, marks, rngs, incomplete=faults),
        "membership": membership_frame(world),
    }
    official = official_cv_table(tables["schools"])
    tables["crosswalk"] = pd.DataFrame(columns=list(CROSSWALK_COLUMNS))
    if faults:
        tables = inject_faults(world, tables, rngs)
    counties = pd.unique(world.labels()["county_id"])
    return SchoolReform(
        schools=tables["schools"],
        scores=tables["scores"],
        membership=tables["membership"],
        crosswalk=tables["crosswalk"],
        codebook=codebook_frame(),
        truth=make_truth(scenario, world, scale),
        scale=scale.table,
        official_cv=official,
        realised=pd.DataFrame({"county_id": counties, "ratio": realised}),
    )


def simulate_panel(
    scenario: str = "clean",
    *,
    n_schools: int = 1500,
    seed: int = 0,
    years: tuple[int, int] = DEFAULT_YEARS,
    selection: Selection | None = None,
    parameters: Parameters | None = None,
) -> tuple[pd.DataFrame, Truth]:
    """Draw a reform directly as a school-year panel: no marks, files or faults, for Monte Carlo work.

    The outcome comes from the same code and the same random streams as :func:`simulate_schools`: for one seed the
    schools, groups and effects are the same. Scores are on the latent scale (pupil SD of the whole population).

    Parameters
    ----------
    scenario, n_schools, seed, years, selection, parameters
        See :func:`simulate_schools`.

    Returns
    -------
    frame : DataFrame
        One row per school and year with a score:
        ``school_id, year, score, value_added, join_year, exit_year, role, model, group_id, cluster, county_id,
        prefecture_id, location, stage, new_school, weak, designated_weak_year, compensated, travel_min_core, exposed,
        inside, enrol, pupils, n_tested, prior_mean, disadv_share, dose_recv, export_share``.
        `join_year` is 0 for schools never in a group, `exit_year` is empty for those that stay; both, `role`, `model`
        and `group_id` (empty outside groups) are constant within schools; `cluster` is the group, or the school itself
        outside groups; `pupils` is a fixed weight, `n_tested` the pupils tested in one subject.
    truth : Truth
        On the latent scale.
    """
    chosen = _parameters(scenario, None, selection, parameters)
    world, _ = build_world(chosen, n_schools=n_schools, years=years, seed=seed)
    truth = make_truth(scenario, world)
    return _panel_frame(world, truth), truth


def _parameters(
    scenario: str, n_counties: int | None, selection: Selection | None, base: Parameters | None
) -> Parameters:
    chosen = scenario_parameters(scenario, base)
    if n_counties is not None:
        chosen = replace(chosen, n_counties=n_counties)
    if selection is not None:
        chosen = replace(chosen, selection=selection)
    return chosen


def _panel_frame(world: World, truth: Truth) -> pd.DataFrame:
    """Long table of the examined school-years."""
    labels, assignment = truth.labels, world.assignment
    rows, columns = np.nonzero(world.examined)
    cluster = np.where(assignment.group >= 0, labels["group_id"], labels["school_id"])
    score = world.school_scores()
    prior = world.base.prior + world.treatment.prior_shift
    share = world.base.disadvantaged + world.treatment.disadvantage_shift
    data: dict[str, AnyArray] = {
        "school_id": labels["school_id"][rows],
        "year": world.years[columns],
        "score": score[rows, columns],
        "value_added": (score - expected_from_intake(world))[rows, columns],
        "join_year": np.where(np.isfinite(assignment.cohort), assignment.cohort, 0).astype(np.int64)[rows],
        "exit_year": np.where(np.isfinite(assignment.exit), assignment.exit, np.nan)[rows],
    }
    for name in ("role", "model", "group_id"):
        data[name] = labels[name][rows]
    data["cluster"] = cluster[rows]
    for name in ("county_id", "prefecture_id", "location", "stage"):
        data[name] = labels[name][rows]
    weak_year = np.where(assignment.weak, float(max(world.parameters.designation_years)), np.nan)
    per_school = {
        "new_school": world.population.is_new,
        "weak": assignment.weak,
        "designated_weak_year": weak_year,
        "compensated": world.staff.compensated,
        "travel_min_core": world.minutes,
    }
    data |= {name: values[rows] for name, values in per_school.items()}
    grids = {
        "exposed": world.treatment.exposed,
        "inside": world.treatment.inside,
        "enrol": world.enrol,
        "n_tested": section_sums(world.population, world.base.n_tested),
        "prior_mean": prior,
        "disadv_share": share,
        "dose_recv": world.treatment.dose,
        "export_share": world.treatment.export,
    }
    data |= {name: grid[rows, columns] for name, grid in grids.items()}
    data["pupils"] = world.pupils[rows]
    return pd.DataFrame(data)
