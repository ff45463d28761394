"""A small bureau export, written by hand."""

import numpy as np
import pandas as pd
import pytest

YEARS = range(2018, 2024)
N_SCHOOLS = 16


def sent(i, year):
    return {0: 2.0 * (year >= 2021), 3: 1.0 * (year >= 2022)}.get(i, 0.0)


def received(i, year):
    of_a02 = {2021: 1.5, 2022: 1.5, 2023: 2.0}.get(year, 0.0)
    return {1: of_a02, 2: 0.5 * (year in (2021, 2022)), 4: 1.0 * (year >= 2022)}.get(i, 0.0)


def small_files():
    """Sixteen schools: G1 = core A01 + members A02, A03 (joined 2021), G2 = core A04 + member A05 (joined 2022)."""
    rng = np.random.default_rng(11)
    ids = [f"A{i:02d}" for i in range(1, N_SCHOOLS + 1)]
    level = rng.normal(0, 4, N_SCHOOLS)
    schools = pd.DataFrame(
        [
            {
                "school_id": name,
                "year": year,
                "county_id": f"C{i % 2 + 1}",
                "location": ("urban", "town", "rural")[i % 3],
                "stage": "primary",
                "new_school": False,
                "enrol": 300 + 10 * i,
                "disadv_share": 0.2 + 0.01 * i,
                "teachers_fte": 20.0,
                "backbone_own": 5.0,
                "backbone_sent": sent(i, year),
                "backbone_recv": received(i, year),
                "designated_weak_year": 2020 if i in (1, 2, 4, 5) else None,
            }
            for i, name in enumerate(ids)
            for year in YEARS
        ]
    )
    scores = pd.DataFrame(
        [
            {
                "school_id": name,
                "year": year,
                "subject": subject,
                "grade": 6,
                "exam_authority": "province",
                "mean": round(70 + level[i] + (year - 2018) + 2 * k + rng.normal(0, 0.5), 2),
                "sd": round(10 + rng.uniform(-1, 1), 2),
                "n_tested": 40 + i,
                "n_enrolled": 42 + i,
                "full_mark": 100,
            }
            for i, name in enumerate(ids)
            for year in YEARS
            for k, subject in enumerate(("chinese", "math"))
        ]
    )
    membership = pd.DataFrame(
        {
            "school_id": ids[:5],
            "group_id": ["G1", "G1", "G1", "G2", "G2"],
            "role": ["core", "member", "member", "core", "member"],
            "model": ["intensive"] * 3 + ["loose"] * 2,
            "join_year": [2021, 2021, 2021, 2022, 2022],
            "exit_year": [None, None, 2023, None, None],
        }
    )
    crosswalk = pd.DataFrame(columns=["old_id", "new_id", "year", "event"])
    return {"schools": schools, "scores": scores, "membership": membership, "crosswalk": crosswalk}


@pytest.fixture
def files():
    return small_files()


@pytest.fixture
def write(tmp_path):
    def writer(tables, *, encoding="utf-8", ending=".csv"):
        for name, frame in tables.items():
            path = tmp_path / f"{name}{ending}"
            if ending == ".parquet":
                frame.to_parquet(path)
            elif ending == ".xlsx":
                frame.to_excel(path, index=False)
            else:
                frame.to_csv(path, index=False, encoding=encoding)
        return tmp_path

    return writer
