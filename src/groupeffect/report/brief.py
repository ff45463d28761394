"""The brief: two pages and an annex, as one HTML file per language that needs nothing else to be read.

Every text from data is escaped, every number carries an id and its source, every figure has words and a table behind
it, and before anything is written the sentences are searched for words that the report may not use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groupeffect.errors import ReportError
from groupeffect.report.brief_content import Box, BriefContent, Picture, brief_content
from groupeffect.report.content import StudyResults
from groupeffect.report.findings import Finding
from groupeffect.report.locale import LANGUAGES, phrases
from groupeffect.report.numbers import Number, format_number
from groupeffect.report.plain import Language
from groupeffect.report.tables import SMALL_CELL, display
from groupeffect.report.verdicts import forbidden_words

if TYPE_CHECKING:
    import os

    import pandas as pd
    from markupsafe import Markup

__all__ = ["BriefContent", "brief_content", "render_brief", "write_brief"]


def write_brief(
    study: StudyResults, folder: str | os.PathLike[str], *, languages: Sequence[Language] = LANGUAGES
) -> tuple[Path, ...]:
    """Write the brief of a study in every language, and where its numbers come from.

    Parameters
    ----------
    study : StudyResults
        Results and declared rules.
    folder : path
        Made if needed.
    languages : sequence of {"en", "zh"}, default both
        Languages.

    Returns
    -------
    tuple of Path
        ``brief_en.html``, ``brief_zh.html`` and ``numbers.json``: the sentences with their verdicts, and each number by
        id with its value and source.

    Raises
    ------
    ReportError
        See :func:`brief_content` and :func:`render_brief`.
    """
    content = brief_content(study)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    written = []
    for language in languages:
        path = place / f"brief_{language}.html"
        path.write_text(render_brief(content, language), encoding="utf-8", newline="\n")
        written.append(path)
    record = place / "numbers.json"
    text = json.dumps(_record(content), indent=1, ensure_ascii=False)
    record.write_text(text + "\n", encoding="utf-8", newline="\n")
    return (*written, record)


def _record(content: BriefContent) -> dict[str, Any]:
    sentences = [
        {
            "key": finding.key,
            "verdict": finding.verdict,
            "numbers": [number.id for number in finding.numbers],
            **{language: finding.text(language) for language in LANGUAGES},
        }
        for finding in content.findings()
    ]
    numbers = {
        number.id: {"value": number.value, "kind": number.kind, "source": number.source} for number in content.numbers
    }
    return {"sentences": sentences, "numbers": numbers}


def render_brief(content: BriefContent, language: Language) -> str:
    """Brief in one language as a whole HTML page.

    Parameters
    ----------
    content : BriefContent
        From :func:`brief_content`.
    language : {"en", "zh"}
        Language.

    Returns
    -------
    str

    Raises
    ------
    ReportError
        If a sentence has a word that the report may not use.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    for finding in content.findings():
        bad = forbidden_words(finding.text(language), language)
        if bad:
            raise ReportError(f"Sentence {finding.key!r} says {', '.join(map(repr, bad))}, which no brief may say.")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    folder = files("groupeffect.report").joinpath("templates")
    template = environment.from_string(folder.joinpath("brief.html.jinja").read_text(encoding="utf-8"))
    page = _Page(content, language).view()
    page["css"] = Markup(folder.joinpath("brief.css").read_text(encoding="utf-8").strip())
    html = template.render(page=page)
    if language == "zh":
        html = html.replace("</style>", _font_face(html) + "</style>", 1)
    return re.sub(r"\n\s*\n+", "\n", html).strip() + "\n"


def _font_face(html: str) -> str:
    from groupeffect.report.fonts import font_data_url

    visible = re.sub(r"<svg.*?</svg>|<style.*?</style>", "", html, flags=re.DOTALL)
    return f'@font-face {{ font-family: "Brief Sans"; src: url("{font_data_url(visible)}") format("woff"); }}\n'


