"""Step that analyses any table: an event study, its overall effect and TWFE beside it, for each analysis declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from groupeffect.errors import SpecError

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.fitting import Fit
    from groupeffect.pipeline.spec import TableAnalysis, TableStudy
    from groupeffect.pipeline.study import Draft, Study

__all__ = ["analyse", "files"]


def files(study: Study) -> list[Path]:
    """The table."""
    spec = study.spec.table
    assert spec is not None
    path = study.root / spec.file
    if not path.is_file():
        raise SpecError(f"There is no table {spec.file}.", hint="Check [table] file, relative to the current folder.")
    return [path]


def analyse(study: Study, draft: Draft) -> None:
    """Run every analysis of a table and write its results, pictures and caveats."""
    from groupeffect.panel.files import open_table

    spec = study.spec.table
    assert spec is not None
    frame = open_table(files(study)[0]).read()
    about = {
        "source": spec.source,
        "outcome": spec.outcome,
        "outcome_unit": spec.outcome_unit,
        "n_units": int(frame[spec.unit].nunique()),
        "first_time": int(frame[spec.time].min()),
        "last_time": int(frame[spec.time].max()),
        "analyses": [item.model_dump(mode="json") for item in spec.analyses],
    }
    draft.json("about", about)
    for item in spec.analyses:
        _one(frame, spec, item, draft)


def _one(frame: pd.DataFrame, spec: TableStudy, item: TableAnalysis, draft: Draft) -> None:
    import groupeffect as ge
    from groupeffect.report.figures import event_study_frame, support_map_frame

    fitted = _fit(frame, spec, item)
    scheme = ge.by_event_time(item.first_event_time, item.last_event_time)
    path = fitted.aggregate(scheme).infer(ge.MultiplierBootstrap(by=spec.cluster, draws=spec.draws, seed=spec.seed))
    draft.result(f"{item.name}_path", path)
    analytic = ge.ClusterRobust(by=spec.cluster)
    draft.result(f"{item.name}_overall", fitted.aggregate(ge.overall()).infer(analytic))
    twfe = ge.fit(ge.did.TWFE(), fitted.panel, fitted.design)
    draft.result(f"{item.name}_twfe", twfe.infer(analytic))
    if item.caveat:
        draft.note(f"{item.name}: {item.caveat}")
    draft.figure(f"{item.name}_figure", event_study_frame(path))
    draft.figure(f"{item.name}_support", support_map_frame(fitted))


def _fit(frame: pd.DataFrame, spec: TableStudy, item: TableAnalysis) -> Fit:
    import groupeffect as ge

    used = frame
    if item.keep is not None:
        used = frame[frame[item.keep.column].isin(item.keep.one_of)]
        if used.empty:
            raise SpecError(
                f"No row of the table has {item.keep.column} in {list(item.keep.one_of)}.",
                hint="Check [table.analyses] keep.",
            )
    columns = ge.Columns(
        unit=spec.unit,
        time=spec.time,
        outcome=spec.outcome,
        cohort=item.cohort,
        never=item.never,
        weight=spec.weight,
        covariates=item.covariates,
        attributes=() if spec.cluster is None else (spec.cluster,),
        outcome_unit=spec.outcome_unit,
    )
    panel = ge.read_panel(used, columns)
    design = ge.staggered_design(panel, comparison=item.comparison, base_period=item.base_period)
    return ge.fit(ge.did.CallawaySantAnna(unbalanced="pairs"), panel, design)
