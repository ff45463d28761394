"""Exhibits of the paper: figures, tables and numbers as files that ``paper.typ`` reads; no result is typed there.

Written into one folder:

* ``numbers.json``: numbers as text, by group and name (``numbers.member.value``)
* ``sentences.json``: sentences whose verdict depends on the results, from the findings of the brief
* ``tables.json``: tables as headings, rows and alignment, all text
* ``figures/NAME.svg`` and ``.csv``, and ``figures.json``: what each shows, in words
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groupeffect.report.brief_content import BriefContent, brief_content
from groupeffect.report.content import Estimate, PaperContent, PublicStudy, RoleResults, StudyResults
from groupeffect.report.frames import event_rows, named
from groupeffect.report.locale import phrase
from groupeffect.report.numbers import NumberKind, decimals_for, format_number
from groupeffect.report.tables import SMALL_CELL, display, suppress_small
from groupeffect.report.verdicts import months_phrase

if TYPE_CHECKING:
    import os

    import pandas as pd

__all__ = ["write_exhibits"]


def write_exhibits(content: PaperContent, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write everything that the paper reads.

    Parameters
    ----------
    content : PaperContent
        Results of the study, of the simulations and of the study on public data.
    folder : path
        Made if needed.

    Returns
    -------
    tuple of Path
        The files, without the figures' data.
    """
    place = Path(folder)
    (place / "figures").mkdir(parents=True, exist_ok=True)
    brief = brief_content(content.study)
    written = [
        _json(place / "numbers.json", _numbers(content)),
        _json(place / "sentences.json", _sentences(brief)),
        _json(place / "tables.json", _tables(content, brief)),
        _json(place / "figures.json", _figures(content, brief, place / "figures")),
    ]
    return tuple(written)


def _json(path: Path, body: Mapping[str, Any]) -> Path:
    text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
    return path


def _number(value: float, kind: NumberKind = "count", decimals: int = 3) -> str:
    return format_number(value, kind, "en", decimals=decimals)


def _estimate(estimate: Estimate, truth: float | None = None, *, least: int = 3) -> dict[str, str]:
    """Value, interval and counts of an estimate as text."""
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    decimals = decimals_for(values.values(), (0.0,), least=least)
    found = {name: _number(value, "effect", decimals) for name, value in values.items()}
    found["interval"] = f"{found['low']} to {found['high']}"
    found["level"] = _number(estimate.level, "level")
    for name in ("n_treated", "n_comparison", "n_clusters"):
        count = getattr(estimate, name)
        if count is not None:
            found[name] = _number(count)
    if truth is not None:
        found["truth"] = _number(truth, "effect")
    return found


def _role(study: StudyResults, role: RoleResults) -> dict[str, str]:
    found = _estimate(role.overall, study.true_value(role.overall.key))
    counts = {"n_schools": role.n_schools, "n_comparison": role.n_comparison}
    counts |= {"n_groups": role.n_groups, "n_counties": role.n_counties, "score": role.certainty.score}
    found |= {name: _number(value) for name, value in counts.items()}
    found["months"] = phrase("en", f"months.{months_phrase(role.overall.value, 3)[0]}").format(
        n=months_phrase(role.overall.value, 3)[1]
    )
    found["certainty"] = phrase("en", f"certainty.{role.certainty.label}")
    found["comparison"] = phrase("en", f"comparison.{role.comparison}")
    return found


def _numbers(content: PaperContent) -> dict[str, Any]:
    study, info = content.study, content.study.info
    years = {"first_time": info.first_time, "last_time": info.last_time}
    years |= {"first_join": info.first_join, "last_join": info.last_join}
    years |= {"base_first": info.baseline[0], "base_last": info.baseline[1]}
    if info.designation is not None:
        years |= {"picked_first": info.designation[0], "picked_last": info.designation[1]}
    body: dict[str, Any] = {
        "study": {name: _number(value, "year") for name, value in years.items()}
        | {
            "sesoi": _number(info.sesoi, "effect", 2),
            "version": info.version,
            "spec_hash": info.spec_hash[:16],
            "data_hash": info.data_hash[:16],
            "title": info.title.en,
        },
        "member": _role(study, study.member),
        "horizon": {
            "last_event_time": _number(study.horizon.last_event_time),
            "last_time": _number(study.horizon.last_time, "year"),
        },
        "public": _public(content.public),
        "simulation": _simulation(content),
    }
    if study.horizon.exhausted_from is not None:
        body["horizon"]["exhausted_from"] = _number(study.horizon.exhausted_from, "year")
    if study.core is not None:
        body["core"] = _role(study, study.core)
    if study.net is not None:
        body["net"] = _estimate(study.net, study.true_value(study.net.key))
    if study.non_inferiority is not None:
        verdict = study.non_inferiority
        body["margin"] = {
            "margin": _number(verdict.margin, "effect", 2),
            "lower": _number(verdict.lower, "effect"),
            "level": _number(verdict.level, "level"),
        }
    body["estimates"] = {
        item.key: _estimate(item, study.true_value(item.key))
        for item in study.estimates()
        if item.n_pupils is None or item.n_pupils >= SMALL_CELL
    }
    return body


