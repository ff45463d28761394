import numpy as np
import pandas as pd
import pytest

from groupeffect.report.tables import display, neutral, suppress_small, to_csv, to_markdown, to_typst, write_table


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\n@x"])
def test_cells_that_a_spreadsheet_would_run_are_neutralised(text, tmp_path):
    frame = pd.DataFrame({"name": [text, "plain", "a\r=1"], "=x": [-0.5, 1.0, 2.0]})
    to_csv(frame, tmp_path / "x.csv")
    written = pd.read_csv(tmp_path / "x.csv")
    assert neutral(text).startswith("'")
    assert written["name"].tolist() == [neutral(text), "plain", "a =1"]
    assert list(written.columns) == ["name", "'=x"]
    assert written["'=x"].tolist() == [-0.5, 1.0, 2.0]


def test_csv_has_all_digits_and_line_feeds(tmp_path):
    frame = pd.DataFrame({"estimate": [1 / 3, np.nan]})
    text = to_csv(frame, tmp_path / "x.csv")
    assert text == "estimate\n0.3333333333333333\n\n" or text == 'estimate\n0.3333333333333333\n""\n'
    assert (tmp_path / "x.csv").read_bytes() == text.encode()


def test_markdown_escapes_markup():
    text = to_markdown(pd.DataFrame({"label": ["a|b <script>alert(1)</script> *x*"], "estimate": [0.12345]}))
    assert "<script>" not in text
    assert r"a\|b &lt;script&gt;alert(1)&lt;/script&gt; \*x\*" in text
    assert "0.123" in text
    assert all(line.count("|") - line.count(r"\|") == 3 for line in text.strip().splitlines())


def test_typst_cells_are_strings_and_cannot_become_code(tmp_path):
    from groupeffect.report.paper import compile_typst

    hostile = '"] #panic("x") [" \\ $ * _ @ref <label> `raw`'
    source = tmp_path / "table.typ"
    source.write_text("#set document(date: none)\n" + to_typst(pd.DataFrame({"label": [hostile], "estimate": [1.0]})))
    assert compile_typst(source, tmp_path / "table.pdf").read_bytes().startswith(b"%PDF")


def test_rows_with_few_pupils_show_no_numbers():
    frame = pd.DataFrame({"label": ["a", "b"], "estimate": [0.1, 0.2], "n_pupils": [9, 10]})
    shown = suppress_small(frame)
    assert np.isnan(shown["estimate"][0])
    assert np.isnan(shown["n_pupils"][0])
    assert shown["estimate"][1] == 0.2
    assert shown.attrs["suppressed"] == 1
    assert frame["estimate"][0] == 0.1
    for text in (to_csv(frame), to_markdown(frame), to_typst(frame)):
        assert "0.1" not in text
        assert "0.2" in text


def test_known_columns_and_codes_get_words():
    frame = pd.DataFrame(
        {
            "role": ["member"],
            "cohort": [np.inf],
            "time": [2022.0],
            "estimate": [-0.0312],
            "share_missing": [0.0423],
            "p_value": [0.0004],
            "n_treated": [1500],
            "identified": [True],
        }
    )
    english, chinese = display(frame, "en"), display(frame, "zh")
    assert english.headings[:3] == ("Role", "Joined in", "Year")
    assert english.rows[0] == ("members", "never", "2022", "−0.031", "4.2%", "< 0.001", "1,500", "yes")
    assert chinese.headings[0] == "角色"
    assert chinese.rows[0][0] == "成员校"
    assert english.numeric == (False, True, True, True, True, True, True, False)


def test_a_result_is_written_in_three_forms(result, tmp_path):
    csv, markdown, typst = write_table(result, tmp_path / "deep" / "event_study")
    assert pd.read_csv(csv)["estimate"].tolist() == pytest.approx(result.tidy()["estimate"].tolist(), rel=0, abs=0)
    assert "Years since joining" in markdown.read_text(encoding="utf-8")
    assert typst.read_text(encoding="utf-8").startswith("#table(")
