"""Sentences from results: each has a verdict with a defined condition, and every number in it carries its origin.

A :class:`Finding` holds the name of a phrase and what goes into its slots; the words stand in ``locale/en.toml`` and
``locale/zh.toml``. One finding gives the English and the Chinese sentence, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from groupeffect.errors import SmallCellError
from groupeffect.report.content import Certainty, Contrast, Estimate, RoleResults, StudyResults
from groupeffect.report.locale import phrase, slots
from groupeffect.report.numbers import Number, NumberBook, decimals_for
from groupeffect.report.plain import Language, Text
from groupeffect.report.tables import SMALL_CELL
from groupeffect.report.verdicts import (
    core_phrase,
    core_verdict,
    effect_phrase,
    effect_verdict,
    months_phrase,
)

__all__ = ["Finding", "Slot", "core_findings", "effect_finding", "path_finding", "title_findings"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence (or title, or option), in every language.

    Parameters
    ----------
    key : str
        Name within the document, for example ``"member.effect"``.
    phrase : str
        Key of the words in the locale files.
    verdict : str
        What was judged; empty for sentences that judge nothing.
    slots : mapping of str to Number, Text or Finding
        What the words are filled with; a Finding is a phrase within the phrase.
    """

    key: str
    phrase: str
    verdict: str = ""
    slots: Mapping[str, Slot] = field(default_factory=dict)

    def text(self, language: Language) -> str:
        """Sentence in one language."""
        return self.render(language, lambda number: number.text(language))

    def render(self, language: Language, number: Callable[[Number], str], plain: Callable[[str], str] = str) -> str:
        """Sentence with numbers and other text written by two functions (HTML escapes, ids).

        Parameters
        ----------
        language : {"en", "zh"}
            Language.
        number : callable
            Writes a number.
        plain : callable
            Writes words, ours and those of the data.
        """
        words = phrase(language, self.phrase)
        filled = {
            name: self._slot(self.slots[name], language, number, plain) for name in slots(words) if name in self.slots
        }
        return plain(words).format(**filled)

    @staticmethod
    def _slot(slot: Slot, language: Language, number: Callable[[Number], str], plain: Callable[[str], str]) -> str:
        if isinstance(slot, Number):
            return number(slot)
        if isinstance(slot, Finding):
            return slot.render(language, number, plain)
        return plain(slot.of(language))

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Every number that may stand in the sentence."""
        found: list[Number] = []
        for slot in self.slots.values():
            if isinstance(slot, Number):
                found.append(slot)
            elif isinstance(slot, Finding):
                found += slot.numbers
        return tuple(found)


Slot: TypeAlias = Number | Text | Finding


def source_of(estimate: Estimate) -> str:
    """Where an estimate came from, as it is recorded behind a number."""
    return f"{estimate.key}@{estimate.source}" if estimate.source else estimate.key


def thresholds(study: StudyResults) -> tuple[float, ...]:
    """Numbers on which rounding must not put an estimate: zero, the SESOI and the margin, both signs."""
    limits = [0.0, study.info.sesoi, -study.info.sesoi]
    if study.non_inferiority is not None:
        limits += [study.non_inferiority.margin, -study.non_inferiority.margin]
    return tuple(limits)


def months_slot(estimate: Estimate, decimals: int, book: NumberBook, *, words: str = "months") -> Finding:
    """Months of learning of an estimate, as a phrase of the group `words`; with its sign in cells."""
    name, months = months_phrase(estimate.value, decimals)
    if words == "months_cell" and estimate.value < 0 and months:
        name, months = "many", -months
    number = book.add(months, "count", source=f"{source_of(estimate)} in months of learning")
    return Finding(f"{estimate.key}.months", f"{words}.{name}", slots={"n": number})


def effect_finding(
    study: StudyResults, estimate: Estimate, certainty: Certainty, book: NumberBook, *, words: str
) -> Finding:
    """Judge an effect and say it.

    Parameters
    ----------
    study : StudyResults
        Declared smallest effect of interest.
    estimate : Estimate
        The effect.
    certainty : Certainty
        How sure one can be of it.
    book : NumberBook
        Where its numbers are entered.
    words : str
        Group of phrases: ``"finding.member"``, ``"finding.net"``, ``"title.member"``.
    """
    verdict = effect_verdict(estimate.low, estimate.high, study.info.sesoi)
    name = effect_phrase(verdict, certainty)
    key = f"{words}.{name}"
    wanted = wanted_slots(key)
    parts: dict[str, Slot] = dict(interval_slots(study, estimate, book, wanted, as_loss=name.startswith("loss")))
    if "sesoi" in wanted:
        parts["sesoi"] = book.add(study.info.sesoi, "effect", source="declared smallest effect of interest")
    if "level" in wanted:
        parts["level"] = book.add(estimate.level, "level", source=source_of(estimate))
    if "months" in wanted:
        parts["months"] = months_slot(estimate, _decimals(study, estimate), book)
    return Finding(f"{estimate.key}.{words.partition('.')[0]}", key, verdict, parts)


def wanted_slots(key: str) -> frozenset[str]:
    """Slots that a phrase has in any language."""
    return slots(phrase("en", key)) | slots(phrase("zh", key))


def _decimals(study: StudyResults, estimate: Estimate) -> int:
    """Decimals of an estimate: its bounds keep their side of every threshold, its value that of zero."""
    bounds = decimals_for((estimate.low, estimate.high), thresholds(study))
    return max(bounds, decimals_for((estimate.value,), (0.0,)))


def interval_slots(
    study: StudyResults,
    estimate: Estimate,
    book: NumberBook,
    wanted: frozenset[str] = frozenset({"value", "low", "high"}),
    *,
    as_loss: bool = False,
) -> Mapping[str, Number]:
    """Enter value and range; a loss is told by its size, the smaller bound first.

    Raises
    ------
    SmallCellError
        If fewer than 10 pupils stand behind the estimate.
    """
    if estimate.n_pupils is not None and estimate.n_pupils < SMALL_CELL:
        raise SmallCellError(
            f"A sentence on {estimate.key!r} would describe {estimate.n_pupils} pupils; the limit is {SMALL_CELL}.",
            hint="Leave the estimate out of the sentences; tables show it without numbers.",
        )
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    if as_loss:
        values = {"value": -estimate.value, "low": -estimate.high, "high": -estimate.low}
    decimals, source = _decimals(study, estimate), source_of(estimate)
    return {
        name: book.add(value, "effect", source=source, decimals=decimals)
        for name, value in values.items()
        if name in wanted
    }


def title_findings(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    """Title of the brief: what happened to members and, if studied, to core schools."""
    member = effect_finding(study, study.member.overall, study.member.certainty, book, words="title.member")
    if study.core is None or study.non_inferiority is None:
        return (member,)
    return member, _core(study, study.core, book, "title")


def core_findings(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    """Non-inferiority verdict on the core schools, and the bound behind it; empty if they were not studied."""
    verdict = study.non_inferiority
    if study.core is None or verdict is None:
        return ()
    effect = study.core.overall
    source = verdict.source or source_of(effect)
    digits = max(_decimals(study, effect), decimals_for((verdict.lower,), thresholds(study)))
    value = book.add(effect.value, "effect", source=source_of(effect), decimals=digits)
    bound = book.add(verdict.lower, "effect", source=source, decimals=digits)
    level = book.add(verdict.level, "level", source=source)
    behind = Finding(
        f"{effect.key}.bound", "finding.core.bound", slots={"value": value, "bound": bound, "level": level}
    )
    return _core(study, study.core, book, "finding"), behind


def _core(study: StudyResults, core: RoleResults, book: NumberBook, kind: str) -> Finding:
    verdict = study.non_inferiority
    assert verdict is not None
    judged = core_verdict(verdict, core.overall)
    key = f"{kind}.core.{core_phrase(judged, core.certainty)}"
    wanted = wanted_slots(key)
    parts: dict[str, Slot] = dict(interval_slots(study, core.overall, book, wanted, as_loss=True))
    if "margin" in wanted:
        parts["margin"] = book.add(verdict.margin, "effect", source="declared margin")
    return Finding(f"{core.overall.key}.{kind}", key, judged, parts)


def path_finding(role: RoleResults, book: NumberBook) -> Finding | None:
    """First and last estimate after joining; None if there are not two."""
    frame = role.path.frame()
    if len(frame) == 0:
        return None
    after = frame[(frame["event_time"] >= 0) & frame["conf_low"].notna()].sort_values("event_time")
    if len(after) < 2:
        return None
    first, last = after.iloc[0], after.iloc[-1]
    names = ("estimate", "conf_low", "conf_high")
    values = [float(row[name]) for row in (first, last) for name in names]
    entered = book.effects(values, thresholds=(0.0,), source=f"{role.role}.path")
    keys = ("first", "first_low", "first_high", "last", "last_low", "last_high")
    parts: dict[str, Slot] = dict(zip(keys, entered, strict=True))
    years = float(last["event_time"] - first["event_time"])
    if years == 1:
        return Finding(f"{role.role}.path", f"finding.path.{role.role}_one", slots=parts)
    parts["years"] = book.add(years, "count", source=f"{role.role}.path")
    return Finding(f"{role.role}.path", f"finding.path.{role.role}", slots=parts)


def horizon_finding(study: StudyResults, book: NumberBook) -> Finding:
    """How far effects can be known: by the last comparable school, or by the last data."""
    horizon = study.horizon
    source = horizon.source or "horizon"
    if horizon.exhausted_from is not None:
        year = book.add(horizon.exhausted_from, "year", source=source)
        words = "exhausted" if horizon.pool == "weak" else "exhausted_other"
        return Finding("horizon", f"finding.horizon.{words}", "exhausted", {"year": year})
    if horizon.last_event_time == 1:
        return Finding("horizon", "finding.horizon.open_one", "open")
    years = book.add(horizon.last_event_time, "count", source=source)
    return Finding("horizon", "finding.horizon.open", "open", {"years": years})


def luck_finding(study: StudyResults, book: NumberBook) -> Finding | None:
    """Part of a raw rise that chance alone explains; None without a raw rise.

    ``little`` below 10 %, ``half`` from 45 to 55 %, ``all`` from 95 %, a percentage otherwise.
    """
    luck = study.luck
    if luck is None or luck.observed <= 0 or luck.expected < 0:
        return None
    share = round(luck.expected / luck.observed, 9)  # decimal fractions in binary
    if share < 0.10:
        name = "little"
    elif share >= 0.95:
        name = "all"
    else:
        name = "half" if 0.45 <= share <= 0.55 else "share"
    source = luck.source or "luck"
    (observed,) = book.effects((luck.observed,), thresholds=(0.0,), source=source)
    parts: dict[str, Slot] = {"observed": observed}
    if name == "share":
        parts["share"] = book.add(share, "percent", source=source)
    return Finding("luck", f"finding.luck.{name}", name, parts)


def design_findings(study: StudyResults, book: NumberBook) -> tuple[Finding, ...]:
    """Say what other baselines would have said about members; empty if they were not computed."""
    table = study.design_comparison.frame()
    if len(table) == 0:
        return ()
    found = {str(row["analysis"]): float(row["estimate"]) for _, row in table[table["role"] == "member"].iterrows()}
    names = ("before_after", "last_year_base", "pre_designation")
    if not set(names) <= set(found):
        return ()
    entered = book.effects([found[name] for name in names], thresholds=(0.0,), source="design_comparison")
    parts: dict[str, Slot] = dict(zip(names, entered, strict=True))
    what = Finding("designs", "finding.designs.member", slots=parts)
    return what, Finding("designs.reason", "finding.designs.reason")


def contrast_finding(study: StudyResults, contrast: Contrast, book: NumberBook) -> Finding:
    """Compare two subgroups or models: never causal, and undecided if the interval of the difference contains zero."""
    difference = contrast.difference
    if difference.low > 0:
        first, second, name, swap = contrast.first, contrast.second, "more", False
    elif difference.high < 0:
        first, second, name, swap = contrast.second, contrast.first, "more", True
    else:
        first, second, name, swap = contrast.first, contrast.second, "undecided", False
    key = f"finding.contrast.{name}"
    parts: dict[str, Slot] = {"first": first, "second": second}
    parts |= interval_slots(study, difference, book, wanted_slots(key), as_loss=swap)
    return Finding(difference.key, key, name, parts)


def alternative_finding(study: StudyResults, other: Estimate, book: NumberBook) -> Finding:
    """Say the same effect against other comparison schools, without a verdict."""
    parts: dict[str, Slot] = {"comparison": Finding(other.key, f"comparison.{other.key.partition('.')[2]}")}
    parts |= interval_slots(study, other, book)
    return Finding(other.key, "finding.alternative.compared", slots=parts)
