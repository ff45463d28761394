"""Run the steps of a study: only stale ones, with progress, and a last table of what came out."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from groupeffect.errors import GroupEffectWarning, SpecError
from groupeffect.pipeline.steps import STEPS, Step
from groupeffect.pipeline.study import Record, Study
from groupeffect.provenance import hash_files

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Outcome", "run_one", "run_step", "run_study", "show_outcomes", "verify"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step after a run."""

    step: Step
    record: Record
    status: Literal["made", "unchanged"]


def run_step(study: Study, step: Step, tell: Callable[[str], None] | None = None) -> Outcome:
    """Run one step if anything it depends on has changed."""
    key, provenance = study.key(step.name, step.sections, step.input_paths(study))
    old = Record.read(study.folder / step.name)
    if old is not None and old.key == key:
        return Outcome(step, old, "unchanged")
    draft = study.begin(step.name, tell)
    with warnings.catch_warnings():
        # what they say is in the notes of the results, and so in the step's record and the last table
        warnings.simplefilter("ignore", GroupEffectWarning)
        step.work(study, draft)
    return Outcome(step, study.finish(step.name, draft, key, provenance), "made")


def run_study(study: Study, *, console: Console) -> list[Outcome]:
    """Run all steps of a study in order, with a progress bar.

    An interrupted run is continued: finished steps are kept, an unfinished one starts again.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    steps = [step for step in STEPS if step.applies(study)]
    columns = (
        TextColumn("[bold]{task.fields[study]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    outcomes = []
    study.folder.mkdir(parents=True, exist_ok=True)
    _declare(study)
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task("", total=len(steps), study=study.spec.study.title)
        for step in steps:
            progress.update(task, description=step.title)

            def tell(text: str, title: str = step.title) -> None:
                progress.update(task, description=f"{title} ({text})")

            outcomes.append(run_step(study, step, tell))
            progress.advance(task)
        progress.update(task, description="done")
    _copy_paper(study)
    return outcomes


def _copy_paper(study: Study) -> None:
    """Put a copy of the paper where the study file says, unless its outputs were sent elsewhere."""
    target, paper = study.spec.study.paper_copy, study.path("paper", "paper.pdf")
    if target is not None and paper.is_file() and study.outputs == study.root / study.spec.study.out:
        shutil.copyfile(paper, study.root / target)


def _declare(study: Study) -> None:
    """Write the specification and its hash before any outcome is read."""
    body = {"hash": study.spec.hash, "choices": study.spec.model_dump(mode="json")}
    text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
    (study.folder / "specification.json").write_text(text, encoding="utf-8")


def show_outcomes(study: Study, outcomes: Sequence[Outcome], *, console: Console) -> None:
    """The last table: what was produced, dropped, refused."""
    from rich.table import Table

    table = Table(title=f"{study.spec.study.title} ({_short(study.folder)})", title_justify="left")
    for name in ("step", "state", "files", "dropped or uncertain", "refused"):
        table.add_column(name, overflow="fold")
    told: set[str] = set()
    for outcome in outcomes:
        record = outcome.record
        fresh = [note for note in record.notes if note not in told]
        told |= set(fresh)
        table.add_row(
            outcome.step.name, outcome.status, str(len(record.outputs)), _first(fresh), _first(record.refused)
        )
    console.print(table)
    readable = ("brief_en.html", "brief_zh.html", "paper.pdf")
    for outcome in outcomes:
        for name in outcome.record.outputs:
            if name in readable:
                console.print(f"  {_short(study.path(outcome.step.name, name))}")


def _first(texts: Sequence[str], most: int = 2) -> str:
    lines = [f"- {text}" for text in texts[:most]]
    if len(texts) > most:
        lines.append(f"- and {len(texts) - most} more in step.json")
    return "\n".join(lines)


def _short(path: Path) -> str:
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def verify(paths: Sequence[Path], *, console: Console) -> list[str]:
    """Run studies twice from nothing and list the files that differ (none if the package keeps its word)."""
    hashes = []
    with tempfile.TemporaryDirectory() as scratch:
        for attempt in ("first", "second"):
            out = Path(scratch) / attempt
            for path in paths:
                run_study(Study.open(path, out=out), console=console)
            hashes.append(hash_files([item for item in out.rglob("*") if item.is_file()], out))
    first, second = hashes
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def run_one(step: str, study_file: str | Path) -> Outcome:
    """Run one step of a study file and print what came out: what the numbered scripts in ``analyses/`` do.

    Parameters
    ----------
    step : str
        Name of the step.
    study_file : path
        A TOML file.

    Returns
    -------
    Outcome

    Raises
    ------
    SpecError
        If there is no such step, or the study file does not ask for it.
    """
    from rich.console import Console

    study = Study.open(study_file)
    asked = [item for item in STEPS if item.applies(study)]
    found = [item for item in asked if item.name == step]
    if not found:
        names = ", ".join(item.name for item in asked)
        raise SpecError(f"{study_file} does not ask for the step {step!r}.", hint=f"Its steps: {names}.")
    study.folder.mkdir(parents=True, exist_ok=True)
    _declare(study)
    outcome = run_step(study, found[0])
    show_outcomes(study, [outcome], console=Console())
    return outcome
