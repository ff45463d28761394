"""Steps that turn results into figures, the brief and the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from groupeffect.errors import SpecError

if TYPE_CHECKING:
    from groupeffect.pipeline.study import Draft, Study
    from groupeffect.report.content import Table

__all__ = ["brief", "content", "exhibits", "paper", "paper_files"]


def content(study: Study, draft: Draft) -> None:
    """Collect every number of the report in one object."""
    from groupeffect.pipeline.contents import study_results

    study_results(study).to_json(draft.folder / "study.json")


def exhibits(study: Study, draft: Draft) -> None:
    """Draw the comparison of designs; the other figures stand with the step that made their numbers."""
    from groupeffect.report.content import StudyResults
    from groupeffect.report.frames import named

    results = StudyResults.from_json(study.path("content", "study.json"))
    frame = named(results.design_comparison.frame(), "design_comparison", unit="sd", level=study.reform.level)
    draft.figure("design_comparison_figure", frame, study.spec.study.languages)


def brief(study: Study, draft: Draft) -> None:
    """Write the brief in every language of the study."""
    from groupeffect.report.brief import write_brief
    from groupeffect.report.content import StudyResults

    results = StudyResults.from_json(study.path("content", "study.json"))
    write_brief(results, draft.folder, languages=study.spec.study.languages)


def paper_files(study: Study) -> list[Path]:
    """Template, references, and the study on public data that the paper also tells."""
    other = study.outputs / str(study.spec.study.paper_with)
    if not (other / "table").is_dir():
        raise SpecError(
            f"The paper also tells the study {study.spec.study.paper_with!r}, which has not been run.",
            hint="Name its study file before this one: groupeffect run other.toml this.toml.",
        )
    return [study.root / "paper" / "paper.typ", study.root / "paper" / "refs.bib", other / "table"]


def paper(study: Study, draft: Draft) -> None:
    """Typeset the working paper."""
    from groupeffect.pipeline.contents import public_study
    from groupeffect.report.content import PaperContent, StudyResults
    from groupeffect.report.paper import build_paper

    everything = PaperContent(
        StudyResults.from_json(study.path("content", "study.json")),
        _table(study.path("size", "size.csv")),
        _table(study.path("size", "recovery.csv")),
        public_study(study),
    )
    everything.to_json(draft.folder / "paper.json")
    build_paper(draft.folder, draft.folder / "paper.pdf", source=study.root / "paper")


def _table(path: Path) -> Table:
    import pandas as pd

    from groupeffect.report.content import Table

    # "null" is the name of a scenario, not a missing value
    return Table.of(pd.read_csv(path, keep_default_na=False, na_values=[""]))
