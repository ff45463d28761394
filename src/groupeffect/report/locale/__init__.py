"""The words of the report, by language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any

from groupeffect.errors import ReportError
from groupeffect.report.plain import Language

__all__ = ["LANGUAGES", "phrase", "phrases", "slots"]

LANGUAGES: tuple[Language, ...] = ("en", "zh")


@cache
def phrases(language: Language) -> Mapping[str, str]:
    """All phrases of a language, keyed by dotted name.

    Raises
    ------
    ReportError
        If there is no such language.
    """
    if language not in LANGUAGES:
        raise ReportError(f"There are no words for language {language!r}.", hint="Use 'en' or 'zh'.")
    text = files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return dict(_flat(tomllib.loads(text), ""))


def phrase(language: Language, key: str) -> str:
    """One phrase.

    Raises
    ------
    ReportError
        If the key is unknown.
    """
    found = phrases(language).get(key)
    if found is None:
        raise ReportError(f"There is no phrase {key!r} in {language}.toml.", hint="Add it to every language.")
    return found


def slots(text: str) -> frozenset[str]:
    """Names in braces in a phrase."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)


def _flat(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return found
