"""What the brief says, before any language: findings, boxes, figures and tables in the order of the document.

Numbers get their ids here, in document order, so that the English and the Chinese brief share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from groupeffect.errors import ReportError
from groupeffect.report.content import Certainty, Estimate, StudyResults
from groupeffect.report.findings import (
    Finding,
    Slot,
    alternative_finding,
    contrast_finding,
    core_findings,
    design_findings,
    effect_finding,
    horizon_finding,
    interval_slots,
    luck_finding,
    months_slot,
    path_finding,
    source_of,
    title_findings,
    wanted_slots,
)
from groupeffect.report.frames import event_rows, named
from groupeffect.report.locale import LANGUAGES, phrases
from groupeffect.report.numbers import Number, NumberBook
from groupeffect.report.plain import Table
from groupeffect.report.tables import suppress_small
from groupeffect.report.verdicts import effect_verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Box", "BriefContent", "Picture", "Reasons", "brief_content"]

_NAMING: Final = frozenset({"school_id", "school", "school_name", "unit_id", "unit", "学校", "学校代码"})
"""Columns that would name single schools; a brief has no league table."""


@dataclass(frozen=True, slots=True)
class Box:
    """One of the numbers on top.

    Parameters
    ----------
    key : {"member", "core", "net"}
        Whose effect it is.
    value, low, high, level : Number
        Estimate and interval.
    months : Finding
        Months of learning.
    count : Number or None
        Schools behind it.
    certainty : Certainty
        Its certainty.
    """

    key: str
    value: Number
    low: Number
    high: Number
    level: Number
    months: Finding
    count: Number | None
    certainty: Certainty


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why the certainty of one role is what it is.

    Parameters
    ----------
    role : {"member", "core", "net"}
        The role.
    steps : tuple of (Finding, Number)
        The design with its points, then each failed check with what it takes.
    passed, not_assessed : tuple of Finding
        Names of the other checks.
    """

    role: str
    steps: tuple[tuple[Finding, Number], ...]
    passed: tuple[Finding, ...]
    not_assessed: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with its data.

    Parameters
    ----------
    key : str
        Name of the figure, as in ``frame.attrs["figure"]``.
    frame : DataFrame
        What it draws.
    """

    key: str
    frame: pd.DataFrame


@dataclass(frozen=True, slots=True)
class BriefContent:
    """One brief, for every language.

    Parameters
    ----------
    study : StudyResults
        Where everything comes from.
    title, summary, facts, scores, core, net, whom, designs, caveats, options : tuple of Finding
        Sentences by section.
    horizon : Finding
        The sentence in the horizon box.
    boxes : tuple of Box
        Numbers on top.
    certainty : tuple of Reasons
        Per role the reasons of its certainty.
    verdicts : tuple of Finding
        What the verdict words mean.
    pictures : tuple of Picture
        Figures that have data.
    tables : tuple of (str, DataFrame)
        Annex tables by section name.
    numbers : tuple of Number
        Every number in a sentence or box, in order.
    """

    study: StudyResults
    title: tuple[Finding, ...]
    summary: tuple[Finding, ...]
    boxes: tuple[Box, ...]
    facts: tuple[Finding, ...]
    scores: tuple[Finding, ...]
    core: tuple[Finding, ...]
    net: tuple[Finding, ...]
    whom: tuple[Finding, ...]
    horizon: Finding
    designs: tuple[Finding, ...]
    caveats: tuple[Finding, ...]
    options: tuple[Finding, ...]
    certainty: tuple[Reasons, ...]
    verdicts: tuple[Finding, ...]
    pictures: tuple[Picture, ...]
    tables: tuple[tuple[str, pd.DataFrame], ...]
    numbers: tuple[Number, ...]

    def findings(self) -> tuple[Finding, ...]:
        """Every sentence, in order."""
        parts = (self.title, self.summary, self.facts, self.scores, self.core, self.net, self.whom, (self.horizon,))
        reasons = [reason for role in self.certainty for reason, _ in role.steps]
        flat = [finding for part in (*parts, self.designs, self.caveats, self.options) for finding in part]
        return (*flat, *reasons, *self.verdicts)

    def picture(self, key: str) -> Picture | None:
        """Figure of a name, if it has data."""
        return next((picture for picture in self.pictures if picture.key == key), None)


def brief_content(study: StudyResults) -> BriefContent:
    """Build the brief of a study.

    Parameters
    ----------
    study : StudyResults
        Results and declared rules.

    Returns
    -------
    BriefContent

    Raises
    ------
    ReportError
        If a verdict does not follow from its numbers, a code has no words, or a table names single schools.
    SmallCellError
        If a sentence would describe fewer than 10 pupils.
    """
    book = NumberBook()
    title = title_findings(study, book)
    member = effect_finding(study, study.member.overall, study.member.certainty, book, words="finding.member")
    core_verdict, *core_details = core_findings(study, book) or (None,)
    summary = (member,) if core_verdict is None else (member, core_verdict)
    return BriefContent(
        study=study,
        title=title,
        summary=summary,
        boxes=_boxes(study, book),
        facts=_facts(study, book),
        scores=_scores(study, book),
        core=(*core_details, *_core_paths(study, book)),
        net=_net(study, book),
        whom=tuple(contrast_finding(study, contrast, book) for contrast in study.contrasts),
        horizon=horizon_finding(study, book),
        designs=design_findings(study, book),
        caveats=_caveats(study),
        options=_options(study, book),
        certainty=_certainty(study, book),
        verdicts=_verdict_words(study, book),
        pictures=_pictures(study),
        tables=_tables(study),
        numbers=book.numbers,
    )


def _boxes(study: StudyResults, book: NumberBook) -> tuple[Box, ...]:
    found: list[tuple[str, Estimate, Certainty, int | None]] = [
        ("member", study.member.overall, study.member.certainty, study.member.n_schools)
    ]
    if study.core is not None:
        found.append(("core", study.core.overall, study.core.certainty, study.core.n_schools))
    if study.net is not None and study.net_certainty is not None:
        found.append(("net", study.net, study.net_certainty, study.net.n_treated))
    boxes = []
    for key, estimate, certainty, count in found:
        slots = interval_slots(study, estimate, book)
        source = source_of(estimate)
        boxes.append(
            Box(
                key,
                slots["value"],
                slots["low"],
                slots["high"],
                book.add(estimate.level, "level", source=source),
                months_slot(estimate, slots["value"].decimals, book, words="months_cell"),
                None if count is None else book.add(count, "count", source=source),
                certainty,
            )
        )
    return tuple(boxes)


def _facts(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    info, member, core = study.info, study.member, study.core
    both = core is not None

    def number(value: float, kind: str = "count") -> Number:
        return book.add(value, "year" if kind == "year" else "count", source="study")

    what: dict[str, Slot] = {
        "first_join": number(info.first_join, "year"),
        "last_join": number(info.last_join, "year"),
        "groups": number(max(member.n_groups, core.n_groups if core is not None else 0)),
        "counties": number(max(member.n_counties, core.n_counties if core is not None else 0)),
        "members": number(member.n_schools),
    }
    whom: dict[str, Slot] = {
        "comparison": Finding("comparison", f"comparison.{member.comparison}"),
        "n": number(member.n_comparison),
    }
    if core is not None:
        what["cores"] = number(core.n_schools)
        whom["core_comparison"] = Finding("core_comparison", f"comparison.{core.comparison}")
        whom["n_core"] = number(core.n_comparison)
    base: dict[str, Slot] = {
        "base_first": number(info.baseline[0], "year"),
        "base_last": number(info.baseline[1], "year"),
    }
    if info.designation is not None:
        base["picked_first"] = number(info.designation[0], "year")
        base["picked_last"] = number(info.designation[1], "year")
    found = [
        Finding("facts.what", f"finding.facts.what{'_core' if both else ''}", slots=what),
        Finding("facts.whom", f"finding.facts.whom{'_core' if both else ''}", slots=whom),
        Finding("facts.base", f"finding.facts.base{'_designation' if info.designation else ''}", slots=base),
    ]
    if member.within_area:
        found.append(Finding("facts.area", "finding.facts.area"))
    return tuple(found)


def _scores(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    found = [path_finding(study.member, book)]
    found += [alternative_finding(study, other, book) for other in study.member.alternatives]
    found.append(luck_finding(study, book))
    return tuple(finding for finding in found if finding is not None)


def _core_paths(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    if study.core is None:
        return ()
    found = [path_finding(study.core, book)]
    found += [alternative_finding(study, other, book) for other in study.core.alternatives]
    return tuple(finding for finding in found if finding is not None)


def _net(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    if study.net is None or study.net_certainty is None:
        return ()
    return (effect_finding(study, study.net, study.net_certainty, book, words="finding.net"),)


def _caveats(study: StudyResults) -> tuple[Finding, ...]:
    """Two or three that matter: the bundle, other reforms, and what lowers certainty most."""
    found = []
    if study.member.certainty.failed:
        worst = _coded("reason", study.member.certainty.failed[0])
        found.append(Finding("caveat.uncertain", "caveat.uncertain", slots={"reason": worst}))
    found += [Finding(f"caveat.{name}", f"caveat.{name}") for name in ("bundle", "other_reforms", "not_studied")]
    return tuple(found)


def _coded(group: str, code: str) -> Finding:
    """Words of a code of the certainty.

    Raises
    ------
    ReportError
        If a language has none.
    """
    key = f"{group}.{code}"
    if any(key not in phrases(language) for language in LANGUAGES):
        raise ReportError(f"There are no words for certainty code {code!r}.", hint=f"Add {key} to the locales.")
    return Finding(key, key)


def _certainty(study: StudyResults, book: NumberBook) -> tuple[Reasons, ...]:
    roles: list[tuple[str, Certainty | None]] = [("member", study.member.certainty)]
    roles.append(("core", None if study.core is None else study.core.certainty))
    roles.append(("net", study.net_certainty))
    return tuple(_reasons(role, known, book) for role, known in roles if known is not None)


def _reasons(role: str, known: Certainty, book: NumberBook) -> Reasons:
    agreeing = known.design == "staggered" and known.start == 4
    source = f"{role}.certainty"
    start = _coded("design", "agreeing" if agreeing else known.design)
    steps = [(start, book.add(known.start, "count", source=source))]
    steps += [(_coded("reason", code), book.add(-1, "count", source=source)) for code in known.failed]
    passed = tuple(_coded("check", code) for code in known.passed)
    return Reasons(role, tuple(steps), passed, tuple(_coded("check", code) for code in known.not_assessed))


def _options(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    """Options with consequences; which ones depends on the verdicts alone."""
    overall, info = study.member.overall, study.info
    verdict = effect_verdict(overall.low, overall.high, info.sesoi)
    decided = study.member.certainty.score >= 3
    wait = "wait" if study.horizon.exhausted_from is None else "stuck"  # more years help only while somebody compares
    widen = {"gain": "gain", "small": "small", "loss": "loss"}.get(verdict, wait) if decided else wait
    key = f"option.widen_{widen}"
    wanted = wanted_slots(key)
    slots: dict[str, Slot] = dict(interval_slots(study, overall, book, wanted))
    if "sesoi" in wanted:
        slots["sesoi"] = book.add(info.sesoi, "effect", source="declared smallest effect of interest")
    found = [Finding("option.widen", key, widen, slots)]
    judged = next((item for item in core_findings(study, NumberBook())), None)
    if judged is not None and study.core is not None and study.non_inferiority is not None:
        key = f"option.core_{judged.verdict}"
        wanted = wanted_slots(key)
        core: dict[str, Slot] = dict(interval_slots(study, study.core.overall, book, wanted, as_loss=True))
        if "margin" in wanted:
            core["margin"] = book.add(study.non_inferiority.margin, "effect", source="declared margin")
        found.append(Finding("option.core", key, judged.verdict, core))
    lots: dict[str, Slot] = {}
    if study.horizon.exhausted_from is not None:
        lots["year"] = book.add(study.horizon.exhausted_from, "year", source="horizon")
    found.append(Finding("option.lots", f"option.lots_{'exhausted' if lots else 'open'}", slots=lots))
    found.append(Finding("option.no_reward", "option.no_reward"))
    return tuple(found)


def _verdict_words(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    sesoi = book.add(study.info.sesoi, "effect", source="declared smallest effect of interest")
    slots: dict[str, Slot] = {"sesoi": sesoi}
    names = ["gain", "loss", "small", "inconclusive"]
    if study.non_inferiority is not None:
        slots["margin"] = book.add(study.non_inferiority.margin, "effect", source="declared margin")
        names += ["met", "harmed", "not_met"]
    return tuple(Finding(f"verdict.{name}", f"verdict.{name}", slots=slots) for name in (*names, "certainty"))


def _pictures(study: StudyResults) -> tuple[Picture, ...]:
    import pandas as pd

    about: dict[str, object] = {"level": study.member.overall.level, "unit": "sd"}
    roles = [role for role in (study.member, study.core) if role is not None and len(role.path)]
    found = []
    if roles:
        rows = pd.concat([event_rows(role.path.frame(), role.role) for role in roles], ignore_index=True)
        found.append(Picture("event_study", named(rows, "event_study", **about)))
    for key in ("support_map", "design_comparison", "effect_distribution", "synthetic_path", "missingness"):
        table: Table = getattr(study, {"support_map": "support"}.get(key, key))
        if len(table):
            found.append(Picture(key, named(table.frame(), key, **about)))
    return tuple(found)


def _tables(study: StudyResults) -> tuple[tuple[str, pd.DataFrame], ...]:
    found = [
        ("all_estimates", _estimates(study, tuple(item for item in study.estimates() if item not in study.outcomes))),
        ("outcomes", _estimates(study, study.outcomes).rename(columns={"estimate": "estimate_own"})),
        ("baseline", study.baseline.frame()),
        ("attrition", study.attrition.frame()),
        ("history", study.history.frame()),
        ("refuters", study.refuters.frame()),
    ]
    kept = [(name, suppress_small(frame)) for name, frame in found if len(frame)]
    for name, frame in kept:
        naming = sorted(_NAMING & {str(column) for column in frame.columns})
        if naming:
            raise ReportError(
                f"Table {name!r} names single schools (column {naming[0]!r}); a brief has no league table.",
                hint="Leave the column out, or average over schools.",
            )
    return tuple(kept)


def _estimates(study: StudyResults, listed: tuple[Estimate, ...]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {
            "key": item.key,
            "estimate": item.value,
            "conf_low": item.low,
            "conf_high": item.high,
            "n_treated": item.n_treated,
            "n_comparison": item.n_comparison or None,
            "n_pupils": item.n_pupils,
            "true_value": study.true_value(item.key),
        }
        for item in listed
    ]
    frame = pd.DataFrame(rows)
    if not rows:
        return frame
    numbers = [name for name in frame.columns if name != "key"]
    frame[numbers] = frame[numbers].astype(float)
    return frame.dropna(axis="columns", how="all")
