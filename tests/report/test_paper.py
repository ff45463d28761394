import dataclasses
import json
import re
from pathlib import Path

import pytest

import groupeffect as ge
from groupeffect.errors import ReportError
from groupeffect.report.content import PaperContent, Table
from groupeffect.report.exhibits import write_exhibits
from groupeffect.report.paper import build_paper, compile_typst

SOURCE = Path(__file__).parents[2] / "paper"


@pytest.fixture
def folder(paper, tmp_path):
    place = tmp_path / "generated"
    place.mkdir()
    paper.to_json(place / "paper.json")
    return place


def test_the_paper_is_typeset_without_warnings_and_with_the_same_bytes_twice(folder, tmp_path):
    first = build_paper(folder, tmp_path / "a.pdf", source=SOURCE).read_bytes()
    second = build_paper(folder, tmp_path / "b.pdf", source=SOURCE).read_bytes()
    assert first.startswith(b"%PDF")
    assert first == second
    assert b"/CreationDate" not in first
    pages = len(re.findall(rb"/Type\s*/Page\b", first))
    assert pages == 0 or 8 <= pages <= 16  # 0: page objects are compressed


def test_the_paper_can_do_without_core_schools_and_further_methods(paper, tmp_path):
    tables = ("synthetic_path", "effect_distribution", "missingness", "refuters", "baseline", "attrition", "history")
    empty = {name: Table() for name in (*tables, "design_comparison", "truth")}
    lists = ("estimators", "subgroups", "contrasts", "outcomes", "refusals")
    none = {"core": None, "net": None, "net_certainty": None, "non_inferiority": None, "luck": None}
    study = dataclasses.replace(paper.study, **empty, **none, **dict.fromkeys(lists, ()))
    size = paper.size.frame()
    few = Table.of(size[(size["role"] == "member") & (size["analysis"] == "pre_designation")])
    content = PaperContent(study, few, paper.recovery, paper.public)
    content.to_json(tmp_path / "paper.json")
    assert build_paper(tmp_path, tmp_path / "out" / "paper.pdf", source=SOURCE).is_file()


def test_no_result_is_typed_in_the_paper():
    text = (SOURCE / "paper.typ").read_text(encoding="utf-8")
    prose = "\n".join(line for line in text.splitlines() if not line.startswith(("#set", "#show", "//", "  ")))
    prose = re.sub(r"\$[^$]*\$", "", prose)  # equations
    prose = re.sub(r"#(?:typeset-table|exhibit|figure|text|v|block)\([^\n]*", "", prose)
    decimals = re.findall(r"(?<![\w.])[-−]?\d+\.\d+", prose)
    assert decimals == ["0.05"]  # the yardstick of Kraft (2020)


def test_every_number_shown_in_the_exhibits_is_text_from_the_content(paper, tmp_path):
    write_exhibits(paper, tmp_path)
    numbers = json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8"))
    assert numbers["member"]["value"] == "0.083"
    assert numbers["member"]["truth"] == "0.071"
    assert numbers["simulation"]["size"]["null.member.before_after"]["rejection"] == "97%"
    assert numbers["simulation"]["recovery"]["clean.core"]["coverage"] == "94%"
    assert "sub.tiny" not in numbers["estimates"]  # seven pupils
    tables = json.loads((tmp_path / "tables.json").read_text(encoding="utf-8"))
    assert all(isinstance(cell, str) for table in tables.values() for row in table["rows"] for cell in row)
    tiny = next(row for row in tables["more"]["rows"] if row[0] == "Island schools")
    assert not re.search(r"\d", "".join(tiny[1:]))
    shown = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert {path.stem for path in (tmp_path / "figures").glob("*.svg")} == set(shown)


def test_exhibits_have_the_same_bytes_twice(paper, tmp_path):
    write_exhibits(paper, tmp_path / "a")
    write_exhibits(paper, tmp_path / "b")
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 10
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_a_font_that_is_missing_is_an_error_not_a_box(tmp_path):
    source = tmp_path / "x.typ"
    source.write_text('#set text(font: "No Such Font")\n集团化办学', encoding="utf-8")
    with pytest.raises(ReportError, match="unknown font family"):
        compile_typst(source, tmp_path / "x.pdf")
    assert not (tmp_path / "x.pdf").exists()


def test_errors_of_typst_are_told(tmp_path):
    source = tmp_path / "x.typ"
    source.write_text("#nothing", encoding="utf-8")
    with pytest.raises(ReportError, match="unknown variable: nothing"):
        compile_typst(source, tmp_path / "x.pdf")


def test_missing_files_are_told(folder, tmp_path):
    with pytest.raises(ReportError, match=r"There is no file .*paper\.typ"):
        build_paper(folder, tmp_path / "x.pdf", source=tmp_path)
    with pytest.raises(ReportError, match=r"There is no file .*paper\.json"):
        build_paper(tmp_path, tmp_path / "x.pdf", source=SOURCE)


def test_references_exist_for_everything_cited_and_every_estimator():
    keys = set(re.findall(r"@\w+\{([\w-]+),", (SOURCE / "refs.bib").read_text(encoding="utf-8")))
    text = (SOURCE / "paper.typ").read_text(encoding="utf-8")
    cited = set(re.findall(r"@([a-z]+\d{4}|linearmodels)", text)) | set(re.findall(r"#cite\(<([\w-]+)>", text))
    assert cited <= keys
    assert {kind.info.reference for kind in ge.discover().values()} <= keys