def _public(public: PublicStudy) -> dict[str, Any]:
    return {
        "source": public.source,
        "outcome": public.outcome,
        "unit": public.outcome_unit,
        "n_units": _number(public.n_units),
        "first_time": _number(public.first_time, "year"),
        "last_time": _number(public.last_time, "year"),
        "analyses": [
            {"name": item.name, "title": item.title.en, "caveat": item.caveat, **_estimate(item.overall, least=2)}
            for item in public.analyses
        ],
    }


def _simulation(content: PaperContent) -> dict[str, Any]:
    """Rejection rates, bias and coverage by name, for the sentences of the paper."""
    found: dict[str, Any] = {"size": {}, "recovery": {}}
    for _, row in content.size.frame().iterrows():
        name = f"{row['scenario']}.{row['role']}.{row['analysis']}"
        found["size"][name] = {
            "rejection": _number(float(row["rejection"]), "percent"),
            "mean": _number(float(row["mean_estimate"]), "effect"),
            "draws": _number(float(row["draws"])),
        }
    recovery = content.recovery.frame()
    if len(recovery):
        overall = recovery[recovery["event_time"].isna()] if recovery["event_time"].isna().any() else recovery
        for _, row in overall.iterrows():
            found["recovery"][f"{row['scenario']}.{row['role']}"] = {
                "truth": _number(float(row["truth"]), "effect"),
                "bias": _number(float(row["bias"]), "effect"),
                "mc_error": _number(float(row["mc_error"]), "effect"),
                "coverage": _number(float(row["coverage"]), "percent"),
                "draws": _number(float(row["draws"])),
            }
    return found


def _sentences(brief: BriefContent) -> dict[str, Any]:
    """Sentences of the brief that carry a verdict, in English."""
    sections = ("facts", "scores", "core", "net", "whom", "designs")
    body: dict[str, Any] = {name: " ".join(finding.text("en") for finding in getattr(brief, name)) for name in sections}
    body["member"], body["core_verdict"] = (*[finding.text("en") for finding in brief.summary], "")[:2]
    body["title"] = "; ".join(finding.text("en") for finding in brief.title)
    body["horizon"] = brief.horizon.text("en")
    body["caveats"] = [finding.text("en") for finding in brief.caveats]
    body["verdicts"] = [finding.text("en") for finding in brief.verdicts]
    body["refusals"] = [text.en for text in brief.study.refusals]
    return body


def _shown(frame: pd.DataFrame, decimals: int = 3) -> dict[str, Any]:
    table = display(frame, "en", decimals=decimals)
    return {
        "headings": list(table.headings),
        "rows": [list(row) for row in table.rows],
        "numeric": list(table.numeric),
    }


def _tables(content: PaperContent, brief: BriefContent) -> dict[str, Any]:
    study = content.study
    body = {name: _shown(frame) for name, frame in brief.tables if name not in ("all_estimates", "outcomes")}
    body["headline"] = _shown(_estimates_frame(study, _headline(study)))
    outcomes = _estimates_frame(study, study.outcomes)
    body["outcomes"] = _shown(outcomes.rename(columns={"estimate": "estimate_own"}))
    more = (*study.estimators, *study.subgroups)
    body["more"] = _shown(_estimates_frame(study, more))
    body["size"] = _shown(_wide_size(content.size.frame()))
    recovery = _in_order(content.recovery.frame())
    if len(recovery):
        recovery["event_time"] = [
            "all" if value != value else _number(float(value)) for value in recovery["event_time"].tolist()
        ]
    body["recovery"] = _shown(recovery)
    body["public"] = _shown(_public_frame(content.public), decimals=2)
    return {name: table for name, table in body.items() if table["rows"]}


def _headline(study: StudyResults) -> tuple[Estimate, ...]:
    roles = [role for role in (study.member, study.core) if role is not None]
    found = [estimate for role in roles for estimate in (role.overall, *role.alternatives)]
    return (*found, *(() if study.net is None else (study.net,)))


