"""A small hand-made study, frozen, for everything the report writes."""

import numpy as np
import pandas as pd
import pytest

from groupeffect.report.content import (
    Certainty,
    Contrast,
    Estimate,
    Horizon,
    Luck,
    NonInferiority,
    PaperContent,
    PublicAnalysis,
    PublicStudy,
    RoleResults,
    StudyInfo,
    StudyResults,
    Table,
    Text,
)

TIDY = [
    "term", "cohort", "time", "event_time", "estimate", "std_error", "statistic", "p_value",
    "conf_low", "conf_high", "band_low", "band_high", "n_treated", "n_comparison",
]  # fmt: skip


def path_table(times, values, std_error, n_treated, n_comparison, band=False):
    values, error = np.asarray(values, float), np.asarray(std_error, float)
    frame = pd.DataFrame({"event_time": np.asarray(times, float), "estimate": values, "std_error": error})
    frame["term"], frame["cohort"], frame["time"] = "att", np.nan, np.nan
    frame["statistic"], frame["p_value"] = values / error, 0.5
    frame["conf_low"], frame["conf_high"] = values - 1.96 * error, values + 1.96 * error
    frame["band_low"] = values - 2.6 * error if band else np.nan
    frame["band_high"] = values + 2.6 * error if band else np.nan
    frame["n_treated"], frame["n_comparison"] = n_treated, n_comparison
    return Table.of(frame[TIDY])


def support_table():
    rows, counts = [], {2022: 331, 2023: 214, 2024: 98}
    left = {2022: 331, 2023: 214, 2024: 98, 2025: 0}
    for cohort, size in {2022: 128, 2023: 117, 2024: 116, 2025: 98}.items():
        for year in range(2016, 2026):
            n = left.get(year, counts[2022]) if year >= cohort else 0
            early = "baseline" if year < 2020 else "selection" if year < 2022 else "before"
            status = early if year < cohort else "identified" if n else "no_comparison"
            rows.append((cohort, year, size, n, status))
    return Table.of(pd.DataFrame(rows, columns=["cohort", "time", "n_treated", "n_comparison", "status"]))


def designs_table(truth=True):
    rows = [
        ("member", "before_after", 0.121, 0.100, 0.142, 361, 0, 0.071),
        ("member", "last_year_base", 0.099, 0.071, 0.127, 361, 331, 0.071),
        ("member", "pre_designation", 0.083, 0.042, 0.124, 361, 331, 0.071),
        ("core", "before_after", -0.071, -0.095, -0.047, 160, 0, -0.031),
        ("core", "last_year_base", -0.055, -0.087, -0.023, 160, 240, -0.031),
        ("core", "pre_designation", -0.036, -0.073, 0.001, 160, 240, -0.031),
    ]
    names = ["role", "analysis", "estimate", "conf_low", "conf_high", "n_treated", "n_comparison", "true_value"]
    frame = pd.DataFrame(rows, columns=names)
    return Table.of(frame if truth else frame[names[:-1]])


def missing_table():
    rng = np.random.default_rng(3)
    rows = []
    for cohort, size in {2022: 178, 2023: 174, 2024: 176, 2025: 128, np.inf: 844}.items():
        for year in range(2016, 2026):
            n = int(rng.binomial(size, 0.04))
            rows.append((cohort, year, size, n, n / size))
    frame = pd.DataFrame(rows, columns=["cohort", "time", "n_units", "n_missing", "share_missing"])
    return Table.of(frame.astype({"cohort": float}))


def synthetic_table():
    year = np.arange(2016, 2026)
    twin = -0.32 + 0.01 * np.sin(year) + 0.004 * (year - 2016)
    gap = np.where(year >= 2022, 0.03 * (year - 2021), 0.004 * np.cos(3 * year))
    frame = pd.DataFrame({"time": year, "observed": twin + gap, "synthetic": twin, "gap": gap})
    frame["conf_low"], frame["conf_high"] = gap - 0.03, gap + 0.03
    frame["is_treated"] = year >= 2022
    frame["n_treated"], frame["n_donors"] = 1, 9
    return Table.of(frame)


def distribution_table():
    values = np.sort(np.random.default_rng(5).normal(0.083, 0.04, 361))
    frame = pd.DataFrame({"kind": ["unit"] * 361 + ["mean"], "value": np.r_[values, 0.083]})
    frame["conf_low"], frame["conf_high"] = np.nan, np.nan
    frame.loc[361, ["conf_low", "conf_high"]] = 0.042, 0.124
    return Table.of(frame)


def make_info(**changes):
    given = {
        "name": "synthetic",
        "title": Text("School groups in the synthetic province", "模拟省的集团化办学"),
        "place": Text("Synthetic province", "模拟省"),
        "outcome": Text("mean exam score, all subjects", "各科考试平均成绩"),
        "data_kind": "synthetic",
        "first_time": 2016,
        "last_time": 2025,
        "first_join": 2022,
        "last_join": 2025,
        "baseline": (2016, 2019),
        "designation": (2020, 2021),
        "spec_hash": "3f9a1c77d0e2",
        "data_hash": "b81200ce4471",
        "version": "0.1.0",
        "next_update": Text("when the exam scores of 2026 are in", "2026年考试成绩公布后"),
    }
    return StudyInfo(**{**given, **changes})