@dataclass(frozen=True, slots=True)
class _View:
    """A table as the template needs it."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]
    note: str = ""


class _Page:
    """One brief in one language, laid out."""

    def __init__(self, content: BriefContent, language: Language) -> None:
        self.content, self.language = content, language
        self.words = phrases(language)
        self._seen: set[str] = set()
        self._figures = 0

    def view(self) -> dict[str, Any]:
        """Everything the template shows."""
        info = self.content.study.info
        colon = self.words["language.semicolon"]
        badge = {"synthetic": "ui.synthetic_badge", "public": "ui.public_badge"}.get(info.data_kind)
        title_text = colon.join(finding.text(self.language) for finding in self.content.title)
        return {
            "tag": self.words["language.tag"],
            "version": info.version,
            "words": self.words,
            "title_text": title_text,
            "title": self.join(self.content.title, colon),
            "name": info.title.of(self.language),
            "place": info.place.of(self.language),
            "badge": None if badge is None else self.words[badge],
            "synthetic": self.words["caveat.synthetic"] if info.data_kind == "synthetic" else "",
            "sections": self.sections(),
            "footer": f"groupeffect {info.version} · {info.spec_hash}",
        }

    def sections(self) -> list[dict[str, Any]]:
        """Sections in the order that readers of the language expect."""
        content = self.content
        boxes = {"kind": "boxes", "boxes": [self.box(box) for box in content.boxes]}
        parts = [
            ("scores", [*self.figure("event_study"), self.paragraph(content.scores)]),
            ("core", [self.paragraph(content.core)]),
            ("net", [self.paragraph(content.net)]),
            ("whom", [self.paragraph(content.whom), *self.subgroups()]),
        ]
        shown = [self.section(key, blocks) for key, blocks in parts if any(blocks)]
        findings = shown if self.language == "en" else [{**self.section("findings", []), "parts": shown}]
        limits = [{"kind": "horizon", "text": self.sentence(content.horizon)}, *self.figure("support_map")]
        limits.append({"kind": "list", "texts": [self.sentence(caveat) for caveat in content.caveats]})
        options = [{"kind": "list", "texts": [self.sentence(option) for option in content.options]}]
        annex = {**self.section("annex", []), "parts": self.annex()}
        return [
            self.section("box", [self.paragraph(content.summary, "lead"), boxes]),
            self.section("facts", [self.paragraph(content.facts)]),
            *findings,
            self.section("limits", limits),
            self.section("options", options),
            annex,
        ]

    def annex(self) -> list[dict[str, Any]]:
        """Lay out data and methods."""
        content = self.content
        tables = dict(content.tables)
        parts: list[tuple[str, list[Any]]] = [
            ("certainty", self.certainty()),
            ("verdicts", [{"kind": "list", "texts": [self.sentence(verdict) for verdict in content.verdicts]}]),
            ("designs", [self.paragraph(content.designs), *self.figure("design_comparison")]),
            ("all_estimates", [*self.table(tables, "all_estimates"), *self.figure("effect_distribution")]),
            ("outcomes", self.table(tables, "outcomes")),
            ("estimators", self.figure("synthetic_path")),
            ("quality", self.figure("missingness")),
            ("baseline", self.table(tables, "baseline")),
            ("attrition", self.table(tables, "attrition")),
            ("history", self.table(tables, "history")),
            ("refuters", self.table(tables, "refuters")),
            ("refusals", self.refusals()),
            ("record", [self.record()]),
        ]
        return [self.section(key, blocks) for key, blocks in parts if any(blocks)]

    def section(self, key: str, blocks: Iterable[Any]) -> dict[str, Any]:
        """Put a heading over its blocks; empty ones are left out."""
        kept = [block for block in blocks if block]
        return {"key": key, "heading": self.words[f"section.{key}"], "blocks": kept, "parts": []}

    def paragraph(self, findings: Sequence[Finding], kind: str = "text") -> dict[str, Any] | None:
        """Sentences as one paragraph."""
        if not findings:
            return None
        return {"kind": kind, "text": self.join(findings, self.words["language.space"])}

    def join(self, findings: Sequence[Finding], between: str) -> Markup:
        """Sentences one after another."""
        from markupsafe import Markup

        return Markup(between).join(self.sentence(finding) for finding in findings)

    def sentence(self, finding: Finding) -> Markup:
        """Sentence with its numbers marked up and everything else escaped."""
        from markupsafe import Markup, escape

        return Markup(finding.render(self.language, self.number, lambda text: str(escape(text))))

    def number(self, number: Number) -> str:
        """Mark up a number with its value, its source and, the first time, its id."""
        from markupsafe import escape

        identity = "" if number.id in self._seen else f' id="{number.id}"'
        self._seen.add(number.id)
        text, source = escape(number.text(self.language)), escape(number.source)
        return f'<data{identity} value="{number.value!r}" title="{source}">{text}</data>'

    def marked(self, number: Number) -> Markup:
        """Mark up a number that stands alone."""
        from markupsafe import Markup

        return Markup(self.number(number))

    def box(self, box: Box) -> dict[str, Any]:
        """One of the numbers on top."""
        from markupsafe import Markup

        words = self.words
        name = {"member": "ui.members", "core": "ui.cores", "net": "ui.net"}[box.key]
        interval = f"{words['ui.interval']}{words['language.colon']}{words['ui.to']}"
        count = "" if box.count is None else Markup(words["ui.schools"]).format(n=self.marked(box.count))
        if box.key == "net":
            weighted = words["ui.weighted"]
            count = Markup("{}{}{}").format(count, words["language.semicolon"], weighted) if count else weighted
        score = box.certainty.score
        return {
            "key": box.key,
            "name": words[name],
            "value": self.marked(box.value),
            "interval": Markup(interval).format(
                level=self.marked(box.level), low=self.marked(box.low), high=self.marked(box.high)
            ),
            "months": self.sentence(box.months),
            "certainty": words[f"certainty.{box.certainty.label}"],
            "dots": "●" * score + "○" * (5 - score),
            "count": count,
        }

    def figure(self, key: str) -> list[dict[str, Any]]:
        """Figure with words and data, numbered in the order of the page; empty if it has no data."""
        picture = self.content.picture(key)
        return [] if picture is None else [{"kind": "figure", "item": self._figure(picture)}]

    def _figure(self, picture: Picture) -> dict[str, Any]:
        from markupsafe import Markup

        from groupeffect.report.alt import alt_text
        from groupeffect.report.figures import figure_of
        from groupeffect.report.save import svg_text

        self._figures += 1
        place = format_number(self._figures, "count", self.language)
        title = self.words[f"figure.{picture.key}.title"]
        drawn = figure_of(picture.frame, language=self.language)
        description = alt_text(picture.frame, language=self.language)
        svg = svg_text(drawn, title=title, description=description, prefix=f"f{self._figures}-")
        data_title = self.words["ui.data_of_figure"].format(n=place)
        frame = picture.frame
        if picture.key == "effect_distribution":
            frame = _deciles(frame)
        return {
            "id": f"figure-{self._figures}",
            "number": self.words["ui.figure"].format(n=place) + self.words["language.colon"].rstrip(),
            "title": title,
            "svg": Markup(svg),
            "data_title": data_title,
            "data": self._view(frame.dropna(axis="columns", how="all"), data_title),
        }

    def table(self, tables: dict[str, pd.DataFrame], key: str) -> list[dict[str, Any]]:
        """Annex table of a name; empty if there is none."""
        if key not in tables:
            return []
        frame = tables[key]
        if "key" in frame.columns:
            frame = frame.assign(key=[self.label(str(name)) for name in frame["key"]]).rename(columns={"key": "label"})
        return [{"kind": "table", "item": self._view(frame, self.words[f"section.{key}"])}]

    def _view(self, frame: pd.DataFrame, title: str) -> _View:
        shown = display(frame, self.language, level=self.content.study.member.overall.level)
        hidden = frame.attrs.get("suppressed")
        note = ""
        if hidden:
            limit = format_number(SMALL_CELL, "count", self.language)
            note = "– " + self.words["ui.suppressed"].format(limit=limit)
        return _View(title, shown.headings, shown.rows, shown.numeric, note)

    def label(self, key: str) -> str:
        """Name of an estimate."""
        study = self.content.study
        estimate = next(item for item in study.estimates() if item.key == key)
        between = [contrast for contrast in study.contrasts if contrast.difference.key == key]
        if between:
            first, second = between[0].first.of(self.language), between[0].second.of(self.language)
            return f"{first} \N{MINUS SIGN} {second}"
        if estimate.label is not None:
            return estimate.label.of(self.language)
        role, _, code = key.partition(".")
        name = self.words[{"member": "ui.members", "core": "ui.cores"}.get(role, "ui.net")]
        comparison = self.words.get(f"comparison.{code}")
        return name if comparison is None else self.words["language.of"].format(a=name, b=comparison)

    def subgroups(self) -> list[dict[str, Any]]:
        """Table of subgroups and models."""
        listed = self.content.study.subgroups
        if not listed:
            return []
        tables = dict(self.content.tables)["all_estimates"]
        rows = tables[tables["key"].isin([item.key for item in listed])].drop(columns=["true_value"], errors="ignore")
        rows = rows.assign(key=[self.label(str(name)) for name in rows["key"]]).rename(columns={"key": "label"})
        rows = rows.dropna(axis="columns", how="all")
        rows.attrs = {"suppressed": int(rows["estimate"].isna().sum())}
        return [{"kind": "table", "item": self._view(rows, self.words["section.whom"])}]

    def certainty(self) -> list[dict[str, Any]]:
        """Reasons of the certainty, role by role."""
        from markupsafe import Markup

        words, blocks = self.words, []
        known = {box.key: box.certainty for box in self.content.boxes}
        for reasons in self.content.certainty:
            dotted = Markup("{} · {}")
            lines = [dotted.format(self.marked(points), self.sentence(step)) for step, points in reasons.steps]
            for name, checks in (("passed", reasons.passed), ("not_assessed", reasons.not_assessed)):
                if checks:
                    listed = self.join(checks, words["check.comma"])
                    lines.append(Markup(words[f"check.{name}"]).format(checks=listed))
            role = words[{"member": "ui.members", "core": "ui.cores", "net": "ui.net"}[reasons.role]]
            score = format_number(known[reasons.role].score, "count", self.language)
            total = words["certainty.score"].format(score=score)
            meaning = words[f"certainty.{known[reasons.role].label}_means"]
            title = f"{role}{words['language.colon']}{total}{words['language.semicolon']}{meaning}"
            blocks.append({"kind": "steps", "title": title, "steps": lines})
        return blocks

    def refusals(self) -> list[dict[str, Any]]:
        """List what was asked for and refused."""
        texts = [text.of(self.language) for text in self.content.study.refusals]
        return [{"kind": "list", "texts": texts}] if texts else []

    def record(self) -> dict[str, Any]:
        """List declared rules and hashes."""
        info, words, study = self.content.study.info, self.words, self.content.study
        items = [(words["ui.outcome"], info.outcome.of(self.language))]
        items.append((words["ui.sesoi"], f"{format_number(info.sesoi, 'effect', self.language)} {words['unit.sd']}"))
        if study.non_inferiority is not None:
            margin = format_number(study.non_inferiority.margin, "effect", self.language)
            items.append((words["ui.margin"], f"{margin} {words['unit.sd']}"))
        items += [(words["ui.specification"], info.spec_hash), (words["ui.data"], info.data_hash)]
        items.append((words["ui.package"], info.version))
        if info.next_update is not None:
            items.append((words["ui.next_update"], info.next_update.of(self.language)))
        return {"kind": "record", "entries": [item for item in items if item[1]]}


def _deciles(frame: pd.DataFrame) -> pd.DataFrame:
    """Predicted effects as deciles: a table of single schools, even nameless, would be a league table."""
    import numpy as np
    import pandas as pd

    units = frame[frame["kind"] != "mean"]
    share = np.linspace(0, 1, 11)
    values = np.quantile(units["value"].to_numpy(dtype=float), share)
    return pd.DataFrame({"share": share, "value": values})
