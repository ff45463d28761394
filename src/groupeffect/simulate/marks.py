r"""Exam marks, and the reference scale on which a reader gets effects in pupil SD back.

The exam of subject s in year t turns a latent score Y (SD of the whole population of pupils) into the mark
``m_t + sd_t Y``; both numbers are drawn anew for each subject, grade, year and exam authority, and the full mark goes
from 100 to 120 in 2024. Files hold the mean mark of the pupils tested and `sd`, the SD (divisor n - 1) of their marks
*within* the school, rounded to two digits.

**Public convention.** Within a cell of subject x grade x year x exam authority, with weights n = `n_tested` and the
sums over the schools of the reference population,

.. math:: M = \frac{\sum n \cdot mean}{\sum n}, \qquad
   SD^2 = \frac{\sum n \cdot sd^2}{\sum n} + \frac{\sum n (mean - M)^2}{\sum n},

and the standardised school mean is ``(mean - M) / SD``. The reference population is fixed over the years: schools
never in a group and never designated weak. In a cell with fewer than five of them it is all schools of the cell. The
reference population lacks the weak and the core schools, so its SD is a little below one on the latent scale (0.91 to
1.00) and effects in the files are larger than latent ones by that factor; the truth written with the files is on the
reference scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.simulate.components import Streams
from groupeffect.simulate.parameters import SUBJECTS
from groupeffect.simulate.population import section_means
from groupeffect.simulate.world import World

__all__ = ["FEWEST_REFERENCE_SCHOOLS", "Marks", "Scale", "draw_marks", "full_marks", "reference_scale"]

FEWEST_REFERENCE_SCHOOLS: Final = 5
_MEAN_RANGE = (58.0, 74.0)
_SD_RANGE = (13.0, 20.0)
_CEILING, _BEST_SCHOOL = 99.5, 2.05
_NEW_FULL_MARK_YEAR = 2024


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks as recorded, before any fault.

    Parameters
    ----------
    mean, sd : ndarray of shape (n_sections, T, 3)
        Mean and within-school SD of the marks of the pupils tested, rounded to two digits.
    difficulty, spread : ndarray of shape (n_sections, T, 3)
        The exam's m_t and sd_t that applied to the section.
    cell : ndarray of shape (n_sections, T, 3)
        Number of the cell of subject x grade x year x exam authority.
    """

    mean: FloatArray
    sd: FloatArray
    difficulty: FloatArray
    spread: FloatArray
    cell: IntArray


@dataclass(frozen=True, slots=True)
class Scale:
    """From latent scores to scores standardised on the reference population.

    Parameters
    ----------
    slope, intercept : ndarray of shape (n, T, 3)
        Standardised = intercept + slope * latent, per school, year and subject (mean over grades).
    noise : ndarray of shape (n, T)
        Sampling noise of the standardised school-year mean.
    table : DataFrame
        ``exam_authority, grade, year, subject, ref_mean, ref_sd, exam_mean, exam_sd, slope, n_schools, n_pupils,
        all_schools``, one row per cell.
    """

    slope: FloatArray
    intercept: FloatArray
    noise: FloatArray
    table: pd.DataFrame


def full_marks(years: IntArray) -> FloatArray:
    """Full mark of the exams of each year."""
    return np.where(years >= _NEW_FULL_MARK_YEAR, 120.0, 100.0)


def draw_marks(world: World, rngs: Streams) -> Marks:
    """Draw the marks of every section, year and subject."""
    population, number = world.population, len(world.years)
    rng = rngs["marks"]
    by_county = world.parameters.exam_authority == "county"
    n_authorities = population.n_counties if by_county else 1
    shape = (n_authorities, 2, number, len(SUBJECTS))
    factor = (full_marks(world.years) / 100.0)[:, None]
    spread = rng.uniform(*_SD_RANGE, shape)
    # the wider the marks, the lower their mean, so that the best schools stay below the full mark
    highest = np.minimum(_MEAN_RANGE[1], _CEILING - _BEST_SCHOOL * spread)
    difficulty = (_MEAN_RANGE[0] + (highest - _MEAN_RANGE[0]) * rng.random(shape)) * factor
    spread = spread * factor
    authority = (
        population.county[population.section_school] if by_county else np.zeros(len(population.size), dtype=np.int64)
    )
    junior = population.section_junior.astype(np.int64)
    cell = np.arange(np.prod(shape)).reshape(shape)[authority, junior]
    m, s = difficulty[authority, junior], spread[authority, junior]

    top = full_marks(world.years)[:, None]
    mean = np.clip(m + s * world.section_scores(), 0.0, top)
    within = np.sqrt(1 - world.parameters.icc) * world.rescale()[1][population.section_school]
    degrees = np.maximum(world.base.n_tested - 1, 1)[..., None]
    chance = np.sqrt(rng.chisquare(np.broadcast_to(degrees, mean.shape)) / degrees)
    return Marks(np.round(mean, 2), np.round(s * within[..., None] * chance, 2), m, s, cell)