def make_certainty(start=3, *failed):
    every = ("comparison", "pre_trend", "attrition", "power", "sensitivity", "declared")
    return Certainty("staggered", start, failed, tuple(name for name in every if name not in failed), ("intake",))


MODERATE = (3,)
LOW = (3, "pre_trend")
VERY_LOW = (3, "pre_trend", "power")


def make_member(value=0.083, low=0.042, high=0.124, certainty=MODERATE):
    overall = Estimate(
        "member.overall", value, low, high, std_error=0.021, n_treated=361, n_comparison=331, n_clusters=189,
        n_pupils=24120, source="results/member_overall.json#0",
    )  # fmt: skip
    path = path_table(
        np.arange(-6, 3), [0.004, -0.011, 0.006, 0.002, 0.013, 0.017, 0.048, 0.085, 0.117],
        [0.02, 0.018, 0.017, 0.018, 0.021, 0.022, 0.022, 0.027, 0.036], 361, 98, band=True,
    )  # fmt: skip
    return RoleResults(
        "member",
        overall,
        path,
        make_certainty(*certainty),
        "weak",
        361,
        331,
        160,
        18,
        n_pupils=24120,
        within_area=True,
        alternatives=(Estimate("member.all_never", 0.069, 0.044, 0.094, n_treated=402, n_comparison=844),),
    )


def make_core(value=-0.036, low=-0.073, high=0.001, certainty=MODERATE):
    overall = Estimate(
        "core.overall", value, low, high, std_error=0.019, n_treated=160, n_comparison=240,
        source="results/core_overall.json#0",
    )  # fmt: skip
    path = path_table(
        np.arange(-6, 3), [-0.006, 0.009, 0.003, -0.004, -0.002, -0.008, -0.018, -0.041, -0.052],
        [0.015, 0.015, 0.014, 0.015, 0.017, 0.017, 0.017, 0.02, 0.027], 160, 41,
    )  # fmt: skip
    return RoleResults("core", overall, path, make_certainty(*certainty), "strong", 160, 240, 160, 18, within_area=True)


def labelled(key, en, zh, value, half, n, pupils=None):
    return Estimate(
        key, value, value - half, value + half, n_treated=n, n_comparison=331, n_pupils=pupils, label=Text(en, zh)
    )


def make_subgroups():
    return (
        labelled("sub.intensive", "Intensive model", "紧密型", 0.112, 0.055, 92, 6100),
        labelled("sub.composite", "Composite model", "混合型", 0.096, 0.06, 105, 7020),
        labelled("sub.loose", "Loose model", "松散型", 0.032, 0.05, 164, 11000),
        labelled("sub.tiny", "Island schools", "海岛学校", 0.2, 0.3, 2, 7),
    )


def make_contrast():
    first = Text("Groups of the intensive model", "紧密型集团")
    second = Text("groups of the loose model", "松散型集团")
    return Contrast(labelled("con.model", "", "", 0.08, 0.07, 256), first, second)


def make_annex():
    baseline = pd.DataFrame(
        {
            "role": ["member"] * 3,
            "name": ["score", "enrol", "disadv_share"],
            "treated_mean": [-0.41, 382.0, 0.33],
            "comparison_mean": [-0.38, 369.0, 0.31],
            "sd": [1.0, 210.0, 0.11],
            "g": [-0.03, 0.06, 0.18],
            "category": ["satisfied", "satisfied_with_adjustment", "satisfied_with_adjustment"],
        }
    )
    attrition = pd.DataFrame(
        {
            "role": ["member"],
            "overall": [0.041],
            "treated": [0.042],
            "comparison": [0.039],
            "differential": [0.003],
            "allowed": [0.06],
            "low": [True],
        }
    )
    history = pd.DataFrame(
        {
            "step": ["read_panel", "roles"],
            "reason": ["score not observed", "built for a group: no year before joining"],
            "rows": [612, 940],
            "units": [0, 94],
        }
    )
    refuters = pd.DataFrame({"refuter": ["placebo joining years"], "new_estimate": [0.003], "p_value": [0.62]})
    names = ("baseline", "attrition", "history", "refuters")
    return {name: Table.of(frame) for name, frame in zip(names, (baseline, attrition, history, refuters), strict=True)}


