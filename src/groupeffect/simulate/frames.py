"""The tables that a bureau would export: school-years, scores, membership. No faults yet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from groupeffect._types import AnyArray, BoolArray, FloatArray
from groupeffect.simulate.components import Streams
from groupeffect.simulate.marks import Marks, authority_names, full_marks
from groupeffect.simulate.parameters import MECHANISMS, SUBJECTS
from groupeffect.simulate.population import section_sums
from groupeffect.simulate.selection import CORE, MEMBER
from groupeffect.simulate.staff import transfers
from groupeffect.simulate.world import World

__all__ = ["blank_results", "expected_from_intake", "membership_frame", "realised_share", "school_frame", "score_frame"]

_SUBSIDY = 12000.0
_DOUBLE_REDUCTION_YEAR = 2021


def realised_share(world: World, rng: np.random.Generator) -> FloatArray:
    """Realised / planned spending of each county, shape (n_counties,)."""
    return np.asarray(np.round(rng.beta(*world.parameters.cost_beta, world.population.n_counties), 4))


def school_frame(world: World, rngs: Streams, realised: FloatArray) -> pd.DataFrame:
    """School-years with the columns of the schema; one row per school, year and stage."""
    labels = world.labels()
    number = len(world.years)
    fixed: dict[str, AnyArray] = {}
    fixed |= {name: labels[name] for name in ("school_id", "county_id", "prefecture_id", "location", "stage")}
    fixed["ownership"] = np.full(world.population.n, "public", dtype=object)
    fixed |= {"lon": world.population.lon, "lat": world.population.lat}
    fixed |= _fixed_resources(world, rngs["resources"])
    varying = _intake_columns(world, rngs["resources"])
    varying |= _transfer_columns(world)
    varying |= _group_columns(world, labels)
    varying |= _fund_columns(world, realised)
    varying |= _survey_columns(world, rngs["survey"])
    fixed |= _membership_columns(world)
    fixed |= _mechanism_columns(world, rngs["mechanisms"])

    data = {name: np.repeat(values, number) for name, values in fixed.items()}
    data |= {name: values.ravel() for name, values in varying.items()}
    data["year"] = np.tile(world.years, world.population.n)
    data["co_reforms"] = _co_reforms(world)
    frame = pd.DataFrame(data)
    for name in ("join_year", "exit_year", "designated_weak_year", "mech_year"):
        frame[name] = frame[name].astype("Int64")
    order = ["school_id", "year", *(name for name in frame.columns if name not in ("school_id", "year"))]
    return frame.loc[world.present.ravel(), order].reset_index(drop=True)


def _fixed_resources(world: World, rng: np.random.Generator) -> dict[str, AnyArray]:
    """Teachers, rooms and equipment: fixed over the years, related to enrolment in the first year."""
    population, staff, n = world.population, world.staff, world.population.n
    pupils = np.bincount(population.section_school, weights=population.size * population.section_grades)
    junior = population.stage > 0
    teachers = staff.teachers.astype(float)
    above = np.minimum(
        teachers, np.rint(pupils / 100 * np.where(junior, 6.2, 5.0) * np.exp(0.25 * rng.standard_normal(n)))
    )
    arts = np.minimum(teachers - 1, np.rint(pupils / 100 * 1.1 * np.exp(0.35 * rng.standard_normal(n))))
    senior = np.rint(teachers * rng.beta(4, 10, n))
    size = pupils * np.exp(-0.15 * (np.log(pupils) - np.log(pupils).mean()))
    return {
        "minority_area": rng.random(n) < np.where(population.location == 2, 0.25, 0.08),
        "boarding": rng.random(n) < np.where(junior, 0.5, np.where(population.location == 2, 0.25, 0.05)),
        "new_school": population.is_new,
        "teaching_point": (population.location == 2) & (pupils < 60),
        "teachers_fte": teachers,
        "teachers_above_degree": above,
        "teachers_pe_art": np.maximum(arts, 1.0),
        "teachers_senior": senior,
        "backbone_own": staff.backbone.astype(float),
        "floor_m2": np.rint(size * np.where(junior, 6.4, 5.2) * np.exp(0.3 * rng.standard_normal(n))),
        "sports_m2": np.rint(size * np.where(junior, 11.0, 8.6) * np.exp(0.4 * rng.standard_normal(n))),
        "equip_yuan": np.rint(size * np.where(junior, 2900.0, 2350.0) * np.exp(0.35 * rng.standard_normal(n))),
        "media_rooms": np.maximum(np.rint(size / 100 * 2.7 * np.exp(0.3 * rng.standard_normal(n))), 1.0),
    }


def _intake_columns(world: World, rng: np.random.Generator) -> dict[str, AnyArray]:
    base, treatment, enrol = world.base, world.treatment, world.enrol
    disadvantaged = np.clip(base.disadvantaged + treatment.disadvantage_shift, 0.0, 1.0)
    shape = enrol.shape
    grades = section_sums(world.population, world.population.section_grades)
    level = disadvantaged[:, :1]
    migrant = np.clip(0.10 + 0.15 * (world.population.location == 0)[:, None] + 0.03 * rng.standard_normal(shape), 0, 1)
    return {
        "enrol": enrol,
        "enrol_entry": np.maximum(np.rint(enrol / grades[:, None]), 1).astype(np.int64),
        "classes": np.maximum(np.ceil(enrol / 42), 1).astype(np.int64),
        "disadv_share": np.round(disadvantaged, 4),
        "migrant_share": np.round(migrant, 4),
        "left_behind_share": np.round(np.clip(0.6 * level + 0.03 * rng.standard_normal(shape), 0, 1), 4),
        "prior_mean": np.round(base.prior + treatment.prior_shift, 4),
        "dropout": np.round(np.clip(0.004 + 0.02 * disadvantaged * rng.random(shape), 0, 1), 4),
        "retention": np.round(1 - np.clip(0.01 + 0.03 * disadvantaged * rng.random(shape), 0, 1), 4),
        "fitness_pass": np.round(np.clip(0.90 - 0.1 * disadvantaged + 0.02 * rng.standard_normal(shape), 0, 1), 4),
    }


def _transfer_columns(world: World) -> dict[str, AnyArray]:
    moved = transfers(world.assignment, world.staff, world.treatment.inside)
    staff = world.staff
    return {
        "backbone_sent": moved.backbone_sent,
        "backbone_recv": moved.backbone_recv,
        "teachers_sent": moved.teachers_sent,
        "teachers_recv": moved.teachers_recv,
        "managers_sent": moved.managers_sent,
        "managers_recv": moved.managers_recv,
        "export_share": np.round(moved.backbone_sent / np.maximum(staff.backbone, 1)[:, None], 6),
        "dose_recv": np.round(moved.backbone_recv / staff.teachers[:, None], 6),
        "subsidy_rotation": np.round(_SUBSIDY * moved.teachers_sent),
    }


def _group_columns(world: World, labels: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Group, role and model of the year: empty before joining and after leaving."""
    inside = world.treatment.inside
    outside = {"group_id": None, "model": None, "role": "none"}
    columns: dict[str, AnyArray] = {}
    for name, empty in outside.items():
        grid = np.full(inside.shape, empty, dtype=object)
        grid[inside] = np.broadcast_to(labels[name][:, None], inside.shape)[inside]
        columns[name] = grid
    return columns


