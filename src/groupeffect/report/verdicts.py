"""The few verdicts, each with the condition under which it is true.

Effects are judged by their interval and the declared smallest effect of interest (SESOI) s, in this order:

========================  ==================================================================
``small``                 the whole interval lies between -s and s
``gain``                  the interval lies above zero (and, not being small, reaches s)
``loss``                  the interval lies below zero (and reaches -s)
``inconclusive_harm``     contains zero, reaches -s or less, but stays below s
``inconclusive``          contains zero and reaches s or more
========================  ==================================================================

Exactly one holds for every interval. Bounds that lie on a threshold count as touching it: an interval that ends at s is
not small, one that begins at zero is no gain.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from groupeffect.errors import ReportError
from groupeffect.report.content import Certainty, Estimate, NonInferiority
from groupeffect.report.plain import Language

__all__ = [
    "CoreVerdict",
    "EffectVerdict",
    "core_phrase",
    "core_verdict",
    "effect_phrase",
    "effect_verdict",
    "forbidden_words",
    "months_phrase",
]

CoreVerdict: TypeAlias = Literal["met", "not_met", "harmed"]
EffectVerdict: TypeAlias = Literal["gain", "loss", "small", "inconclusive", "inconclusive_harm"]

_ALLOWED: Final = {
    "en": ("This is not evidence of no effect.",),
    "zh": ("不能据此认定政策无效",),
}
_FORBIDDEN: Final = {
    "en": r"\bno (?:causal )?(?:effects?|impact)\b|\bprov(?:e[nds]?|ing)\b|\bproof\b|\bsignifican(?:t|tly|ce)\b",
    "zh": r"证明|显著|没有(?:效果|影响|作用)|无效(?!应)|毫无",
}


def effect_verdict(low: float, high: float, sesoi: float) -> EffectVerdict:
    """Judge an interval; see the table of this module.

    Parameters
    ----------
    low, high : float
        Interval, outcome units.
    sesoi : float
        Smallest effect of interest, positive.

    Raises
    ------
    ReportError
        If `sesoi` is not positive.
    """
    if not sesoi > 0:
        raise ReportError(f"sesoi={sesoi} is not positive.", hint="Declare the smallest effect of interest, e.g. 0.05.")
    if -sesoi < low and high < sesoi:
        return "small"
    if low > 0:
        return "gain"
    if high < 0:
        return "loss"
    return "inconclusive" if high >= sesoi else "inconclusive_harm"


def effect_phrase(verdict: EffectVerdict, certainty: Certainty) -> str:
    """Name of the phrase for a verdict at a certainty: "probably", "may" or "very uncertain".

    What the data cannot tell, they cannot tell at any certainty; all else is only claimed as far as the certainty goes.
    """
    if verdict in ("inconclusive", "inconclusive_harm"):
        return verdict
    return {"very_low": "very_low", "low": f"{verdict}_low"}.get(certainty.label, verdict)


def core_verdict(found: NonInferiority, core: Estimate) -> CoreVerdict:
    """Judge the core schools.

    ``met``: the one-sided lower bound lies above ``-margin``. ``harmed``: it does not, and the whole (two-sided)
    interval shown beside the sentence lies below zero. ``not_met``: anything else.

    Raises
    ------
    ReportError
        If the verdict does not follow from its own bounds.
    """
    above = found.lower > -found.margin
    expected = "not_harmed_beyond_margin" if above else "harmed" if found.upper < 0 else "harm_not_excluded"
    if found.verdict != expected:
        raise ReportError(
            f"The verdict on core schools is {found.verdict!r}, but bounds {found.lower:g} and {found.upper:g} and "
            f"margin {found.margin:g} make it {expected!r}."
        )
    if above:
        return "met"
    return "harmed" if found.verdict == "harmed" and core.high < 0 else "not_met"


def core_phrase(verdict: CoreVerdict, certainty: Certainty) -> str:
    """Name of the phrase for a verdict on core schools at a certainty."""
    if verdict == "not_met":
        return verdict
    return {"very_low": "very_low", "low": f"{verdict}_low"}.get(certainty.label, verdict)


def months_phrase(effect: float, decimals: int) -> tuple[str, int]:
    """Name of the phrase for months of learning, and the months, for the size of an effect as it is shown.

    Parameters
    ----------
    effect : float
        Effect in pupil SD; its sign is left out.
    decimals : int
        Decimals with which the effect is shown: months are looked up for the number that the reader sees.
    """
    from groupeffect.reform.magnitude import eef_months

    months = eef_months(round(abs(effect), decimals))
    return {0: "zero", 1: "one", 12: "twelve"}.get(months, "many"), months


def forbidden_words(text: str, language: Language) -> list[str]:
    """Words that no sentence of the report may use: claims of proof, of significance, of no effect.

    The two fixed sentences that warn against reading "no effect" are exempt.
    """
    for sentence in _ALLOWED[language]:
        text = text.replace(sentence, "")
    return [match.group(0) for match in re.finditer(_FORBIDDEN[language], text, flags=re.IGNORECASE)]
