"""Teachers and how many of them core schools send to members.

Three rules of the specification meet here: the export share of core schools is Beta, the dose of members is Gamma, and
what is sent equals what is received. They cannot all hold freely: a core school of some 47 teachers that sends 17 % of
its backbone teachers cannot give 12 % of their staff to 3.6 members of some 27 teachers. Export and conservation hold
exactly (up to the cap of half a member's teachers); each group's total is shared out by Gamma draws, and the mean dose
that follows is about 0.08 instead of 0.12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.simulate.components import Streams, gamma_shares
from groupeffect.simulate.parameters import MODELS, Parameters
from groupeffect.simulate.population import Population
from groupeffect.simulate.selection import CORE, MEMBER, Assignment

__all__ = ["Staff", "Transfers", "draw_staff", "transfers"]

_PUPILS_PER_TEACHER = (17.0, 15.0, 11.0)
_MAX_DOSE = 0.5
_UNIT = 0.01
_SIZE_POWER = 0.25
_EXTRA_TEACHERS = 0.6
_MANAGERS = (1.0, 0.5, 0.0)


@dataclass(frozen=True, slots=True)
class Staff:
    """Teachers on the payroll and what is sent while the member is inside.

    Parameters
    ----------
    teachers, backbone : ndarray of shape (n,)
        Teachers, and backbone teachers (county level and above) among them; fixed over the years.
    received : ndarray of shape (n,)
        Backbone FTE received in each year inside, in whole hundredths; zero for others.
    compensated : ndarray of shape (n,)
        Core schools paid for sending.
    """

    teachers: IntArray
    backbone: IntArray
    received: FloatArray
    compensated: BoolArray

    @property
    def dose(self) -> FloatArray:
        """Backbone teachers received / teachers, while inside, shape (n,)."""
        return np.asarray(self.received / self.teachers)


@dataclass(frozen=True, slots=True)
class Transfers:
    """FTE sent and received per school and year, all of shape (n, T)."""

    backbone_sent: FloatArray
    backbone_recv: FloatArray
    teachers_sent: FloatArray
    teachers_recv: FloatArray
    managers_sent: FloatArray
    managers_recv: FloatArray


def draw_staff(
    parameters: Parameters, population: Population, assignment: Assignment, standing: FloatArray, rngs: Streams
) -> Staff:
    """Draw teachers, backbone teachers, export shares and doses."""
    rng = rngs["staff"]
    pupils = np.bincount(population.section_school, weights=population.size * population.section_grades)
    ratio = np.asarray(_PUPILS_PER_TEACHER)[population.location]
    teachers = np.maximum(np.rint(pupils / ratio * np.exp(0.08 * rng.standard_normal(population.n))), 4).astype(
        np.int64
    )
    share = parameters.backbone_share + 0.04 * standing + 0.03 * rng.standard_normal(population.n)
    is_core = assignment.role == CORE
    share = np.where(is_core, parameters.core_backbone_share + 0.05 * rng.standard_normal(population.n), share)
    backbone = np.rint(teachers * np.clip(share, 0.02, 0.9)).astype(np.int64)
    backbone = np.where(is_core, np.maximum(backbone, 2), backbone)

    groups = assignment.groups
    export = np.zeros(population.n)
    export[groups.core] = rngs["export"].beta(*parameters.export_beta, groups.n)
    compensated = np.zeros(population.n, dtype=bool)
    compensated[groups.core] = rngs["export"].random(groups.n) < parameters.compensated_share
    received = np.zeros(population.n)
    member = np.flatnonzero(assignment.role == MEMBER)
    if len(member):
        group = assignment.group[member]
        sent = (export * backbone)[groups.core[group]]
        # less than proportional to size: one teacher is a large part of the staff of a small school
        size = teachers[member] ** _SIZE_POWER
        part = sent * gamma_shares(rngs["dose"], parameters.dose_shape, group, size, groups.n)
        part = np.minimum(part, _MAX_DOSE * teachers[member])
        received[member] = np.floor(part / _UNIT + 1e-9) * _UNIT
    return Staff(teachers, backbone, np.round(received, 2), compensated)


def transfers(assignment: Assignment, staff: Staff, inside: BoolArray) -> Transfers:
    """Sent and received FTE; within each group and year the sums are equal to the last hundredth.

    Parameters
    ----------
    assignment : Assignment
    staff : Staff
    inside : ndarray of shape (n, T)
        Whether the school is in its group in that year.
    """
    member = (assignment.role == MEMBER)[:, None] & inside
    model = np.where(assignment.group >= 0, assignment.groups.model[assignment.group], len(MODELS) - 1)
    backbone = np.rint(staff.received / _UNIT)[:, None] * member
    teachers = np.rint((1 + _EXTRA_TEACHERS) * staff.received / _UNIT)[:, None] * member
    managers = np.rint(np.asarray(_MANAGERS)[model] / _UNIT)[:, None] * member
    sent = [_collect(assignment, amount) for amount in (backbone, teachers, managers)]
    return Transfers(
        *(
            np.round(_UNIT * amount, 2)
            for pair in zip(sent, (backbone, teachers, managers), strict=True)
            for amount in pair
        )
    )


def _collect(assignment: Assignment, amount: FloatArray) -> FloatArray:
    """Put the sum over the members of each group on its core school."""
    groups = assignment.groups
    inside = assignment.group >= 0
    total = np.zeros((groups.n, amount.shape[1]))
    np.add.at(total, assignment.group[inside], amount[inside])
    sent = np.zeros_like(amount)
    sent[groups.core] = total
    return sent
