"""The whole analysis of a reform in one call: members, core schools, net effect, and what was refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from groupeffect.design.baseline import BaselineWindow
from groupeffect.errors import DesignError, EstimationError, SpecError
from groupeffect.panel.panel import Panel
from groupeffect.reform.certainty import Certainty, certainty
from groupeffect.reform.effects import RoleEffect, core_effect, member_effect
from groupeffect.reform.net import NetEffect, NetWeight, net_effect
from groupeffect.reform.roles import Roles

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ReformAnalysis", "Refusal", "analyse_reform"]

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question that the data cannot answer.

    Parameters
    ----------
    question : {"member", "member (weak)", "core", "net"}
    error : str
        Class of the error.
    reason, hint : str
        What was found, what to do.
    """

    question: str
    error: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class ReformAnalysis:
    """Answers and refusals.

    Parameters
    ----------
    member, core : RoleEffect or None
    net : NetEffect or None
    certainty : mapping of str to Certainty
        For ``"member"``, ``"core"``, and ``"net"`` (the lower of the two).
    refusals : tuple of Refusal
        Questions without an answer, with the reason.
    """

    member: RoleEffect | None
    core: RoleEffect | None
    net: NetEffect | None
    certainty: dict[str, Certainty] = field(repr=False)
    refusals: tuple[Refusal, ...] = ()

    def headline(self) -> pd.DataFrame:
        """One row per answer: estimate, interval, months, certainty, counts.

        Returns
        -------
        DataFrame
            ``question, pool, estimate, std_error, conf_low, conf_high, p_value, months, certainty, score, n_schools,
            n_groups, n_areas, base_period``.
        """
        import pandas as pd

        rows = [_row(name, answer, self) for name, answer in (("member", self.member), ("core", self.core)) if answer]
        if self.net is not None:
            rows.append(_row("net", self.net, self))
        return pd.DataFrame(rows)


def analyse_reform(
    panel: Panel,
    *,
    roles: Roles | None = None,
    baseline: BaselineWindow | None = None,
    margin: float = 0.05,
    weight: NetWeight = "enrolment",
    declared: bool = False,
    level: float = 0.95,
) -> ReformAnalysis:
    """Effects on members and core schools, the net effect, and the certainty of each, with the default comparisons.

    Parameters
    ----------
    panel : Panel
        Schools x years with the attributes of `roles`.
    roles : Roles, optional
        Names of the attributes.
    baseline : BaselineWindow, optional
        Base period; by default the years before schools were picked.
    margin : float, default 0.05
        Difference that would not matter and largest accepted harm, outcome units.
    weight : {"enrolment", "school"}, default "enrolment"
        What the net effect counts; schools if the panel has no sizes (said in the refusals).
    declared : bool, default False
        Whether the specification was declared in advance.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    ReformAnalysis
        A question that cannot be answered stands in ``refusals`` and leaves the others as they are. If weak schools
        cannot be compared with weak schools, that is a refusal, and all members are compared with schools never in a
        group instead, at the cost of a point of certainty.

    Raises
    ------
    SpecError
        If roles or attributes are wrong.
    DesignError, EstimationError
        If neither members nor core schools can be studied.
    """
    refusals: list[Refusal] = []
    errors: list[DesignError | EstimationError] = []

    def ask(question: str, answer: Callable[[], _Answer]) -> _Answer | None:
        try:
            return answer()
        except (DesignError, EstimationError) as error:
            refusals.append(Refusal(question, type(error).__name__, error.message, error.hint))
            errors.append(error)
            return None

    member = ask(
        "member (weak)", lambda: member_effect(panel, roles=roles, baseline=baseline, margin=margin, level=level)
    )
    if member is None:
        member = ask(
            "member",
            lambda: member_effect(panel, roles=roles, baseline=baseline, margin=margin, level=level, pool="all_never"),
        )
    core = ask("core", lambda: core_effect(panel, roles=roles, baseline=baseline, margin=margin, level=level))
    if member is None and core is None:
        raise errors[0]
    net = None
    if member is not None and core is not None:
        kind: NetWeight = weight
        if panel.cell_size is None and weight == "enrolment":
            kind = "school"
            text = "the panel has no number of pupils; schools are counted instead"
            refusals.append(Refusal("net", SpecError.__name__, text, 'Read it with Columns(..., cell_size="enrol").'))
        both = (member, core)
        net = ask("net", lambda: net_effect(*both, weight=kind))
    grades = {
        name: certainty(effect, declared=declared)
        for name, effect in (("member", member), ("core", core))
        if effect is not None
    }
    if net is not None:
        grades["net"] = min(grades.values(), key=lambda grade: grade.score)
    return ReformAnalysis(member, core, net, grades, tuple(refusals))


def _row(name: str, answer: RoleEffect | NetEffect, analysis: ReformAnalysis) -> dict[str, object]:
    from groupeffect.reform.magnitude import eef_months

    low, high = answer.interval
    row: dict[str, object] = {
        "question": name,
        "pool": answer.pool if isinstance(answer, RoleEffect) else answer.weight,
        "estimate": answer.estimate,
        "std_error": answer.std_error,
        "conf_low": low,
        "conf_high": high,
        "p_value": float(answer.overall.uncertainty.p_value[0]),
        "months": eef_months(answer.estimate),
        "certainty": analysis.certainty[name].label,
        "score": analysis.certainty[name].score,
    }
    if isinstance(answer, RoleEffect):
        row |= {"n_schools": answer.n_schools, "n_groups": answer.n_groups, "n_areas": answer.n_areas}
        row["base_period"] = str(answer.baseline)
    else:
        row["n_schools"] = int(answer.overall.index.n_treated[0])
    return row