def _membership_columns(world: World) -> dict[str, AnyArray]:
    assignment, n = world.assignment, world.population.n
    window = world.parameters.designation_years
    weak_year = np.where(assignment.weak, float(max(window)), np.nan)
    compensated = np.where(assignment.role == CORE, world.staff.compensated, False)
    return {
        "join_year": np.where(np.isfinite(assignment.cohort), assignment.cohort, np.nan),
        "exit_year": np.where(np.isfinite(assignment.exit), assignment.exit, np.nan),
        "designated_weak_year": weak_year,
        "designation_window": np.full(n, f"{min(window)}-{max(window)}", dtype=object),
        "compensated": compensated,
        "travel_min_core": world.minutes,
    }


def _mechanism_columns(world: World, rng: np.random.Generator) -> dict[str, AnyArray]:
    """Return what a survey of the school in its joining year says about the five mechanisms; empty outside groups."""
    assignment, n = world.assignment, world.population.n
    member = assignment.group >= 0
    columns: dict[str, AnyArray] = {}
    error = 0.05 * rng.standard_normal((n, len(MECHANISMS)))
    measured = np.full((n, len(MECHANISMS)), np.nan)
    measured[member] = np.clip(assignment.groups.mechanism[assignment.group[member]] + error[member], 0, 1)
    columns |= {f"mech_{name}": np.round(measured[:, k], 3) for k, name in enumerate(MECHANISMS)}
    draw = rng.standard_normal((n, 3))
    fidelity = np.clip(measured[:, :4].mean(axis=1) + 0.08 * draw[:, 0], 0, 1)
    columns["fidelity"] = np.round(fidelity, 3)
    columns["joint_lessons"] = np.round(np.maximum(40 * measured[:, 3] + 6 * draw[:, 1], 0), 0)
    columns["online_hours"] = np.round(np.maximum(60 * measured[:, 3] + 15 * draw[:, 2], 0), 0)
    columns["mech_year"] = np.where(member, assignment.cohort, np.nan)
    return columns


