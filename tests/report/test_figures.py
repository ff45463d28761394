import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import groupeffect as ge
from groupeffect.errors import ReportError
from groupeffect.report.brief_content import brief_content
from groupeffect.report.frames import distribution_of, named
from groupeffect.report.style import COLOURS

figures = ge.figures


@pytest.fixture(scope="module")
def block_result():
    panel = ge.testing.block_panel()
    treated = panel.unit_ids[np.isfinite(panel.adoption)]
    design = ge.block_design(panel, treated=tuple(treated), start=float(panel.adoption.min()))
    return ge.fit(ge.synth.SyntheticDiD(), panel, design).infer(ge.PlaceboUnits(seed=1))


def texts(axes):
    figure = axes.figure
    figure.draw_without_rendering()
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_event_study_draws_its_frame(result):
    axes = figures.event_study(result)
    frame = figures.event_study_frame(result)
    assert frame["estimate"].tolist() == result.tidy()["estimate"].tolist()
    segments = [
        segment for line in axes.collections if hasattr(line, "get_segments") for segment in line.get_segments()
    ]
    drawn = sorted((round(float(low[1]), 12), round(float(high[1]), 12)) for low, high in segments)
    known = frame.dropna(subset=["conf_low"])
    assert drawn == sorted(zip(known["conf_low"].round(12), known["conf_high"].round(12), strict=True))
    assert len(axes.collections) == 2  # intervals, and the simultaneous band
    words = texts(axes)
    assert "60 treated" in words
    assert "95% interval" in words
    assert "Effect (SD)" in words


def test_two_roles_share_one_picture(result, tmp_path):
    both = {"member": result, "core": result}
    words = texts(figures.event_study(both))
    assert "Members" in words
    assert "Core schools" in words
    chinese = texts(figures.event_study(both, language="zh"))
    assert "成员校" in chinese
    assert "对成绩的影响（标准差）" in chinese
    assert set(figures.event_study_frame(both)["series"]) == {"member", "core"}


def test_axes_of_the_caller_are_used_and_no_window_is_opened(result):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert figures.event_study(result, ax=axes) is axes
    assert plt.get_fignums() == []


def test_results_that_are_not_event_studies_are_refused(staggered):
    cells = staggered[2].infer(ge.ClusterRobust())
    with pytest.raises(ReportError, match="several rows for event time"):
        figures.event_study(cells)
    overall = staggered[2].aggregate(ge.overall()).infer(ge.ClusterRobust())
    with pytest.raises(ReportError, match="1 of 1 rows without an event time"):
        figures.event_study(overall)


def test_support_map_says_where_comparisons_end(staggered):
    panel, _, _ = staggered
    only = panel.take_units(np.isfinite(panel.adoption))
    design = ge.staggered_design(only)
    frame = figures.support_map_frame(design)
    by_cell = {(row.cohort, row.time): row for row in frame.itertuples()}
    assert by_cell[2019, 2019].status == "identified"
    assert by_cell[2019, 2019].n_comparison == 30
    assert by_cell[2019, 2020].status == "no_comparison"
    assert by_cell[2020, 2021].status == "no_comparison"
    assert "nobody left to compare with" in texts(figures.support_map(design))
    assert "已无可比学校" in texts(figures.support_map(design, language="zh"))


def test_synthetic_paths_and_gaps(block_result):
    frame = figures.synthetic_path_frame(block_result)
    path = block_result.fit.effects.counterfactual
    assert frame["gap"].to_numpy() == pytest.approx(path.observed - path.synthetic)
    assert "synthetic twin" in texts(figures.synthetic_path(block_result))
    assert "Gap" in texts(figures.synthetic_path(block_result, show="gap"))
    with pytest.raises(ReportError, match="no path without treatment"):
        figures.synthetic_path(ge.Result.from_json(_saved(block_result)))


def _saved(result, folder=[]):  # noqa: B006 - one folder for the session
    import tempfile

    folder.append(tempfile.TemporaryDirectory())
    path = Path(folder[-1].name) / "result.json"
    result.to_json(path)
    return path


def test_effect_distribution_has_no_names_and_its_mean(result):
    frame = distribution_of([0.3, 0.1, 0.2], 0.2, 0.1, 0.3)
    assert frame.columns.tolist() == ["kind", "value", "conf_low", "conf_high"]
    assert frame["value"].tolist() == [0.1, 0.2, 0.3, 0.2]
    with pytest.raises(ReportError, match="no effects of single units"):
        figures.effect_distribution(result)
    groups = pd.DataFrame({"kind": "group", "value": [0.1, 0.2], "conf_low": [0, 0.1], "conf_high": [0.2, 0.3]})
    drawn = figures.figure_of(named(groups, "effect_distribution", unit="sd"))
    assert "n = 2 school groups" in texts(drawn.axes[0])
    assert "Ordered estimates of 2 school groups" in figures.alt_text(named(groups, "effect_distribution"))


