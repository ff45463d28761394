"""The steps of a study, in order: what each needs, when it applies, which function does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from groupeffect.pipeline import data_steps, reform_steps, report_steps, size_steps, table_steps
from groupeffect.pipeline.study import Draft, Study

__all__ = ["STEPS", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a study.

    Parameters
    ----------
    name : str
        Name, and folder of its outputs.
    title : str
        What the progress bar says.
    work : callable
        Does it: reads the study, writes into a draft folder.
    sections : tuple of str
        Sections of the study file that it depends on; the first must be present for the step to apply.
    after : tuple of str
        Steps whose outputs it reads.
    files : callable, optional
        Input files outside the study's folder.
    """

    name: str
    title: str
    work: Callable[[Study, Draft], None]
    sections: tuple[str, ...]
    after: tuple[str, ...] = ()
    files: Callable[[Study], list[Path]] | None = None

    def applies(self, study: Study) -> bool:
        """Whether the study file asks for it."""
        section = getattr(study.spec, self.sections[0])
        if self.name == "data":
            return section is not None and section.generate is not None
        if self.name == "paper":
            return study.spec.study.paper_with is not None
        return section is not None

    def input_paths(self, study: Study) -> list[Path]:
        """Everything it reads."""
        paths = [study.path(name) for name in self.after if study.path(name).exists()]
        return paths + (self.files(study) if self.files is not None else [])


def _school_files(study: Study) -> list[Path]:
    return [study.data_folder] if study.data_folder.exists() else []


STEPS: tuple[Step, ...] = (
    Step("data", "generating the synthetic reform", data_steps.generate, ("schools",)),
    Step("validation", "validating the files", data_steps.validate, ("schools",), files=_school_files),
    Step("table", "analysing the table", table_steps.analyse, ("table",), files=table_steps.files),
    Step(
        "reform", "members, core schools, net effect", reform_steps.estimate, ("reform", "schools"), files=_school_files
    ),
    Step(
        "synthetic", "one group against its twin", reform_steps.synthetic, ("synthetic", "reform"), files=_school_files
    ),
    Step(
        "heterogeneity",
        "for whom: doubly robust scores",
        reform_steps.heterogeneity,
        ("heterogeneity", "reform"),
        files=_school_files,
    ),
    Step("refutation", "causal graph and refuters", reform_steps.refute, ("refute", "reform"), files=_school_files),
    Step("size", "size and coverage by simulation", size_steps.operating_characteristics, ("size", "reform")),
    Step(
        "content",
        "collecting results",
        report_steps.content,
        ("reform", "study", "schools"),
        after=("data", "validation", "reform", "synthetic", "heterogeneity", "refutation"),
    ),
    Step("exhibits", "drawing figures", report_steps.exhibits, ("reform", "study"), after=("content",)),
    Step("brief", "writing the brief", report_steps.brief, ("reform", "study"), after=("content",)),
    Step(
        "paper",
        "typesetting the paper",
        report_steps.paper,
        ("reform", "study", "size"),
        after=("content", "size"),
        files=report_steps.paper_files,
    ),
)
"""Every step, in the order in which they run."""