def _fund_columns(world: World, realised: FloatArray) -> dict[str, AnyArray]:
    assignment = world.assignment
    receiving = world.treatment.inside & (assignment.role == MEMBER)[:, None]
    model = assignment.groups.model[assignment.group]
    planned = np.asarray(world.parameters.cost_per_pupil)[model][:, None] * world.enrol * receiving
    return {
        "fund_planned": np.round(planned),
        "fund_spent": np.round(planned * realised[world.population.county][:, None]),
    }


def _survey_columns(world: World, rng: np.random.Generator) -> dict[str, AnyArray]:
    base, shape = world.base, world.enrol.shape
    level = 82 + 3 * base.standing[:, None] + world.treatment.satisfaction
    parents = np.clip(level + 2.0 * rng.standard_normal(shape), 0, 100)
    teachers = np.clip(level - 2 + 2.5 * rng.standard_normal(shape), 0, 100)
    responding = np.round(rng.uniform(0.55, 0.95, shape), 3)
    return {
        "satis_parent": np.round(parents, 1),
        "satis_teacher": np.round(teachers, 1),
        "satis_n": np.maximum(np.rint(world.enrol * 0.2 * responding), 5).astype(np.int64),
        "satis_resp": responding,
    }


def _co_reforms(world: World) -> AnyArray:
    """Policy calendar keys per school-year, joined by a semicolon."""
    keys = np.full((world.population.n, len(world.years)), None, dtype=object)
    national = world.years >= _DOUBLE_REDUCTION_YEAR
    keys[:, national] = "double_reduction"
    if world.parameters.co_reform_shift:
        early = world.early_county[world.population.county][:, None]
        running = world.years >= world.parameters.co_reform_year
        keys[early & running & national] = "double_reduction;county_reform"
        keys[early & running & ~national] = "county_reform"
    return keys.ravel()


def membership_frame(world: World) -> pd.DataFrame:
    """Build the register of groups: ``school_id, group_id, role, model, join_year, exit_year, compensated``."""
    labels, assignment = world.labels(), world.assignment
    inside = assignment.group >= 0
    frame = pd.DataFrame({name: labels[name][inside] for name in ("school_id", "group_id", "role", "model")})
    frame["join_year"] = pd.Series(assignment.cohort[inside], dtype="Int64")
    frame["exit_year"] = pd.Series(
        np.where(np.isfinite(assignment.exit), assignment.exit, np.nan)[inside], dtype="Int64"
    )
    frame["compensated"] = world.staff.compensated[inside]
    order = np.lexsort(
        (frame["school_id"].to_numpy(), frame["role"].to_numpy() != "core", frame["group_id"].to_numpy())
    )
    return frame.iloc[order].reset_index(drop=True)


