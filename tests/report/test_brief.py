import re
from html.parser import HTMLParser

import pytest

from groupeffect.errors import ReportError
from groupeffect.report.brief import render_brief, write_brief
from groupeffect.report.brief_content import brief_content
from groupeffect.report.content import Estimate, Table, Text
from groupeffect.report.locale import LANGUAGES

VOID = {"meta", "br", "hr", "img", "link", "input", "use", "path", "rect", "line"}


class Page(HTMLParser):
    """Tags, ids, headings, text outside of style and pictures."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.headings, self.words, self.open = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.tags.append((tag, known))
        self.ids += [known["id"]] if "id" in known else []
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "svg"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def find(self, tag):
        return [known for name, known in self.tags if name == tag]


@pytest.fixture(scope="module")
def pages(request):
    from pathlib import Path
    from runpy import run_path

    study = run_path(str(Path(__file__).with_name("conftest.py")))["make_study"]()
    content = brief_content(study)
    return {language: render_brief(content, language) for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_well_formed_and_accessible(pages, language):
    page = Page(pages[language])
    assert page.open == []
    assert page.find("html")[0]["lang"] == {"en": "en", "zh": "zh-Hans-CN"}[language]
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.ids) == len(set(page.ids))
    assert page.find("meta")[1]["content"].startswith("width=device-width")
    assert all("scope" in head for head in page.find("th"))
    assert len(page.find("caption")) == len(page.find("table"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_picture_has_words_and_data(pages, language):
    page = Page(pages[language])
    svgs = page.find("svg")
    assert len(svgs) == 6 == len(page.find("figure")) == len(page.find("details"))
    for svg in svgs:
        assert svg["role"] == "img"
        assert all(name in page.ids for name in svg["aria-labelledby"].split())
    assert pages[language].count("<desc id=") == 6


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_needs_nothing_from_outside_and_runs_nothing(pages, language):
    html = pages[language]
    page = Page(html)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "link", "img", "form"}
    assert not any(key.startswith("on") for _, known in page.tags for key in known)
    links = [value for _, known in page.tags for key, value in known.items() if key in ("href", "src", "xlink:href")]
    assert all(value.startswith("#") for value in links)
    assert not re.search(r"url\((?![\"']?(?:#|data:))", html)
    assert not re.search(r"@import", html)
    assert "default-src 'none'" in html


def test_english_sections_come_in_order(pages):
    headings = re.findall(r"<h2[^>]*>([^<]+)</h2>", pages["en"])
    assert headings == [
        "In short",
        "What was done, and with whom it is compared",
        "What happened to scores",
        "Did core schools pay?",
        "Members and core schools together",
        "For whom, and in which model",
        "What we cannot say",
        "Options and their consequences",
        "Annex",
    ]


def test_chinese_sections_come_in_order(pages):
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", pages["zh"]) == [
        "一、核心结论",
        "二、基本情况",
        "三、主要发现",
        "四、存在问题与不确定性",
        "五、对策建议（可选方案及其后果）",
        "附：数据与方法、指标口径",
    ]
    assert re.findall(r"<h3[^>]*>([^<]+)</h3>", pages["zh"])[:4] == ["成员校", "核心校", "集团整体", "分类差异"]


def test_both_languages_show_the_same_numbers_under_the_same_ids(pages):
    found = {}
    for language in LANGUAGES:
        marked = re.findall(r'<data id="(n\d+)" value="([^"]+)" title="([^"]*)">', pages[language])
        found[language] = {name: (value, source) for name, value, source in marked}
        assert len(found[language]) == len(marked)
    shared = set(found["en"]) & set(found["zh"])
    assert all(found["en"][name] == found["zh"][name] for name in shared)
    assert len(shared) >= 0.9 * len(found["en"])
    assert ("0.083", "member.overall@results/member_overall.json#0") in found["en"].values()


def test_the_first_page_says_what_matters(pages):
    text = Page(pages["en"]).text
    for words in (
        "Joining a group probably raised members’ scores by 0.08 SD ( 0.04 to 0.12 )",
        "95% interval: 0.04 to 0.12",
        "Certainty: moderate",
        "All figures come from synthetic data",
        "How far we can see: From 2025 on no comparable weak school remains outside",
        "Member effect three years after joining: no comparable school left.",
        "3f9a1c77d0e2",
        "when the exam scores of 2026 are in",
    ):
        assert re.sub(r"[ ]+", "", words) in re.sub(r"[ ]+", "", text), words


def test_hostile_names_are_escaped(make):
    evil = "<script>alert(1)</script>"
    study = make.study(
        **{name: Table() for name in ("support", "design_comparison", "effect_distribution", "missingness")},
        info=make.info(title=Text(evil, evil), place=Text('"><img src=x onerror=alert(1)>'), spec_hash=evil),
        outcomes=(Estimate("out.x", 0.1, 0.0, 0.2, label=Text(evil, evil)),),
        history=Table(("step", "reason", "rows", "units"), ((evil, "{{ 7 * 7 }} {% raw %}", 1, 1),)),
        refusals=(Text(evil, evil),),
    )
    for language in LANGUAGES:
        html = render_brief(brief_content(study), language)
        page = Page(html)
        assert not {"script", "img"} & {tag for tag, _ in page.tags}
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert "{{ 7 * 7 }}" in html


def test_cells_of_few_pupils_are_not_shown(pages):
    for language, words in (("en", "fewer than 10 pupils: not shown"), ("zh", "学生数不足10人，不予公布")):
        rows = re.findall(r"<tr><th[^>]*>(?:Island schools|海岛学校)</th>(.*?)</tr>", pages[language])
        assert rows
        assert not re.search(r"\d", "".join(re.findall(r">([^<]*)<", "".join(rows))))
        assert words in pages[language]


def test_tables_that_name_schools_are_refused(make):
    named = Table(("school_id", "estimate"), (("s1", 0.2), ("s2", 0.1)))
    with pytest.raises(ReportError, match="no league table"):
        brief_content(make.study(baseline=named))


def test_predicted_effects_of_single_schools_are_shown_as_deciles(pages):
    table = re.search(r"Data of figure 4.*?<table>(.*?)</table>", pages["en"], flags=re.DOTALL)
    assert table.group(1).count("<tr>") == 12


def test_forbidden_words_from_a_locale_are_refused(study, monkeypatch):
    from groupeffect.report import locale

    changed = {**locale.phrases("en"), "caveat.bundle": "The study proved it."}
    original = locale.phrases
    monkeypatch.setattr(locale, "phrases", lambda language: changed if language == "en" else original(language))
    with pytest.raises(ReportError, match="'proved'"):
        render_brief(brief_content(study), "en")


def test_the_chinese_page_carries_every_character_it_needs(pages):
    import base64
    import io

    from fontTools.ttLib import TTFont

    data = re.search(r'url\("data:font/woff;base64,([^"]+)"\)', pages["zh"]).group(1)
    glyphs = set(TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap())
    needed = {ord(letter) for letter in Page(pages["zh"]).text if not letter.isspace()}
    assert {chr(code) for code in needed - glyphs} <= {"●", "○"}


def test_two_runs_write_the_same_bytes_and_the_numbers_can_be_traced(study, tmp_path):
    import json

    first = write_brief(study, tmp_path / "a")
    second = write_brief(study, tmp_path / "b")
    assert [path.name for path in first] == ["brief_en.html", "brief_zh.html", "numbers.json"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    record = json.loads(first[2].read_text(encoding="utf-8"))
    sentence = next(item for item in record["sentences"] if item["key"] == "member.overall.finding")
    assert sentence["verdict"] == "gain"
    assert record["numbers"][sentence["numbers"][0]]["source"] == "member.overall@results/member_overall.json#0"


def test_a_study_with_nothing_but_members_still_has_a_brief(make):
    empty = {
        name: Table()
        for name in (
            *("support", "design_comparison", "synthetic_path", "effect_distribution", "missingness"),
            *("baseline", "attrition", "history", "refuters", "truth"),
        )
    }
    none = {"estimators": (), "subgroups": (), "outcomes": (), "contrasts": (), "refusals": ()}
    study = make.study(
        core=None, net=None, net_certainty=None, non_inferiority=None, luck=None, **empty, **none,
        info=make.info(data_kind="public", designation=None, next_update=None, title=Text("a"), place=Text("b")),
    )  # fmt: skip
    for language in LANGUAGES:
        page = Page(render_brief(brief_content(study), language))
        assert page.open == []
        assert len(page.find("svg")) == 1
    assert "synthetic" not in render_brief(brief_content(study), "en").lower().split("</style>")[1].split("<svg")[0]