def reference_scale(world: World, marks: Marks) -> Scale:
    """Mean and SD of the reference population in every cell, by the public convention of this module."""
    population = world.population
    sat = np.broadcast_to(world.examined[population.section_school][..., None], marks.mean.shape)
    n_cells = int(marks.cell.max()) + 1
    chosen = sat & world.reference[population.section_school][:, None, None]
    few = np.bincount(marks.cell[chosen], minlength=n_cells) < FEWEST_REFERENCE_SCHOOLS
    chosen = chosen | (sat & few[marks.cell])
    mean, sd, pupils, schools = _moments(world, marks, chosen, n_cells)

    slope = marks.spread / sd[marks.cell]
    intercept = (marks.difficulty - mean[marks.cell]) / sd[marks.cell]
    # a year without exam has no scale of its own: it gets the average one, so that its truth is not a hole
    unheld = np.isnan(slope)
    slope = np.where(unheld, np.nanmean(slope), slope)
    intercept = np.where(unheld, np.nanmean(intercept), intercept)
    noise = section_means(population, (slope * world.base.noise).mean(axis=2))
    table = _scale_table(world, marks, {"ref_mean": mean, "ref_sd": sd, "n_schools": schools, "n_pupils": pupils})
    table["all_schools"] = few[table.pop("cell").to_numpy()]
    return Scale(section_means(population, slope), section_means(population, intercept), noise, table)


def _moments(
    world: World, marks: Marks, chosen: BoolArray, n_cells: int
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Mean, SD, pupils and schools of the chosen marks in each cell; nan and zero for cells without exam."""
    cell = marks.cell[chosen]
    weight = np.broadcast_to(world.base.n_tested[..., None], chosen.shape)[chosen].astype(float)
    pupils = np.asarray(np.bincount(cell, weights=weight, minlength=n_cells), dtype=float)
    safe = np.where(pupils > 0, pupils, np.nan)
    mean: FloatArray = np.bincount(cell, weights=weight * marks.mean[chosen], minlength=n_cells) / safe
    deviation = marks.mean[chosen] - mean[cell]
    between = np.bincount(cell, weights=weight * deviation**2, minlength=n_cells) / safe
    within = np.bincount(cell, weights=weight * marks.sd[chosen] ** 2, minlength=n_cells) / safe
    total: FloatArray = np.sqrt(within + between)
    return mean, total, pupils, np.bincount(cell, minlength=n_cells).astype(np.int64)


def authority_names(world: World) -> AnyArray:
    """Exam authority of each school, shape (n,)."""
    if world.parameters.exam_authority == "county":
        return world.labels()["county_id"]
    return np.full(world.population.n, "province", dtype=object)


def _scale_table(world: World, marks: Marks, columns: dict[str, AnyArray]) -> pd.DataFrame:
    """One row per cell in which an exam was held."""
    population = world.population
    cells, first = np.unique(marks.cell, return_index=True)
    held = columns["n_pupils"][cells] > 0
    cells, first = cells[held], first[held]
    section, time, subject = np.unravel_index(first, marks.cell.shape)
    grades = np.asarray(world.parameters.grades, dtype=object)
    frame = pd.DataFrame(
        {
            "cell": cells,
            "exam_authority": authority_names(world)[population.section_school[section]],
            "grade": grades[population.section_junior[section].astype(np.int64)],
            "year": world.years[time],
            "subject": np.asarray(SUBJECTS, dtype=object)[subject],
        }
        | {name: values[cells] for name, values in columns.items()}
    )
    frame["exam_mean"] = marks.difficulty.ravel()[first]
    frame["exam_sd"] = marks.spread.ravel()[first]
    frame["slope"] = frame["exam_sd"] / frame["ref_sd"]
    return frame