def score_frame(world: World, marks: Marks, rngs: Streams, *, incomplete: bool) -> pd.DataFrame:
    """Scores per school, year, subject and grade.

    Parameters
    ----------
    world, marks, rngs
        The draw.
    incomplete : bool
        Whether some enrolled pupils did not sit the exam (`tested_range`).
    """
    population = world.population
    labels, years = world.labels(), world.years
    tested = np.broadcast_to(world.base.n_tested[..., None], marks.mean.shape)
    ratio = rngs["tested"].uniform(*world.parameters.tested_range, marks.mean.shape) if incomplete else 1.0
    enrolled = np.maximum(np.rint(tested / ratio), tested).astype(np.int64)
    school = population.section_school
    held = np.broadcast_to(
        (world.present & ~np.isin(years, world.parameters.missing_years))[school][..., None], tested.shape
    )
    section, time, subject = np.nonzero(held)
    mean, sd = marks.mean[held], marks.sd[held]
    full = full_marks(years)[time]
    grade = np.asarray(world.parameters.grades, dtype=object)[population.section_junior.astype(np.int64)[section]]
    name = np.asarray(SUBJECTS, dtype=object)[subject]
    authority = authority_names(world)[school[section]]
    data: dict[str, AnyArray] = {
        "school_id": labels["school_id"][school[section]],
        "year": years[time],
        "subject": name,
        "grade": grade,
        "exam_id": _exam_ids(years[time], grade, name, authority),
        "exam_authority": authority,
        "mean": mean,
        "sd": sd,
        "n_tested": tested[held],
        "n_enrolled": enrolled[held],
        "full_mark": full,
    }
    data |= _rates(mean, sd, full)
    frame = pd.DataFrame(data | _value_added(world, marks, held))
    hidden = world.withheld[school[section], time]
    return blank_results(frame, hidden)


def _exam_ids(year: AnyArray, grade: AnyArray, subject: AnyArray, authority: AnyArray) -> AnyArray:
    return np.asarray(year.astype(str).astype(object) + "-g" + grade + "-" + subject + "-" + authority, dtype=object)


def _rates(mean: FloatArray, sd: FloatArray, full: FloatArray) -> dict[str, FloatArray]:
    """Pass (60 %), excellent (85 %) and low (40 %) rates if marks are normal within the school."""
    from scipy.special import ndtr

    spread = np.maximum(sd, 0.1)
    return {
        "rate_pass": np.round(ndtr((mean - 0.60 * full) / spread), 4),
        "rate_excellent": np.round(ndtr((mean - 0.85 * full) / spread), 4),
        "rate_low": np.round(ndtr((0.40 * full - mean) / spread), 4),
    }


def _value_added(world: World, marks: Marks, held: BoolArray) -> dict[str, FloatArray]:
    """Value added in latent SD: score less what the intake explains, and its standard error."""
    parameters, school = world.parameters, world.population.section_school
    latent = (marks.mean - marks.difficulty) / marks.spread
    value = (latent - expected_from_intake(world)[school][..., None])[held]
    error = np.sqrt((1 - parameters.icc) / world.base.n_tested)[..., None]
    return {"va_mean": np.round(value, 4), "va_se": np.round(np.broadcast_to(error, held.shape)[held], 4)}


def expected_from_intake(world: World) -> FloatArray:
    """Compute what intake attainment and disadvantage explain of the school mean, latent SD, shape (n, T)."""
    parameters = world.parameters
    prior = world.base.prior + world.treatment.prior_shift
    share = world.base.disadvantaged + world.treatment.disadvantage_shift
    return np.asarray(parameters.beta_prior * prior + parameters.beta_disadvantage * share)


def blank_results(frame: pd.DataFrame, rows: BoolArray) -> pd.DataFrame:
    """Empty the results of some rows; what was enrolled stays."""
    if not rows.any():
        return frame
    frame = frame.astype({"n_tested": "Int64"})
    results = ["mean", "sd", "rate_pass", "rate_excellent", "rate_low", "va_mean", "va_se"]
    frame.loc[rows, results] = np.nan
    frame.loc[rows, "n_tested"] = pd.NA
    return frame
