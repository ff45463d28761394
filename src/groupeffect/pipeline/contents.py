"""Fill the report's content object from an analysis and the outputs of the other steps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from groupeffect.errors import DesignError, EstimationError
from groupeffect.pipeline.study import Record
from groupeffect.pipeline.truths import true_cells
from groupeffect.report.content import (
    Estimate,
    PublicAnalysis,
    PublicStudy,
    StudyInfo,
    StudyResults,
    Table,
    Text,
)
from groupeffect.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from groupeffect.pipeline.study import Study
    from groupeffect.reform.analysis import ReformAnalysis
    from groupeffect.reform.effects import RoleEffect
    from groupeffect.reform.naive import NaiveEstimate

__all__ = ["public_study", "study_results"]

_OUTCOMES: Final = {
    "value_added": Text("value added (scores given the intake)", "增值（按生源调整后的成绩）"),
    "tested_share": Text("share of pupils tested", "参考率"),
    "satis_parent": Text("satisfaction of parents (0 to 100)", "家长满意度（0至100分）"),
    "satis_teacher": Text("satisfaction of teachers (0 to 100)", "教师满意度（0至100分）"),
    "prior_mean": Text("attainment of the intake", "入学基础"),
    "enrol": Text("enrolment", "在校生数"),
}
_TWFE: Final = Text("two-way fixed effects", "双向固定效应")
_MODIFIERS: Final = {
    "prior_mean": Text("attainment of the intake", "入学基础"),
    "disadv_share": Text("share of disadvantaged pupils", "困难学生比例"),
    "travel_min_core": Text("travel time to the core school", "到核心校的路程时间"),
}


def study_results(study: Study) -> StudyResults:
    """Everything the brief and the exhibits are made from."""
    from groupeffect.report.collect import collect_study

    analysis = study.analysis()
    roles = [effect for effect in (analysis.member, analysis.core) if effect is not None]
    main = collect_study(
        analysis,
        _info(study, roles[0]),
        naive=[item for effect in roles for item in _naive(effect)],
        source="reform",
        pupils={effect.role: _pupils(effect) for effect in roles},
        truth=_truth(study, analysis),
    )
    return replace(
        main,
        estimators=(*_twfe(roles, study.path("reform")), *_synthetic(study)),
        subgroups=_modifiers(study),
        outcomes=_outcomes(study),
        synthetic_path=_csv(study, "synthetic", "synthetic_did_figure_en.csv"),
        effect_distribution=_csv(study, "heterogeneity", "effect_distribution_figure_en.csv"),
        refuters=_refuters(study),
        refusals=(*main.refusals, *_further_refusals(study, analysis)),
    )


def _naive(effect: RoleEffect) -> list[NaiveEstimate]:
    """What other designs would have said; empty if they cannot be computed (the reform step says why)."""
    from groupeffect.pipeline.reform_steps import naive_estimates

    try:
        return naive_estimates(effect)
    except (DesignError, EstimationError):
        return []


def _further_refusals(study: Study, analysis: ReformAnalysis) -> list[Text]:
    """What the steps refused besides the questions of the analysis: outcomes, twins, other estimators."""
    asked = tuple(f"{refusal.question}: " for refusal in analysis.refusals)
    records = [Record.read(study.path(step)) for step in ("reform", "synthetic")]
    return [Text(text) for record in records if record for text in record.refused if not text.startswith(asked)]


def _info(study: Study, member: RoleEffect) -> StudyInfo:
    from groupeffect.provenance import hash_files, hash_values, package_version
    from groupeffect.reform.roles import Roles, selection_times

    about, panel = study.spec.study, study.panel()
    joined = panel.adoption[np.isfinite(panel.adoption) & (panel.adoption <= panel.times[-1])]
    picked = panel.times[selection_times(panel, Roles())]
    files = [path for path in study.data_folder.iterdir() if path.suffix == ".csv"]
    synthetic = (study.data_folder / "truth").is_dir()  # the generator writes the truth apart from the files
    return StudyInfo(
        about.name,
        Text(about.title, about.title_zh),
        Text(about.place, about.place_zh),
        Text("mean exam score", "考试平均成绩"),
        "synthetic" if synthetic else "administrative",
        int(panel.times[0]),
        int(panel.times[-1]),
        int(joined.min()),
        int(joined.max()),
        (int(member.baseline.first), int(member.baseline.last)),
        designation=(int(picked[0]), int(picked[-1])) if len(picked) else None,
        sesoi=study.reform.smallest_effect,
        spec_hash=study.spec.hash,
        data_hash=hash_values(hash_files(files, study.data_folder)),
        version=package_version(),
    )


def _pupils(effect: RoleEffect) -> int:
    """Pupils of the treated schools of a role in an average year."""
    sizes = effect.fit.panel.cell_size
    assert sizes is not None
    return int(np.nansum(np.nanmean(sizes[np.isfinite(effect.fit.design.cohort)], axis=1)))


def _twfe(roles: Iterable[RoleEffect], folder: Path) -> tuple[Estimate, ...]:
    words = {
        "member": Text("members, two-way fixed effects", "成员校，双向固定效应"),
        "core": Text("core schools, two-way fixed effects", "核心校，双向固定效应"),
    }
    return tuple(
        Estimate.of(
            Result.from_json(folder / f"{effect.role}_twfe.json"),
            f"{effect.role}.twfe",
            source=f"reform/{effect.role}_twfe.json",
            label=words[effect.role],
        )
        for effect in roles
        if (folder / f"{effect.role}_twfe.json").is_file()
    )


def _synthetic(study: Study) -> tuple[Estimate, ...]:
    words = {
        "did": Text("one group, synthetic difference-in-differences", "单个集团，合成双重差分"),
        "control": Text("one group, synthetic control", "单个集团，合成控制"),
    }
    found = []
    for name, label in words.items():
        path = study.path("synthetic", f"synthetic_{name}_overall.json")
        if path.is_file():
            source = f"synthetic/{path.name}"
            found.append(Estimate.of(Result.from_json(path), f"group.synthetic_{name}", source=source, label=label))
    return tuple(found)


def _modifiers(study: Study) -> tuple[Estimate, ...]:
    """How effects on members vary with what schools were before: best linear projection, per standard deviation."""
    path = study.path("heterogeneity", "heterogeneity.json")
    if not path.is_file():
        return ()
    result, found = Result.from_json(path), []
    for row, term in enumerate(result.index.term.tolist()):
        kind, _, name = str(term).partition(":")
        if kind != "projection" or not np.isfinite(result.estimate[row]):
            continue
        words = _MODIFIERS.get(name, Text(name, name))
        label = Text(
            f"members, difference in effect per standard deviation of {words.en}",
            f"成员校，{words.zh}每高一个标准差对应的影响差异",
        )
        source = "heterogeneity/heterogeneity.json"
        found.append(Estimate.of(result, f"member.per_sd_{name}", row=row, source=source, label=label))
    return tuple(found)


def _outcomes(study: Study) -> tuple[Estimate, ...]:
    found = []
    for outcome in study.reform.outcomes:
        path = study.path("reform", f"outcome_{outcome}.json")
        if path.is_file():
            label = _OUTCOMES.get(outcome, Text(outcome))
            result = Result.from_json(path)
            found.append(Estimate.of(result, f"outcome.{outcome}", source=f"reform/{path.name}", label=label))
    return tuple(found)


def _csv(study: Study, step: str, name: str) -> Table:
    import pandas as pd

    path = study.path(step, name)
    return Table.of(pd.read_csv(path)) if path.is_file() else Table()


def _refuters(study: Study) -> Table:
    import pandas as pd

    path = study.path("refutation", "refutations.csv")
    if not path.is_file():
        return Table()
    found = pd.read_csv(path).rename(columns={"effect": "new_estimate", "rank": "p_value"})
    return Table.of(found[["refuter", "new_estimate", "p_value", "verdict"]])


def _truth(study: Study, analysis: ReformAnalysis) -> dict[str, float]:
    """True values of the estimates of both roles; empty if the truth is not known."""
    import pandas as pd

    path = study.data_folder / "truth" / "school_year.csv"
    if not path.is_file():
        return {}
    rows = pd.read_csv(path, usecols=["school_id", "year", "tau"])
    known = rows.pivot_table(index="school_id", columns="year", values="tau")
    values = {}
    for effect in (analysis.member, analysis.core):
        if effect is None:
            continue
        panel = effect.fit.panel
        tau = known.reindex(index=panel.unit_ids, columns=panel.times.astype(int)).to_numpy(dtype=float)
        values[f"{effect.role}.overall"] = true_cells(effect, tau).average()
        values |= {f"{effect.role}.{one.pool}": true_cells(one, tau).average() for one in effect.alternatives}
    return values


def public_study(study: Study) -> PublicStudy:
    """The second study of the paper, from the outputs of its table step."""
    folder = study.outputs / str(study.spec.study.paper_with) / "table"
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    analyses = []
    for item in about["analyses"]:
        name = item["name"]
        overall = Result.from_json(folder / f"{name}_overall.json")
        path = Result.from_json(folder / f"{name}_path.json")
        twfe = Result.from_json(folder / f"{name}_twfe.json")
        analyses.append(
            PublicAnalysis(
                name,
                Text(item["title"]),
                Estimate.of(overall, f"{name}.overall", source=f"table/{name}_overall.json"),
                Table.of(path.tidy()),
                (Estimate.of(twfe, f"{name}.twfe", source=f"table/{name}_twfe.json", label=_TWFE),),
                item["caveat"],
            )
        )
    return PublicStudy(
        about["source"],
        about["outcome"],
        about["outcome_unit"],
        about["n_units"],
        about["first_time"],
        about["last_time"],
        tuple(analyses),
    )
