"""The study file: read and validated before any work, every fault at once."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from groupeffect.errors import SpecError, Violation
from groupeffect.provenance import hash_values

__all__ = ["StudySpec", "load_spec"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class About(_Section):
    """What the study is called and in which languages it reports."""

    name: str = Field(pattern=r"^[a-z0-9_]+$", description="Folder of the outputs")
    title: str
    title_zh: str = ""
    place: str = ""
    place_zh: str = ""
    languages: tuple[Literal["en", "zh"], ...] = ("en", "zh")
    paper_with: str | None = Field(default=None, description="Study on public data that the paper also tells")
    paper_copy: str | None = Field(default=None, description="Where a copy of the finished paper goes")
    out: str = "analyses/out"


class Generate(_Section):
    """Synthetic data instead of files."""

    scenario: str = "clean"
    n_schools: int = Field(default=1500, ge=100)
    seed: int = Field(default=2026, ge=0)
    faults: bool = True


class SchoolFiles(_Section):
    """A bureau's folder with schools.csv, scores.csv, membership.csv and crosswalk.csv."""

    folder: str | None = None
    encoding: str | None = None
    generate: Generate | None = None

    @model_validator(mode="after")
    def _one_source(self) -> SchoolFiles:
        if (self.folder is None) == (self.generate is None):
            raise ValueError("give either folder = ... or a [schools.generate] section, not both or none")
        return self


class Reform(_Section):
    """The two-sided reform analysis."""

    baseline: tuple[int, int] | None = None
    margin: float = Field(default=0.05, gt=0)
    smallest_effect: float = Field(default=0.05, gt=0)
    outcomes: tuple[str, ...] = ("value_added", "tested_share", "satis_parent")
    level: float = Field(default=0.95, gt=0.5, lt=1)


class Synthetic(_Section):
    """One group against a constructed twin."""

    group: str | None = Field(default=None, description="By default the best observed of the largest wave")
    draws: int = Field(default=200, ge=20)
    seed: int = Field(default=1, ge=0)


class Heterogeneity(_Section):
    """For whom: the learner on the doubly robust scores."""

    modifiers: tuple[str, ...] = ("prior_mean", "disadv_share")
    folds: int = Field(default=5, ge=2)
    seed: int = Field(default=1, ge=0)


class Refute(_Section):
    """The causal graph and its refuters."""

    covariates: tuple[str, ...] = ("prior_mean",)
    draws: int = Field(default=50, ge=10)
    seed: int = Field(default=1, ge=0)


class Size(_Section):
    """Size, bias and coverage of the defaults by simulation."""

    draws: int = Field(default=200, ge=10)
    n_schools: int = Field(default=1500, ge=200)
    scenarios: tuple[str, ...] = ("null", "rtm_only", "clean")
    seed: int = Field(default=1, ge=0)
    workers: int = Field(default=2, ge=1, description="Processes; results do not depend on it")


class Keep(_Section):
    """Rows of a table that an analysis uses."""

    column: str
    one_of: tuple[str | float, ...]


class TableAnalysis(_Section):
    """One staggered analysis of a table: an event study, its overall effect, and TWFE beside it."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    cohort: str
    never: tuple[float, ...] = ()
    keep: Keep | None = None
    covariates: tuple[str, ...] = ()
    comparison: Literal["not_yet_treated", "never_treated"] = "not_yet_treated"
    base_period: Literal["varying", "universal"] = "universal"
    first_event_time: int = -3
    last_event_time: int | None = None
    caveat: str = Field(default="", description="What must be said with the estimate")


class TableStudy(_Section):
    """Analyses of any table with one row per unit and time."""

    file: str
    unit: str
    time: str
    outcome: str
    outcome_unit: str = "units"
    weight: str | None = None
    cluster: str | None = None
    source: str = Field(default="", description="Where the data come from, for the paper")
    draws: int = Field(default=999, ge=99)
    seed: int = Field(default=1, ge=0)
    analyses: tuple[TableAnalysis, ...] = Field(min_length=1)


class StudySpec(_Section):
    """A whole study; see ``analyses/config/main.toml`` for an annotated example."""

    study: About
    schools: SchoolFiles | None = None
    reform: Reform | None = None
    synthetic: Synthetic | None = None
    heterogeneity: Heterogeneity | None = None
    refute: Refute | None = None
    size: Size | None = None
    table: TableStudy | None = None

    @model_validator(mode="after")
    def _needs(self) -> StudySpec:
        on_schools = [
            name for name in ("reform", "synthetic", "heterogeneity", "refute") if getattr(self, name) is not None
        ]
        if on_schools and self.schools is None:
            raise ValueError(f"[{'], ['.join(on_schools)}] need a [schools] section with the data")
        if (self.heterogeneity or self.refute or self.study.paper_with) and self.reform is None:
            raise ValueError("[heterogeneity], [refute] and study.paper_with need a [reform] section")
        return self

    @property
    def hash(self) -> str:
        """Hash of every choice; written before outcomes are read."""
        return hash_values(self.model_dump(mode="json"))


def load_spec(path: str | Path) -> StudySpec:
    """Read and validate a study file.

    Parameters
    ----------
    path : path
        A TOML file.

    Returns
    -------
    StudySpec

    Raises
    ------
    SpecError
        If the file cannot be read or any entry is wrong; all faults are listed, misspelt names with a suggestion.
    """
    source = Path(path)
    if not source.is_file():
        raise SpecError(f"There is no study file {source}.", hint="Start from analyses/config/main.toml.")
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{source} is not valid TOML: {error}.", hint="Save it as UTF-8 and check quotes.") from error
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(item) for item in error.errors()]
        raise SpecError(f"{source} has {len(faults)} faults.", violations=faults) from error


def _fault(item: Any) -> Violation:
    place = ".".join(str(part) for part in item["loc"]) or "study file"
    hint = ""
    if item["type"] == "extra_forbidden":
        *section, name = (str(part) for part in item["loc"])
        close = get_close_matches(name, _names(section), n=1)
        known = ", ".join(_names(section))
        hint = f"Did you mean {close[0]!r}?" if close else f"Known here: {known}."
    return Violation("study_file", f"{place}: {item['msg']}", hint=hint)


def _names(section: list[str]) -> list[str]:
    """Names that are allowed in a section."""
    model: Any = StudySpec
    for part in section:
        for option in getattr(model.model_fields[part].annotation, "__args__", (model.model_fields[part].annotation,)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                model = option
    return list(model.model_fields)
