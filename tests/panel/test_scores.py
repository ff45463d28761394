"""Standardised marks: the reference population has mean 0 and SD 1, and rescaled exams do not matter."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupeffect.errors import MissingColumnError, PanelError, SpecError
from groupeffect.panel.scores import EXAM, reference_schools, school_year_scores, standardise_scores


def marks(n=12, seed=0, years=(2019, 2020)):
    rng = np.random.default_rng(seed)
    rows = pd.MultiIndex.from_product(
        [[f"S{i}" for i in range(n)], years, ["chinese", "math"], ["6"]],
        names=["school_id", "year", "subject", "grade"],
    ).to_frame(index=False)
    rows["exam_authority"] = "province"
    rows["mean"] = rng.normal(70, 6, len(rows))
    rows["sd"] = rng.uniform(8, 12, len(rows))
    rows["n_tested"] = rng.integers(20, 90, len(rows))
    return rows


def pupils_of(frame):
    """Mean and SD of the pooled pupils of some schools, in standard scores, exam by exam."""
    rows = []
    for _, exam in frame.groupby(list(EXAM)):
        n, m, s = (exam[name].to_numpy(float) for name in ("n_tested", "z", "z_sd"))
        centre = (n * m).sum() / n.sum()
        rows.append((centre, np.sqrt((n * (s**2 + (m - centre) ** 2)).sum() / n.sum())))
    return np.array(rows)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(5, 12))
def test_reference_pupils_have_mean_zero_and_sd_one(seed, n_reference):
    frame = marks(seed=seed)
    reference = [f"S{i}" for i in range(n_reference)]
    result = standardise_scores(frame, reference=reference)
    scored = result.scores.merge(result.exams, on=list(EXAM))
    scored["z_sd"] = scored["sd"] / scored["reference_sd"]
    moments = pupils_of(scored[scored["school_id"].isin(reference)])
    np.testing.assert_allclose(moments[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(moments[:, 1], 1, atol=1e-12)


def test_formula_by_hand():
    frame = pd.DataFrame(
        {
            "school_id": ["a", "b", "c", "d", "e", "x"],
            "year": 2020,
            "subject": "math",
            "grade": "6",
            "exam_authority": "county",
            "mean": [60.0, 70.0, 65.0, 75.0, 80.0, 90.0],
            "sd": [10.0, 8.0, 9.0, 11.0, 12.0, 5.0],
            "n_tested": [10, 20, 30, 20, 20, 50],
        }
    )
    n, m, s = np.array([10, 20, 30, 20, 20.0]), np.array([60, 70, 65, 75, 80.0]), np.array([10, 8, 9, 11, 12.0])
    centre = (n @ m) / n.sum()
    spread = np.sqrt((n @ s**2 + n @ (m - centre) ** 2) / n.sum())
    result = standardise_scores(frame, reference=list("abcde"))
    np.testing.assert_allclose(result.scores["z"], (frame["mean"] - centre) / spread, rtol=1e-14)
    exam = result.exams.iloc[0]
    assert (exam["n_schools"], exam["n_pupils"], exam["scale"]) == (5, 100, 1)
    np.testing.assert_allclose(exam["within_sd"] ** 2 + exam["between_sd"] ** 2, spread**2)


def test_rescaled_exams_give_the_same_scores():
    frame = marks()
    other = frame.copy()
    later = other["year"] == 2020
    other.loc[later, "mean"] = 20 + 1.2 * other.loc[later, "mean"]
    other.loc[later, "sd"] *= 1.2
    a, b = (standardise_scores(table, reference="all").scores["z"] for table in (frame, other))
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_each_authority_has_its_own_scale():
    frame = marks(n=14)
    second = frame["school_id"].isin([f"S{i}" for i in range(7)])
    frame.loc[second, "exam_authority"] = "city"
    frame.loc[second, "mean"] += 25
    result = standardise_scores(frame, reference="all")
    assert len(result.exams) == 8
    averages = result.scores.groupby("exam_authority")["z"].mean()
    np.testing.assert_allclose(averages, 0, atol=0.15)


def test_small_references_are_refused_and_listed():
    frame = marks(n=8)
    lonely = (frame["year"] == 2020) & (frame["subject"] == "math") & ~frame["school_id"].isin(["S0", "S1", "S2"])
    frame = frame[~lonely]
    with pytest.raises(PanelError) as caught:
        standardise_scores(frame, reference="all")
    fault = caught.value.violations[0]
    assert fault.message.startswith("1 of 4 exams have fewer than 30 pupils or 5 schools")
    assert fault.rows[0]["year"] == 2020
    assert fault.rows[0]["n_schools"] == 3
    left = standardise_scores(frame, reference="all", too_few="leave_out")
    assert left.scores["z"].isna().sum() == 3
    assert left.violations[0].severity == "warning"
    assert left.history[0].rows == 3
    assert left.exams["refused"].sum() == 1


def test_missing_marks_are_counted():
    frame = marks()
    frame.loc[[0, 1], ["mean", "sd"]] = np.nan
    result = standardise_scores(frame, reference="all")
    assert result.scores["z"].isna().sum() == 2
    assert result.history[0].reason == "no mark"


def test_scale_of_all_pupils():
    frame = marks(n=14, seed=4)
    weak = frame["school_id"].isin(["S0", "S1", "S2", "S3"])
    frame.loc[weak, "mean"] -= 15
    reference = [f"S{i}" for i in range(4, 14)]
    narrow = standardise_scores(frame, reference=reference)
    wide = standardise_scores(frame, reference=reference, scale_years=(2019,))
    ratio = (wide.scores["z"] / narrow.scores["z"]).groupby(frame["subject"]).agg(["min", "max"])
    np.testing.assert_allclose(ratio["min"], ratio["max"])
    assert (ratio["max"] < 0.98).all()
    base = wide.scores.merge(wide.exams, on=list(EXAM)).query("year == 2019")
    base = base.assign(z_sd=base["sd"] / base["reference_sd"] * base["scale"])
    np.testing.assert_allclose(pupils_of(base)[:, 1], 1, atol=1e-12)
    with pytest.raises(PanelError, match="No exam in chinese, math was held in the years 1999"):
        standardise_scores(frame, reference=reference, scale_years=(1999,))


def test_wrong_calls():
    frame = marks()
    with pytest.raises(MissingColumnError, match="'exam_authority'"):
        standardise_scores(frame.drop(columns="exam_authority"), reference="all")
    with pytest.raises(SpecError, match="No reference population was given"):
        standardise_scores(frame)
    with pytest.raises(SpecError, match="reference is the text 'S1'"):
        standardise_scores(frame, reference="S1")


def test_default_reference_is_never_in_a_group_and_never_weak():
    schools = pd.DataFrame(
        {
            "school_id": list("abcdef"),
            "designated_weak_year": [None, 2021, None, None, None, None],
            "new_school": [False] * 4 + [True, False],
        }
    )
    membership = pd.DataFrame({"school_id": ["c", "d"], "role": ["core", "none"]})
    assert reference_schools(schools, membership).tolist() == ["a", "d", "f"]
    frame = marks()
    frame["join_year"] = np.where(frame["school_id"].isin(["S0", "S1"]), 2020, np.nan)
    result = standardise_scores(frame)
    assert (result.exams["n_schools"] == 10).all()


def test_school_years_average_subjects_with_equal_weight():
    frame = pd.DataFrame(
        {
            "school_id": "a",
            "year": [1, 1, 1, 2, 2],
            "subject": ["math", "math", "chinese", "math", "math"],
            "grade": ["5", "6", "6", "5", "6"],
            "z": [0.2, 0.4, -0.1, 0.6, 0.8],
            "n_tested": [50, 10, 20, 50, 10],
            "n_enrolled": [60, 10, 20, 50, 20],
            "va_mean": [0.1, 0.3, 0.0, 0.2, 0.2],
        }
    )
    out, history = school_year_scores(frame)
    np.testing.assert_allclose(out["score"], [0.1, 0.7])
    np.testing.assert_allclose(out["score_math"], [0.3, 0.7])
    np.testing.assert_allclose(out["value_added"], [0.1, 0.2])
    np.testing.assert_allclose(out["n_tested"], [40, 60])
    np.testing.assert_allclose(out["tested_share"], [80 / 90, 60 / 70])
    assert out["n_cells"].tolist() == [3, 2]
    assert out["n_cells_expected"].tolist() == [3, 3]
    assert out["complete"].tolist() == [True, False]
    assert history[0].rows == 1
    strict, _ = school_year_scores(frame, incomplete="leave_out")
    assert np.isnan(strict["score"][1])