def make_study(**changes):
    refused = Text(
        "Member effect three years after joining: no comparable school left.", "成员校加入三年后的影响：已无可比学校。"
    )
    truth = (("member.overall", 0.071), ("core.overall", -0.031), ("net.overall", 0.037))
    given = {
        "info": make_info(),
        "member": make_member(),
        "core": make_core(),
        "net": Estimate("net.overall", 0.041, 0.006, 0.076, n_treated=521, source="results/net.json#0"),
        "net_certainty": make_certainty(*MODERATE),
        "non_inferiority": NonInferiority("harm_not_excluded", 0.05, -0.067, 0.002, source="results/core_ni.json"),
        "horizon": Horizon(2.0, 2024.0, 2025.0, source="results/support.json"),
        "support": support_table(),
        "luck": Luck(0.121, 0.051, source="results/luck.json"),
        "design_comparison": designs_table(),
        "estimators": (
            labelled("est.twfe", "Two-way fixed effects (warning example)", "双向固定效应（警示例）", 0.058, 0.02, 361),
            labelled("est.sdid", "Synthetic DiD, first wave", "合成双重差分，首批", 0.088, 0.041, 128),
        ),
        "subgroups": make_subgroups(),
        "contrasts": (make_contrast(),),
        "outcomes": (
            labelled("out.math", "Mathematics", "数学", 0.099, 0.046, 361),
            labelled("out.chinese", "Chinese", "语文", 0.066, 0.04, 361),
        ),
        "synthetic_path": synthetic_table(),
        "effect_distribution": distribution_table(),
        "missingness": missing_table(),
        "refusals": (refused,),
        "truth": Table(("key", "value"), truth),
        **make_annex(),
    }
    return StudyResults(**{**given, **changes})


def make_public():
    def entry(name, title, value, half, n):
        overall = Estimate(f"{name}.overall", value, value - half, value + half, std_error=half / 1.96, n_treated=n)
        twfe = Estimate(
            f"{name}.twfe", 0.8 * value, 0.8 * value - half, 0.8 * value + half,
            std_error=half / 1.96, n_treated=n, label=Text("two-way fixed effects"),
        )  # fmt: skip
        path = path_table(np.arange(-3, 4), value * np.array([0, 0.1, 0, 0.5, 1, 1.2, 1.4]), [half / 2] * 7, n, 180)
        caveat = "Low-spending districts grew most, by law."
        return PublicAnalysis(name, Text(title), overall, path, (twfe,), caveat)

    analyses = (
        entry("charter_entry", "First pupils in charter academies", -0.7, 1.9, 75),
        entry("finance_largest", "1994 finance reform: largest against smallest third of grants", 2.4, 2.1, 183),
    )
    return PublicStudy("Papke (2005)", "share passing the test", "percentage points", 550, 1992, 1998, analyses)


def make_paper(**changes):
    rows = []
    for scenario in ("null", "rtm_only"):
        for role, sign in (("member", 1), ("core", -1)):
            for analysis, mean, rejected in (
                ("pre_designation", 0.002, 0.05), ("last_year_base", 0.03, 0.62), ("twfe", 0.027, 0.6),
                ("before_after", 0.041, 0.97),
            ):  # fmt: skip
                rows.append((scenario, role, analysis, 200, sign * mean, 0.03, 0.031, rejected))
    names = ["scenario", "role", "analysis", "draws", "mean_estimate", "sd_estimate", "mean_std_error", "rejection"]
    size = Table.of(pd.DataFrame(rows, columns=names))
    rows = [
        ("clean", role, event, 200, sign * 0.06, sign * 0.061, 0.001, 0.002, 0.94)
        for role, sign in (("member", 1), ("core", -1))
        for event in (np.nan, 0, 1, 2)
    ]
    names = ["scenario", "role", "event_time", "draws", "truth", "mean_estimate", "bias", "mc_error", "coverage"]
    given = {"study": make_study(), "size": size, "recovery": Table.of(pd.DataFrame(rows, columns=names))}
    return PaperContent(**{**given, "public": make_public(), **changes})


@pytest.fixture
def paper():
    return make_paper()


@pytest.fixture
def study():
    return make_study()


@pytest.fixture
def make():
    """Makers of parts with other numbers."""

    class Makers:
        info = staticmethod(make_info)
        member = staticmethod(make_member)
        core = staticmethod(make_core)
        study = staticmethod(make_study)
        certainty = staticmethod(make_certainty)

    return Makers


@pytest.fixture(scope="session")
def staggered():
    """Panel, design and fit of a small staggered roll-out."""
    import groupeffect as ge

    rng = np.random.default_rng(7)
    rows = [
        (f"s{i}", t, g, i % 30, 0.3 * rng.normal() + (0.1 * (t - g + 1) if t >= g > 0 else 0.0))
        for i in range(90)
        for g in [[0, 2019, 2020][i % 3]]
        for t in range(2015, 2023)
        if rng.random() > 0.03
    ]
    frame = pd.DataFrame(rows, columns=["school", "year", "g", "county", "y"])
    columns = ge.Columns(
        unit="school", time="year", outcome="y", cohort="g", never=(0,), attributes=("county",), outcome_unit="sd"
    )
    panel = ge.read_panel(frame, columns)
    design = ge.staggered_design(panel)
    return panel, design, ge.fit(ge.did.CallawaySantAnna(unbalanced="pairs"), panel, design)


@pytest.fixture(scope="session")
def result(staggered):
    import groupeffect as ge

    fitted = staggered[2].aggregate(ge.by_event_time(-3, 2))
    return fitted.infer(ge.MultiplierBootstrap(by="county", draws=199, seed=1))
