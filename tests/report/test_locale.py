import re

import pytest

from groupeffect.errors import ReportError
from groupeffect.reform.certainty import START
from groupeffect.report.locale import phrase, phrases, slots

CHECKS = ("comparison", "pre_trend", "attrition", "power", "intake", "sensitivity", "declared")
POOLS = ("weak", "all_never", "weak_vs_never", "strong", "not_yet_core", "core_vs_never")


def test_both_languages_have_the_same_phrases():
    assert set(phrases("en")) == set(phrases("zh"))


@pytest.mark.parametrize("key", sorted(phrases("en")))
def test_both_languages_fill_the_same_slots(key):
    english, chinese = slots(phrase("en", key)), slots(phrase("zh", key))
    assert english - chinese == set()
    assert chinese - english <= {"level"}  # "likely range" has no level, "95%区间" has one


def test_sentences_are_written_in_their_language():
    chinese = {
        key: text for key, text in phrases("zh").items() if key.startswith(("finding.", "title.", "option.", "caveat."))
    }
    assert all(re.search("[\u4e00-\u9fff]", text) for text in chinese.values())
    assert not any(re.search("[\u4e00-\u9fff]", text) for text in phrases("en").values())
    # full-width punctuation, no spaces between Chinese characters
    assert not any(
        re.search("[\u4e00-\u9fff][,;:?!(]|[\u4e00-\u9fff] +[\u4e00-\u9fff]", text) for text in chinese.values()
    )


def test_every_code_of_the_reform_has_words():
    for language in ("en", "zh"):
        known = phrases(language)
        assert {f"design.{name}" for name in START} <= set(known)
        assert {f"{group}.{name}" for name in CHECKS for group in ("reason", "check")} <= set(known)
        assert {f"comparison.{pool}" for pool in POOLS} <= set(known)


def test_unknown_language_and_phrase_are_refused():
    with pytest.raises(ReportError, match="no words for language 'fr'"):
        phrases("fr")
    with pytest.raises(ReportError, match=r"no phrase 'finding\.nothing'"):
        phrase("en", "finding.nothing")
