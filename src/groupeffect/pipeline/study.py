"""A study on disk: where its outputs stand, which of them are stale, what a step wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groupeffect.design.baseline import BaselineWindow, baseline_window
from groupeffect.errors import SpecError
from groupeffect.pipeline.spec import Reform, StudySpec, load_spec
from groupeffect.provenance import hash_file, hash_files, hash_values, package_hash, package_version

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.panel.panel import Panel
    from groupeffect.panel.school_files import SchoolData
    from groupeffect.reform.analysis import ReformAnalysis
    from groupeffect.reform.effects import RoleEffect
    from groupeffect.reform.roles import MemberPool
    from groupeffect.report.plain import Language
    from groupeffect.result import Result

__all__ = ["Draft", "Record", "Study"]

RECORD = "step.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What a finished step left behind.

    Parameters
    ----------
    step : str
        Name of the step.
    key : str
        Hash of everything that went in; a step with the same key need not run again.
    outputs : mapping of str to str
        Hash of each file, by path in the step's folder.
    notes : tuple of str
        What was dropped or uncertain.
    refused : tuple of str
        What was not estimated, and why.
    provenance : mapping
        Specification hash, hashes of inputs, version.
    """

    step: str
    key: str
    outputs: Mapping[str, str]
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Record of a step's folder; None if the step never finished or a file was changed since."""
        path = folder / RECORD
        if not path.is_file():
            return None
        body = json.loads(path.read_text(encoding="utf-8"))
        body |= {name: tuple(body[name]) for name in ("notes", "refused")}
        record = cls(**body)
        intact = all(_is_intact(folder / name, value) for name, value in record.outputs.items())
        return record if intact else None

    def write(self, folder: Path) -> None:
        """Write the record beside the outputs."""
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}
        (folder / RECORD).write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_intact(path: Path, value: str) -> bool:
    return path.is_file() and hash_file(path) == value


