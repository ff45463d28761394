"""The written tables: schema, conservation, faults, encodings."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from groupeffect.errors import SpecError
from groupeffect.panel.aliases import HEADER_ALIASES
from groupeffect.simulate import Parameters, SchoolReform, simulate_schools, truth_tables, write_reform
from groupeffect.simulate.faults import EXTENSIVE


def test_keys_and_ranges(clean: SchoolReform) -> None:
    schools, scores = clean.schools, clean.scores
    assert not schools.duplicated(["school_id", "year"]).any()
    assert not scores.duplicated(["school_id", "year", "subject", "grade"]).any()
    assert (schools["enrol"] > 0).all()
    for name in (
        "disadv_share",
        "migrant_share",
        "left_behind_share",
        "dropout",
        "retention",
        "export_share",
        "dose_recv",
    ):
        assert schools[name].between(0, 1).all()
    for name in ("teachers_above_degree", "teachers_pe_art", "teachers_senior", "backbone_own"):
        assert (schools[name] <= schools["teachers_fte"]).all()
    assert schools["satis_parent"].between(0, 100).all()
    assert scores["mean"].between(0, scores["full_mark"]).all()
    assert (scores["n_tested"] <= scores["n_enrolled"]).all()
    assert (scores["n_tested"] >= 6).all()
    assert set(scores["full_mark"][scores["year"] < 2024]) == {100.0}
    assert set(scores["full_mark"][scores["year"] >= 2024]) == {120.0}
    assert scores.groupby(["subject", "grade", "year", "exam_authority"])["exam_id"].nunique().eq(1).all()
    # marks do not touch the ceiling, and differ in scale between years
    assert (scores["mean"] < scores["full_mark"]).all()
    assert clean.scale["exam_sd"].min() >= 13.0
    assert clean.scale["exam_mean"].between(58.0, 74.0 * 1.2).all()


def test_membership_and_roles(clean: SchoolReform) -> None:
    members = clean.membership
    assert members["school_id"].is_unique
    assert (members[members["role"] == "core"].groupby("group_id").size() == 1).all()
    left = members.dropna(subset="exit_year")
    assert (left["exit_year"] > left["join_year"]).all()
    inside = clean.schools[clean.schools["group_id"].notna()]
    cores = inside[inside["role"] == "core"].groupby(["group_id", "year"]).size()
    assert (cores == 1).all()
    years = inside.groupby("group_id")["year"].min()
    assert len(cores) == sum(2025 - years + 1)
    assert (inside["year"] >= inside["join_year"]).all()
    assert (clean.schools.loc[clean.schools["group_id"].isna(), "role"] == "none").all()
    joined = clean.schools.merge(members[["school_id", "group_id"]], on="school_id", suffixes=("", "_register"))
    joined = joined[joined["group_id"].notna()]
    assert (joined["group_id"] == joined["group_id_register"]).all()


def test_new_schools_have_no_year_before_they_join(clean: SchoolReform) -> None:
    new = clean.schools[clean.schools["new_school"]]
    assert new["school_id"].nunique() == 60
    grouped = new.dropna(subset="join_year").groupby("school_id")
    assert (grouped["year"].min() == grouped["join_year"].first()).all()
    assert not set(new["school_id"]) & set(clean.reference_ids)


@pytest.mark.parametrize("kind", ["backbone", "teachers", "managers"])
def test_sent_equals_received_within_group_and_year(clean: SchoolReform, kind: str) -> None:
    inside = clean.schools[clean.schools["group_id"].notna()]
    hundredths = (100 * inside[[f"{kind}_sent", f"{kind}_recv"]]).round().astype(int)
    sums = hundredths.groupby([inside["group_id"], inside["year"]]).sum()
    assert (sums[f"{kind}_sent"] == sums[f"{kind}_recv"]).all()
    assert sums.to_numpy().sum() > 0
    outside = clean.schools[clean.schools["group_id"].isna()]
    assert outside[[f"{kind}_sent", f"{kind}_recv"]].to_numpy().sum() == 0.0


def test_dose_and_export_in_the_files_are_those_of_the_truth(clean: SchoolReform) -> None:
    schools = clean.schools
    assert (schools["backbone_sent"] <= schools["backbone_own"]).all()
    truth = clean.truth.school_year()
    np.testing.assert_allclose(schools["dose_recv"], truth["dose"], atol=1e-6)
    np.testing.assert_allclose(schools["export_share"], truth["export_share"], atol=1e-6)
    member = schools[(schools["role"] == "member") & (schools["year"] == schools["join_year"])]
    assert 0.05 < member["dose_recv"].mean() < 0.13
    core = schools[(schools["role"] == "core") & (schools["year"] == schools["join_year"])]
    assert core["export_share"].mean() == pytest.approx(3 / 17, abs=0.03)


def test_satisfaction_moves_as_the_truth_says() -> None:
    clean = simulate_schools("clean", seed=3, faults=False)
    null = simulate_schools("null", seed=3, faults=False)
    moved = clean.schools["satis_parent"] - null.schools["satis_parent"]
    role, after = clean.schools["role"], clean.schools["year"] >= 2022
    assert moved[(role == "member") & after].mean() == pytest.approx(3.0, abs=0.15)
    assert (moved[(role == "none") & (clean.schools["year"] < 2022)] == 0).all()
    core = (role == "core") & after
    expected = -15 * clean.schools.loc[core, "export_share"]
    assert (moved[core] - expected).abs().max() < 0.11


def test_funds(clean: SchoolReform) -> None:
    schools = clean.schools
    member = schools[schools["role"] == "member"]
    per_pupil = (member["fund_planned"] / member["enrol"]).round()
    assert set(per_pupil.groupby(member["model"]).first()) == {900.0, 600.0, 200.0}
    ratio = clean.realised.set_index("county_id")["ratio"]
    spent = member["fund_spent"] / member["fund_planned"]
    np.testing.assert_allclose(spent, ratio.loc[member["county_id"]], atol=1e-3)
    assert (schools.loc[schools["role"] != "member", "fund_planned"] == 0).all()


def test_fault_rates(clean: SchoolReform, faulty: SchoolReform) -> None:
    scores, schools = faulty.scores, faulty.schools
    assert scores.duplicated(["school_id", "year", "subject", "grade"]).mean() == pytest.approx(0.01, abs=0.003)
    assert schools.duplicated(["school_id", "year"]).mean() == pytest.approx(0.01, abs=0.003)
    once = scores.drop_duplicates(["school_id", "year", "subject", "grade"])
    empty = once["mean"].isna()
    assert empty.mean() == pytest.approx(0.04, abs=0.006)
    per_year = empty.groupby([once["school_id"], once["year"]])
    assert (per_year.min() == per_year.max()).all()
    assert once.loc[empty, ["sd", "n_tested", "rate_pass", "va_mean"]].isna().all().all()
    ratio = (once["n_tested"] / once["n_enrolled"]).dropna().astype(float)
    large = ratio[once["n_enrolled"] >= 100]
    assert large.between(0.92, 1.0).all()
    assert large.mean() == pytest.approx(0.965, abs=0.005)
    counts = faulty.crosswalk["event"].value_counts()
    assert counts["merge"] == 30
    assert counts["rename"] == 22
    assert len(clean.crosswalk) == 0
    rows = schools.drop_duplicates(["school_id", "year"]).dropna(subset="group_id")
    rows = rows[rows["role"] == "member"]
    back = dict(zip(faulty.crosswalk["old_id"], faulty.crosswalk["new_id"], strict=True))
    register = faulty.membership.assign(school_id=faulty.membership["school_id"].replace(back)).set_index("school_id")
    wrong = rows["group_id"].to_numpy() != register.loc[rows["school_id"].replace(back), "group_id"].to_numpy()
    assert wrong.mean() == pytest.approx(0.02, abs=0.01)
    assert set(rows["group_id"]) <= set(register["group_id"])


def test_merging_through_the_crosswalk_gives_the_schools_of_the_truth() -> None:
    only = Parameters(fault_missing=0.0, fault_duplicate=0.0, fault_wrong_group=0.0)
    perfect = simulate_schools("mergers", seed=7, parameters=only, faults=False)
    split = simulate_schools("mergers", seed=7, parameters=only)
    assert set(split.schools["school_id"]) > set(perfect.schools["school_id"])
    back = dict(zip(split.crosswalk["old_id"], split.crosswalk["new_id"], strict=True))
    for name in ("schools", "scores"):
        table = getattr(split, name)
        moved = table.merge(split.crosswalk, left_on="school_id", right_on="old_id")
        assert (moved["year_x"] < moved["year_y"]).all()
    schools = split.schools.assign(school_id=split.schools["school_id"].replace(back))
    summed = schools.groupby(["school_id", "year"])[list(EXTENSIVE)].sum()
    expected = perfect.schools.set_index(["school_id", "year"])[list(EXTENSIVE)].sort_index()
    pd.testing.assert_frame_equal(summed, expected, check_dtype=False)

    scores = split.scores.assign(school_id=split.scores["school_id"].replace(back))
    scores["total"] = scores["mean"] * scores["n_tested"]
    keys = ["school_id", "year", "subject", "grade"]
    merged = scores.groupby(keys)[["total", "n_tested"]].sum()
    whole = perfect.scores.set_index(keys).sort_index()
    np.testing.assert_array_equal(merged["n_tested"], whole["n_tested"])
    assert (merged["total"] / merged["n_tested"] - whole["mean"]).abs().max() < 0.011
    # the pooled SD of the two parts is that of the whole
    scores["square"] = scores["n_tested"] * (scores["sd"] ** 2 + scores["mean"] ** 2)
    pooled = scores.groupby(keys)[["square", "total", "n_tested"]].sum()
    variance = pooled["square"] / pooled["n_tested"] - (pooled["total"] / pooled["n_tested"]) ** 2
    assert (np.sqrt(variance) - whole["sd"]).abs().max() < 0.2
    register = split.membership.assign(school_id=split.membership["school_id"].replace(back))
    keyed = register.set_index("school_id")["group_id"].sort_index()
    pd.testing.assert_series_equal(keyed, perfect.membership.set_index("school_id")["group_id"].sort_index())


def test_codebook_covers_every_column(clean: SchoolReform) -> None:
    book = clean.codebook
    for name in ("schools", "scores", "membership", "crosswalk"):
        listed = set(book.loc[book["file"] == f"{name}.csv", "column"])
        assert listed == set(getattr(clean, name).columns)
    assert book["name_zh"].str.len().gt(0).all()
    assert book["allowed"].str.len().gt(0).all()
    for column, chinese in zip(book["column"], book["name_zh"], strict=True):
        assert HEADER_ALIASES.get(chinese, column) == column


def test_written_files_read_back(tmp_path: Path, faulty: SchoolReform) -> None:
    paths = write_reform(faulty, tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in paths}
    assert {"schools.csv", "scores.csv", "membership.csv", "crosswalk.csv", "codebook.csv", "truth/truth.json"} <= names
    assert {f"truth/{name}.csv" for name in truth_tables(faulty)} <= names
    for name in ("schools", "scores", "membership", "crosswalk"):
        table: pd.DataFrame = getattr(faulty, name)
        back = pd.read_csv(tmp_path / f"{name}.csv", dtype={"grade": str})
        assert list(back.columns) == list(table.columns)
        assert len(back) == len(table)
        for column in table.columns:
            if pd.api.types.is_float_dtype(table[column]):
                np.testing.assert_array_equal(back[column].to_numpy(), table[column].to_numpy(dtype=float))
            else:
                assert back[column].isna().equals(table[column].isna())
                kept = table[column].notna()
                left, right = back.loc[kept, column], table.loc[kept, column]
                assert (left.astype(right.dtype) == right).all()
    text = (tmp_path / "schools.csv").read_bytes()
    assert b"\r" not in text
    assert b'"' not in text
    summary = json.loads((tmp_path / "truth" / "truth.json").read_text(encoding="utf-8"))
    assert summary["scenario"] == "clean"
    assert summary["n_groups"] == 189
    assert summary["headline"]["member_overall"] == pytest.approx(faulty.truth.overall("member")["estimate"].iloc[0])
    assert summary["parameters"]["icc"] == 0.22


def test_chinese_headers_and_gb18030(tmp_path: Path) -> None:
    reform = simulate_schools("clean", n_schools=200, seed=1)
    write_reform(reform, tmp_path, encoding="gb18030", headers="zh")
    head = (tmp_path / "schools.csv").read_bytes().split(b"\n")[0].decode("gb18030").split(",")
    assert head[0] == "学校代码"
    assert {"学年", "区县", "在校生数", "派出骨干教师数", "加入学年", "家长满意度", "专项经费决算"} <= set(head)
    back = pd.read_csv(tmp_path / "scores.csv", encoding="gb18030")
    renamed = back.rename(columns=dict(HEADER_ALIASES))
    assert list(renamed.columns) == list(reform.scores.columns)
    assert pd.read_csv(tmp_path / "truth" / "overall.csv", encoding="utf-8")["role"].tolist()[0] == "member"
    write_reform(reform, tmp_path, encoding="utf-8-sig")
    assert (tmp_path / "schools.csv").read_bytes().startswith(b"\xef\xbb\xbfschool_id,")
    with pytest.raises(SpecError, match="encoding='latin-1'"):
        write_reform(reform, tmp_path, encoding="latin-1")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="headers='fr'"):
        write_reform(reform, tmp_path, headers="fr")  # type: ignore[arg-type]