def _estimates_frame(study: StudyResults, estimates: tuple[Estimate, ...]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {
            "label": _label(item),
            "estimate": item.value,
            "std_error": item.std_error,
            "conf_low": item.low,
            "conf_high": item.high,
            "true_value": study.true_value(item.key),
            "n_treated": item.n_treated,
            "n_comparison": item.n_comparison or None,
            "n_pupils": item.n_pupils,
        }
        for item in estimates
    ]
    frame = pd.DataFrame(rows)
    for name in [name for name in frame.columns if name != "label"]:
        frame[name] = frame[name].astype(float)
    if not rows:
        return frame
    return suppress_small(frame).drop(columns="n_pupils").dropna(axis="columns", how="all")


def _label(item: Estimate) -> str:
    if item.label is not None:
        return item.label.en
    role, _, code = item.key.partition(".")
    name = phrase("en", {"member": "ui.members", "core": "ui.cores"}.get(role, "ui.net"))
    return name if code == "overall" else f"{name}, against {phrase('en', f'comparison.{code}')}"


_ORDER = ("pre_designation", "all_never", "not_yet_core", "last_year_base", "twfe", "before_after")


def _wide_size(size: pd.DataFrame) -> pd.DataFrame:
    """One row per role and analysis, the default first; mean, spread and rejection rate by scenario."""
    import pandas as pd

    if not len(size):
        return size
    names = {"mean_estimate": "mean", "sd_estimate": "spread", "rejection": "rejection"}
    rows = []
    for role in [role for role in ("member", "core") if (size["role"] == role).any()]:
        own = size[size["role"] == role]
        known = [name for name in _ORDER if (own["analysis"] == name).any()]
        for analysis in [*known, *sorted(set(own["analysis"]) - set(_ORDER))]:
            cells = own[own["analysis"] == analysis].set_index("scenario")
            row: dict[str, object] = {"role": role, "analysis": analysis}
            for scenario in sorted(set(size["scenario"])):
                for name, short in names.items():
                    value = cells.loc[scenario, name] if scenario in cells.index else float("nan")
                    row[f"{short}.{scenario}"] = value
            rows.append(row)
    return pd.DataFrame(rows)


def _in_order(recovery: pd.DataFrame) -> pd.DataFrame:
    """Members before core schools, event times in order, the average over all last."""
    if not len(recovery):
        return recovery
    role = [{"member": 0, "core": 1}.get(str(name), 2) for name in recovery["role"]]
    return (
        recovery.assign(_role=role)
        .sort_values(["scenario", "_role", "event_time"], kind="stable", na_position="last")
        .drop(columns="_role")
    )


def _public_frame(public: PublicStudy) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for item in public.analyses:
        for estimate in (item.overall, *item.others):
            method = "group-time" if estimate.label is None else estimate.label.en
            rows.append(
                {
                    "label": item.title.en,
                    "estimator": method,
                    "effect": estimate.value,
                    "std_error": estimate.std_error,
                    "conf_low": estimate.low,
                    "conf_high": estimate.high,
                    "n_treated_units": estimate.n_treated,
                }
            )
    frame = pd.DataFrame(rows)
    return frame.astype({"n_treated_units": float, "std_error": float}) if rows else frame


def _figures(content: PaperContent, brief: BriefContent, folder: Path) -> dict[str, Any]:
    """Draw every figure that has data; returns what each shows, in words."""
    from groupeffect.report.alt import alt_text
    from groupeffect.report.figures import figure_of
    from groupeffect.report.save import svg_text
    from groupeffect.report.tables import to_csv

    frames = {picture.key: picture.frame for picture in brief.pictures}
    frames |= _public_frames(content.public)
    shown = {}
    for name, frame in frames.items():
        (folder / f"{name}.svg").write_text(svg_text(figure_of(frame)), encoding="utf-8", newline="\n")
        if name != "effect_distribution":
            to_csv(frame, folder / f"{name}.csv")
        shown[name] = alt_text(frame)
    return shown


def _public_frames(public: PublicStudy) -> dict[str, pd.DataFrame]:
    import pandas as pd

    groups: dict[str, list[pd.DataFrame]] = {}
    for item in public.analyses:
        if len(item.path):
            groups.setdefault(item.name, []).append(event_rows(item.path.frame(), "other"))
    unit = public.outcome_unit
    return {
        f"public_{name}": named(pd.concat(rows), "event_study", level=0.95, unit=unit) for name, rows in groups.items()
    }