class Draft:
    """Folder of a step while it runs; it takes the place of the old one only when the step is done."""

    def __init__(self, folder: Path, tell: Callable[[str], None] | None = None) -> None:
        self.folder = folder
        self._tell = tell
        self.notes: list[str] = []
        self.refused: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)

    def tell(self, text: str) -> None:
        """Say how far a long step is, for the progress bar."""
        if self._tell is not None:
            self._tell(text)

    def note(self, *texts: str) -> None:
        """Remember what a reader must know."""
        self.notes += [text for text in texts if text not in self.notes]

    def refuse(self, what: str, why: str) -> None:
        """Remember what was not estimated."""
        self.refused.append(f"{what}: {why}")

    def result(self, name: str, result: Result) -> None:
        """Write a result as JSON and its tidy table."""
        result.to_json(self.folder / f"{name}.json")
        self.table(name, result.tidy())
        self.note(*result.notes)

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table as CSV and Markdown."""
        from groupeffect.report.tables import write_table

        write_table(frame, self.folder / name)

    def figure(self, name: str, frame: pd.DataFrame, languages: Sequence[Language] = ("en",)) -> None:
        """Draw a figure's frame: SVG, PDF, the data, and the words for those who cannot see it, in each language."""
        from groupeffect.report.figures import alt_text, figure_of, save_figure

        for language in languages:
            stem = self.folder / f"{name}_{language}"
            save_figure(figure_of(frame, language=language), stem, frame)
            stem.with_suffix(".txt").write_text(alt_text(frame, language=language) + "\n", encoding="utf-8")

    def json(self, name: str, body: Mapping[str, Any]) -> None:
        """Write plain values as JSON."""
        text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
        (self.folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")

    def text(self, name: str, text: str) -> None:
        """Write a text file; `name` has the suffix."""
        (self.folder / name).write_text(text, encoding="utf-8")


class Study:
    """A specification with its folder of outputs.

    Parameters
    ----------
    spec : StudySpec
        Choices.
    root : path
        Folder that relative paths of the specification start from (the current folder by default).
    out : path, optional
        Folder of the outputs instead of the specification's.
    """

    def __init__(self, spec: StudySpec, root: Path | None = None, out: Path | None = None) -> None:
        self.spec = spec
        self.root = Path.cwd() if root is None else root
        self.outputs = out or self.root / spec.study.out
        self.folder = self.outputs / spec.study.name
        self._schools: SchoolData | None = None
        self._analysis: ReformAnalysis | None = None

    @classmethod
    def open(cls, path: str | Path, *, out: Path | None = None) -> Study:
        """Study of a TOML file.

        Raises
        ------
        SpecError
            See :func:`load_spec`.
        """
        return cls(load_spec(path), out=out)

    @property
    def data_folder(self) -> Path:
        """Folder with the school files."""
        schools = self.spec.schools
        if schools is None:
            raise SpecError("This study has no [schools] section.", hint="Add one to the study file.")
        if schools.folder is None:
            return self.folder / "data"
        return self.root / schools.folder

    def schools(self) -> SchoolData:
        """The school files, read and joined once."""
        if self._schools is None:
            from groupeffect.panel.school_files import read_school_files

            assert self.spec.schools is not None
            self._schools = read_school_files(self.data_folder, encoding=self.spec.schools.encoding)
        return self._schools

    @property
    def reform(self) -> Reform:
        """The [reform] section."""
        if self.spec.reform is None:
            raise SpecError("This study has no [reform] section.", hint="Add one to the study file.")
        return self.spec.reform

    @property
    def baseline(self) -> BaselineWindow | None:
        """Baseline window of the study file; None = the years before schools were picked."""
        window = self.reform.baseline
        return None if window is None else baseline_window(*window)

    def panel(self) -> Panel:
        """Schools x years of the standardised score."""
        return self.schools().panel()

    def analysis(self) -> ReformAnalysis:
        """Members, core schools and net effect with the default comparisons, computed once."""
        if self._analysis is None:
            from groupeffect.reform import analyse_reform

            options = self.reform
            self._analysis = analyse_reform(
                self.panel(), baseline=self.baseline, margin=options.margin, declared=True, level=options.level
            )
        return self._analysis

    def member_on(self, outcome: str, *, pool: MemberPool | None = None) -> RoleEffect:
        """Effect on members of another outcome, or against another pool."""
        from groupeffect.reform import member_effect

        main = self.analysis().member
        chosen: MemberPool = pool or ("all_never" if main is None or main.pool == "all_never" else "weak")
        panel = self.schools().panel(outcome)
        return member_effect(
            panel, baseline=self.baseline, pool=chosen, margin=self.reform.margin, level=self.reform.level
        )

    def key(self, step: str, sections: Sequence[str], inputs: Sequence[Path]) -> tuple[str, dict[str, Any]]:
        """Hash of everything a step depends on, and the same readable."""
        choices = {
            name: part.model_dump(mode="json") for name in sections if (part := getattr(self.spec, name)) is not None
        }
        found: dict[str, str] = {}
        for path in inputs:
            files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
            base = path.parent
            found |= {f"{base.name}/{name}": value for name, value in hash_files(files, base).items()}
        provenance = {
            "step": step,
            "specification": self.spec.hash,
            "choices": choices,
            "inputs": found,
            "package": {"version": package_version(), "source": package_hash()},
        }
        return hash_values({key: value for key, value in provenance.items() if key != "specification"}), provenance

    def path(self, step: str, name: str = "") -> Path:
        """A file of a finished step."""
        return self.folder / step / name

    def begin(self, step: str, tell: Callable[[str], None] | None = None) -> Draft:
        """Empty folder to write a step's outputs into."""
        draft = self.folder / f".{step}.unfinished"
        shutil.rmtree(draft, ignore_errors=True)
        return Draft(draft, tell)

    def finish(self, step: str, draft: Draft, key: str, provenance: Mapping[str, Any]) -> Record:
        """Record a step's outputs and put them in place."""
        files = [path for path in draft.folder.rglob("*") if path.is_file()]
        record = Record(
            step, key, hash_files(files, draft.folder), tuple(draft.notes), tuple(draft.refused), dict(provenance)
        )
        record.write(draft.folder)
        final = self.folder / step
        shutil.rmtree(final, ignore_errors=True)
        draft.folder.rename(final)
        return record
