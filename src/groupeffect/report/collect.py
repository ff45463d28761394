"""From the analysis of a reform to the report's input: the usual way to fill :class:`StudyResults`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from groupeffect.errors import ReportError
from groupeffect.report.content import (
    Certainty,
    Estimate,
    Horizon,
    NonInferiority,
    RoleResults,
    StudyInfo,
    StudyResults,
)
from groupeffect.report.frames import design_comparison_frame, missingness_frame, support_map_frame
from groupeffect.report.plain import Table, Text

if TYPE_CHECKING:
    from groupeffect.reform.analysis import ReformAnalysis, Refusal
    from groupeffect.reform.effects import RoleEffect
    from groupeffect.reform.naive import NaiveEstimate
    from groupeffect.result import Result

__all__ = ["collect_study"]

_QUESTIONS: Final = {
    "member (weak)": Text("Weak members against weak schools", "薄弱成员校与薄弱学校比较"),
    "member": Text("Members", "成员校"),
    "core": Text("Core schools", "核心校"),
    "net": Text("Members and core schools together", "集团整体"),
}


def collect_study(
    analysis: ReformAnalysis,
    info: StudyInfo,
    *,
    naive: Sequence[NaiveEstimate] = (),
    source: str = "",
    pupils: Mapping[str, int] | None = None,
    truth: Mapping[str, float] | None = None,
) -> StudyResults:
    """Collect the analysis of a reform for the report.

    Further results (other estimators, subgroups, figures of other methods) are added with ``dataclasses.replace``.

    Parameters
    ----------
    analysis : ReformAnalysis
        From :func:`groupeffect.reform.analyse_reform`.
    info : StudyInfo
        What was studied.
    naive : sequence of NaiveEstimate
        What other designs would have said, for the figure of designs.
    source : str
        Folder of the results files, recorded behind every number.
    pupils : mapping of str to int, optional
        Pupils behind "member" and "core".
    truth : mapping of str to float, optional
        Synthetic data: true values by key ("member.overall", "core.overall", "net.overall").

    Returns
    -------
    StudyResults

    Raises
    ------
    ReportError
        If the effect on members was refused: there is nothing to write a brief about; the reasons are listed.
    """
    member, core, net = analysis.member, analysis.core, analysis.net
    if member is None:
        reasons = "; ".join(f"{refusal.question}: {refusal.reason}" for refusal in analysis.refusals)
        raise ReportError(f"The effect on members was not estimated ({reasons}).", hint="See what each refusal needs.")
    counts = pupils or {}
    grades = {name: Certainty.of(grade) for name, grade in analysis.certainty.items()}
    place = f"{source}/" if source else ""
    found = None if core is None else core.non_inferiority
    return StudyResults(
        info=info,
        member=RoleResults.of(member, grades["member"], source=source, n_pupils=counts.get("member")),
        core=None if core is None else RoleResults.of(core, grades["core"], source=source, n_pupils=counts.get("core")),
        net=None if net is None else Estimate.of(net.overall, "net.overall", source=f"{place}net_overall.json"),
        net_certainty=None if net is None else grades["net"],
        non_inferiority=None if found is None else NonInferiority.of(found, source=f"{place}core_non_inferiority.json"),
        horizon=Horizon.of(member.support, source=f"{place}member_support.csv"),
        support=Table.of(support_map_frame(member.support)),
        design_comparison=_designs(member, core, naive, truth or {}),
        missingness=Table.of(missingness_frame(member.fit.panel)),
        baseline=_balance(member, core),
        attrition=_attrition(member, core),
        history=_history(member, core),
        refusals=tuple(_refusal(refusal) for refusal in analysis.refusals),
        truth=Table(("key", "value"), tuple((truth or {}).items())),
    )


def _refusal(refusal: Refusal) -> Text:
    name = _QUESTIONS.get(refusal.question, Text(refusal.question))
    return Text(f"{name.en}: {refusal.reason}", f"{name.zh}：{refusal.reason}")


def _designs(
    member: RoleEffect, core: RoleEffect | None, naive: Sequence[NaiveEstimate], truth: Mapping[str, float]
) -> Table:
    if not naive:
        return Table()
    results: dict[tuple[str, str], Result] = {(item.role, item.kind): item.result for item in naive}
    keys = {"core": "core.overall"}
    if core is not None:
        results[("core", "pre_designation")] = core.overall
    results[("member", "pre_designation")], keys["member"] = _same_schools(member, naive)
    frame = design_comparison_frame(results)
    if truth:
        frame["true_value"] = [truth.get(keys[str(role)], float("nan")) for role in frame["role"]]
    return Table.of(frame)


def _same_schools(member: RoleEffect, naive: Sequence[NaiveEstimate]) -> tuple[Result, str]:
    """Find the member estimate whose schools the naive ones are about, and its key."""
    n = {int(item.result.index.n_treated[0]) for item in naive if item.role == "member"}
    for effect in member.alternatives:
        if int(effect.overall.index.n_treated[0]) in n and int(member.overall.index.n_treated[0]) not in n:
            return effect.overall, f"member.{effect.pool}"
    return member.overall, "member.overall"


def _balance(member: RoleEffect, core: RoleEffect | None) -> Table:
    import pandas as pd

    roles = [effect for effect in (member, core) if effect is not None]
    return Table.of(pd.DataFrame([{"role": effect.role, **asdict(row)} for effect in roles for row in effect.balance]))


def _attrition(member: RoleEffect, core: RoleEffect | None) -> Table:
    import pandas as pd

    roles = [effect for effect in (member, core) if effect is not None]
    frame = pd.DataFrame([{"role": effect.role, **asdict(effect.attrition)} for effect in roles])
    return Table.of(frame.rename(columns={"n_treated": "cells_treated", "n_comparison": "cells_comparison"}))


def _history(member: RoleEffect, core: RoleEffect | None) -> Table:
    """List what left the data on the way, and what the comparison of each role leaves out."""
    import pandas as pd

    nan = float("nan")
    rows: list[tuple[str, str, float, float]] = [
        (drop.step, drop.reason, drop.rows, drop.units) for drop in member.fit.panel.history if drop.rows or drop.units
    ]
    for effect in (member, core):
        if effect is not None:
            rows += [(effect.role, note, nan, nan) for note in effect.fit.design.notes]
    return Table.of(pd.DataFrame(rows, columns=["step", "reason", "rows", "units"]))