def test_missingness_counts_holes(staggered):
    panel = staggered[0]
    frame = figures.missingness_frame(panel)
    assert frame["n_missing"].sum() == (~np.isfinite(panel.outcome)).sum()
    assert "n = 90 schools" in texts(figures.missingness(panel))


def test_design_comparison_takes_first_rows(staggered, result):
    overall = staggered[2].aggregate(ge.overall()).infer(ge.ClusterRobust())
    given = {("member", "before_after"): overall, ("member", "pre_designation"): overall}
    frame = figures.design_comparison_frame(given)
    assert frame["estimate"].tolist() == [overall.estimate[0]] * 2
    assert "baseline before schools were picked" in texts(figures.design_comparison(given))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_figure_of_a_study_has_words_numbers_and_no_missing_glyph(study, language):
    """A glyph that a font lacks is a warning of matplotlib, and warnings are errors here."""
    pictures = brief_content(study).pictures
    assert len(pictures) == 6
    for picture in pictures:
        figure = figures.figure_of(picture.frame, language=language)
        text = figures.svg_text(figure, title="t", description="d", prefix="x-")
        alt = figures.alt_text(picture.frame, language=language)
        assert re.search(r"\d", alt)
        assert text.startswith("<svg")
        assert "<text" not in text  # drawn as paths: readable without the font
        notes = " ".join(axes.get_title(loc="left") for axes in figure.axes)
        assert re.search(r"\d|comparison|对照", notes)


def test_ids_of_figures_do_not_collide_on_one_page(study):
    found = []
    for number, picture in enumerate(brief_content(study).pictures):
        text = figures.svg_text(figures.figure_of(picture.frame), title="t", description="d", prefix=f"f{number}-")
        ids = re.findall(r'\bid="([^"]+)"', text)
        references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
        assert references <= set(ids)
        found += ids
    assert len(found) == len(set(found))


def test_names_in_figures_are_escaped(result):
    axes = figures.event_study({"<script>alert(1)</script>": result, "core": result})
    text = figures.svg_text(axes.figure, title="<script>", description='"&<')
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_frames_without_a_figure_are_refused(result):
    with pytest.raises(ReportError, match="belongs to no figure"):
        figures.figure_of(result.tidy())
    with pytest.raises(ReportError, match="belongs to no figure"):
        figures.alt_text(result.tidy())


SCRIPT = """
import sys, runpy
from groupeffect.report.brief_content import brief_content
from groupeffect.report.figures import figure_of, save_figure
makers = runpy.run_path(sys.argv[1])
for picture in brief_content(makers["make_study"]()).pictures[:3]:
    save_figure(figure_of(picture.frame, language="zh"), sys.argv[2] + "/" + picture.key, picture.frame)
"""


def test_saved_figures_have_the_same_bytes_in_every_process(study, tmp_path):
    for picture in brief_content(study).pictures[:3]:
        drawn = figures.figure_of(picture.frame, language="zh")
        figures.save_figure(drawn, tmp_path / "here" / picture.key, picture.frame)
    conftest = Path(__file__).with_name("conftest.py")
    environment = {"PYTHONHASHSEED": "12", "PYTHONPATH": str(Path(ge.__file__).parents[1]), "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", SCRIPT, str(conftest), str(tmp_path / "there")]
    subprocess.run(command, check=True, env={**os.environ, **environment})
    here, there = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("here", "there"))
    assert len(here) == 9
    assert here == there
    for name, content in here.items():
        assert b"<dc:date>" not in content, name
        assert b"CreationDate" not in content, name


def contrast(first, second="#FFFFFF"):
    def light(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["member", "core", "net", "muted", "truth"])
def test_words_in_colour_can_be_read(name):
    assert contrast(COLOURS[name]) >= 4.5


def test_colours_of_the_roles_are_told_apart_without_colour_vision():
    """Simulated red and green blindness (Viénot, Brettel and Mollon 1999): the two roles stay far apart."""
    matrices = {
        "protan": np.array([[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.0040, -0.0040, 1.0]]),
        "deutan": np.array([[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]]),
    }
    rgb = [np.array([int(COLOURS[name][k : k + 2], 16) / 255 for k in (1, 3, 5)]) ** 2.2 for name in ("member", "core")]
    for matrix in matrices.values():
        assert np.abs(matrix @ rgb[0] - matrix @ rgb[1]).max() > 0.2
