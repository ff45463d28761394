r"""The truth of a synthetic reform, and its aggregates with the exact weights of the estimators.

The causal outcome is the school-year mean over subjects and grades. Its unit is that of the data which the truth came
with: the pupil SD of the reference population (``unit="reference"``, after the reader standardised the files) or of
the whole population (``unit="latent"``, the fast panel). Both differ by a factor between 1.00 and 1.08; see
:mod:`groupeffect.simulate.marks`.

Weights: a cell (g, t) is the plain (or weighted) mean of the effect over the schools of cohort g that are used at t.
Aggregates weight the cells by the cohort share :math:`p_g`, the (weighted) number of used schools in the cohort, as
Callaway and Sant'Anna (2021) do; so ``ATT(e) = sum_g p_g ATT(g, g + e) / sum_g p_g`` over the cohorts seen at e.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import pandas as pd

from groupeffect._types import AnyArray, BoolArray, FloatArray
from groupeffect.errors import SpecError
from groupeffect.simulate.marks import Scale
from groupeffect.simulate.parameters import SUBJECTS
from groupeffect.simulate.world import ROLES, World

if TYPE_CHECKING:
    Units: TypeAlias = Sequence[str] | AnyArray | pd.Series | pd.DataFrame | None

__all__ = ["Truth", "make_truth"]

Effect: TypeAlias = Literal["total", "direct", "intake", "ring"]
Over: TypeAlias = Literal["cells", "cohort", "event_time", "calendar_time"]
Unit: TypeAlias = Literal["latent", "reference"]


@dataclass(frozen=True, slots=True)
class Truth:
    """True effects of one draw.

    Parameters
    ----------
    scenario : str
        Scenario of the draw.
    world : World
        The draw itself.
    unit : {"latent", "reference"}
        Scale of everything below.
    direct, intake, ring : ndarray of shape (n, T)
        Effect on learning, through intake, on neighbours; they add up to the total effect.
    tau_subject : ndarray of shape (n, T, 3)
        Total effect per subject.
    y0, noise : ndarray of shape (n, T)
        Expected score without the reform, and sampling noise: score = y0 + total + noise.
    labels : mapping of str to ndarray of shape (n,)
        ``school_id``, ``county_id``, ``location``, ``stage``, ``role``, ``group_id``, ``model``, ...
    """

    scenario: str
    world: World
    unit: Unit
    direct: FloatArray
    intake: FloatArray
    ring: FloatArray
    tau_subject: FloatArray
    y0: FloatArray
    noise: FloatArray
    labels: Mapping[str, AnyArray]

    @property
    def tau(self) -> FloatArray:
        """Total effect per school and year, shape (n, T)."""
        return np.asarray(self.direct + self.intake + self.ring)

    @property
    def event_time(self) -> FloatArray:
        """Years since joining, shape (n, T); nan for schools never in a group."""
        cohort = self.world.assignment.cohort
        known = np.where(np.isfinite(cohort), cohort, np.nan)
        return np.asarray(self.world.years - known[:, None])

    def effect(self, name: Effect = "total") -> FloatArray:
        """Total effect or one of its parts, shape (n, T)."""
        parts = {"total": self.tau, "direct": self.direct, "intake": self.intake, "ring": self.ring}
        if name not in parts:
            raise SpecError(f"There is no effect {name!r}.", hint="Use 'total', 'direct', 'intake' or 'ring'.")
        return parts[name]

    def school_year(self) -> pd.DataFrame:
        """Truth of every school-year, keyed by the final stable school id.

        Returns
        -------
        DataFrame
            ``school_id, year, county_id, location, stage, role, group_id, model, cohort, exit_year, event_time,
            inside, exposed, compensated, dose, export_share, pupils, enrol, y0, noise, tau, tau_direct, tau_intake,
            tau_ring, tau_chinese, tau_math, tau_english, tau_satisfaction``. `role` is the role at any time in the
            panel; `cohort` and `exit_year` are empty if never; `pupils` is the fixed weight.
        """
        world, n_years = self.world, len(self.world.years)
        assignment, treatment = world.assignment, world.treatment
        data: dict[str, AnyArray] = {"school_id": np.repeat(self.labels["school_id"], n_years)}
        data["year"] = np.tile(world.years, world.population.n)
        for name in ("county_id", "location", "stage", "role", "group_id", "model"):
            data[name] = np.repeat(self.labels[name], n_years)
        data["cohort"] = np.repeat(_or_nan(assignment.cohort), n_years)
        data["exit_year"] = np.repeat(_or_nan(assignment.exit), n_years)
        data["event_time"] = self.event_time.ravel()
        data["compensated"] = np.repeat(world.staff.compensated, n_years)
        data["pupils"] = np.repeat(world.pupils, n_years)
        grids = {
            "inside": treatment.inside,
            "exposed": treatment.exposed,
            "dose": treatment.dose,
            "export_share": treatment.export,
            "enrol": world.enrol,
            "y0": self.y0,
            "noise": self.noise,
            "tau": self.tau,
            "tau_direct": self.direct,
            "tau_intake": self.intake,
            "tau_ring": self.ring,
        }
        grids |= {f"tau_{name}": self.tau_subject[:, :, k] for k, name in enumerate(SUBJECTS)}
        grids["tau_satisfaction"] = treatment.satisfaction
        data |= {name: grid.ravel() for name, grid in grids.items()}
        frame = pd.DataFrame(data)
        for name in ("cohort", "exit_year", "event_time"):
            frame[name] = frame[name].astype("Int64")
        return frame[world.present.ravel()].reset_index(drop=True)

    def used(self, role: str, units: Units = None, *, include_new: bool = False) -> BoolArray:
        """School-years of a role that count, shape (n, T).

        Parameters
        ----------
        role : {"member", "core"}
        units : sequence of str, Series or DataFrame, optional
            School ids, or a table with ``school_id`` and ``year``: exactly the school-years an estimator used. All
            school-years with an exam score by default.
        include_new : bool, default False
            Also newly built members, which have no year before they join.
        """
        world = self.world
        if role not in ("member", "core"):
            raise SpecError(
                f"Effects exist for members and core schools, not for {role!r}.", hint='Use "member" or "core".'
            )
        mask = world.examined & (world.assignment.role == ROLES.index(role))[:, None]
        if not include_new:
            mask &= ~world.population.is_new[:, None]
        if units is None:
            return np.asarray(mask)
        position = pd.Index(self.labels["school_id"])
        if isinstance(units, pd.DataFrame):
            allowed = np.zeros(mask.shape, dtype=bool)
            rows = position.get_indexer(pd.Index(units["school_id"]))
            columns = pd.Index(world.years).get_indexer(pd.Index(units["year"]))
            known = (rows >= 0) & (columns >= 0)
            allowed[rows[known], columns[known]] = True
            return np.asarray(mask & allowed)
        rows = position.get_indexer(pd.Index(np.unique(np.asarray(units, dtype=object))))
        chosen = np.zeros(len(position), dtype=bool)
        chosen[rows[rows >= 0]] = True
        return np.asarray(mask & chosen[:, None])

    def att_gt(
        self,
        role: str = "member",
        units: Units = None,
        *,
        effect: Effect = "total",
        weight: AnyArray | None = None,
        include_new: bool = False,
    ) -> pd.DataFrame:
        """Average the true effect in every cohort and year.

        Parameters
        ----------
        role, units, include_new
            See :meth:`used`.
        effect : {"total", "direct", "intake", "ring"}, default "total"
            What is averaged. Estimators on raw means recover the total, on value added the direct effect.
        weight : ndarray of shape (n,), optional
            Weights of the schools, for example ``truth.world.pupils``; equal by default.

        Returns
        -------
        DataFrame
            ``cohort, time, event_time, estimate, n_treated, share``: n_treated schools used in the cell; share is the
            (weighted) number of used schools in the cohort, over all cohorts.
        """
        used = self.used(role, units, include_new=include_new)
        weights = np.ones(len(used)) if weight is None else np.asarray(weight, dtype=float)
        return _cells(self, used, self.effect(effect), weights)

    def att_event_time(
        self,
        role: str = "member",
        lo: int | None = None,
        hi: int | None = None,
        units: Units = None,
        *,
        effect: Effect = "total",
        weight: AnyArray | None = None,
    ) -> pd.DataFrame:
        """Average the true effect by years since joining; cohorts weighted by their share.

        Returns
        -------
        DataFrame
            ``event_time, estimate, n_treated``.
        """
        cells = self.att_gt(role, units, effect=effect, weight=weight)
        if lo is not None:
            cells = cells[cells["event_time"] >= lo]
        if hi is not None:
            cells = cells[cells["event_time"] <= hi]
        return _average(cells, "event_time")

    def overall(
        self,
        role: str = "member",
        units: Units = None,
        *,
        over: Over = "cells",
        effect: Effect = "total",
        weight: AnyArray | None = None,
    ) -> pd.DataFrame:
        """One average effect since joining; `over` as in ``ge.overall``.

        Returns
        -------
        DataFrame
            One row: ``term, estimate, n_treated``.
        """
        cells = self.att_gt(role, units, effect=effect, weight=weight)
        post = cells[cells["event_time"] >= 0]
        schools = int(post.groupby("cohort")["n_treated"].max().sum())
        return pd.DataFrame({"term": ["att"], "estimate": [_overall(post, over)], "n_treated": [schools]})


def _or_nan(year: FloatArray) -> FloatArray:
    return np.where(np.isfinite(year), year, np.nan)


def _cells(truth: Truth, used: BoolArray, effect: FloatArray, weight: FloatArray) -> pd.DataFrame:
    world = truth.world
    cohort = np.where(used.any(axis=1), world.assignment.cohort, np.nan)
    starts = np.unique(cohort[np.isfinite(cohort)])
    total = weight[np.isfinite(cohort)].sum()
    rows: list[dict[str, float]] = []
    for start in starts:
        mine = cohort == start
        share = float(weight[mine].sum() / total)
        load = weight[mine][:, None] * used[mine]
        mass = load.sum(axis=0)
        value = (load * effect[mine]).sum(axis=0)
        rows += [
            {
                "cohort": int(start),
                "time": int(world.years[t]),
                "event_time": int(world.years[t] - start),
                "estimate": float(value[t] / mass[t]),
                "n_treated": int(used[mine, t].sum()),
                "share": share,
            }
            for t in np.flatnonzero(mass > 0)
        ]
    return pd.DataFrame(rows, columns=["cohort", "time", "event_time", "estimate", "n_treated", "share"])


def _average(cells: pd.DataFrame, by: str) -> pd.DataFrame:
    """Share-weighted mean of the cells with the same key."""
    loaded = cells.assign(estimate=cells["estimate"] * cells["share"])
    grouped = loaded.groupby(by, as_index=False)[["estimate", "share", "n_treated"]].sum()
    grouped["estimate"] = grouped["estimate"] / grouped["share"]
    return grouped[[by, "estimate", "n_treated"]]


def _overall(post: pd.DataFrame, over: Over) -> float:
    if post.empty:
        return float("nan")
    if over == "cells":
        return float(np.average(post["estimate"], weights=post["share"]))
    if over == "cohort":
        cohorts = post.groupby("cohort")[["estimate", "share"]].mean()
        return float(np.average(cohorts["estimate"], weights=cohorts["share"]))
    if over == "event_time":
        return float(_average(post, "event_time")["estimate"].mean())
    if over == "calendar_time":
        return float(_average(post, "time")["estimate"].mean())
    raise SpecError(f"over={over!r} is unknown.", hint="Use 'cells', 'cohort', 'event_time' or 'calendar_time'.")


def make_truth(scenario: str, world: World, scale: Scale | None = None) -> Truth:
    """Truth of a draw on the latent scale, or on the reference scale of the files.

    Parameters
    ----------
    scenario : str
    world : World
    scale : Scale, optional
        How latent scores become standardised ones; the latent scale if not given.
    """
    treatment, base = world.treatment, world.base
    subject = np.asarray(world.parameters.subject_multiplier)
    other = treatment.intake + treatment.ring
    if scale is None:
        slope: FloatArray = np.ones((*treatment.direct.shape, len(SUBJECTS)))
        y0, noise = base.mean, base.school_noise(world.population)
    else:
        slope, noise = scale.slope, scale.noise
        level = base.alpha[:, None, :] + base.common[:, :, None]
        y0 = (scale.intercept + slope * level).mean(axis=2)
    mean_slope = slope.mean(axis=2)
    return Truth(
        scenario,
        world,
        "latent" if scale is None else "reference",
        treatment.direct * (slope * subject).mean(axis=2),
        treatment.intake * mean_slope,
        treatment.ring * mean_slope,
        slope * (treatment.direct[:, :, None] * subject + other[:, :, None]),
        y0,
        noise,
        world.labels(),
    )
