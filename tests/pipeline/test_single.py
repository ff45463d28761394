"""A fit described in TOML gives the same JSON as Python, for every estimator."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import groupeffect as ge
from groupeffect.cli import app
from groupeffect.errors import SpecError
from groupeffect.pipeline.single import fit_file
from groupeffect.simulate import dgp

PANEL = '[panel]\nfile = "panel.csv"\nunit = "unit"\ntime = "time"\noutcome = "y"\ncohort = "cohort"\nnever = [0]\n'
OPTIONS = {
    "TWFE": ('solver = "within"\n', {"solver": "within"}),
    "DRLearner": ("folds = 2\n", {"folds": 2}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("single")
    frame, _ = dgp("covariate_trends", n_units=60, n_times=6, seed=3)
    frame.to_csv(path / "panel.csv", index=False)
    return path


def columns(covariates=("x",)):
    return ge.Columns(unit="unit", time="time", outcome="y", cohort="cohort", never=(0,), covariates=covariates)


@pytest.mark.filterwarnings("ignore::groupeffect.errors.GroupEffectWarning")
@pytest.mark.parametrize("name", sorted(ge.discover()))
def test_toml_and_python_agree(folder, name):
    cls = ge.discover()[name]
    text, options = OPTIONS.get(name, ("", {}))
    block = cls.info.family == "synth"
    panel = ge.read_panel(folder / "panel.csv", columns(() if block else ("x",)))
    if block:
        treated = panel.unit_ids[np.isfinite(panel.adoption)][:2].tolist()
        donors = panel.unit_ids[np.isinf(panel.adoption)].tolist()
        start = float(panel.times[-2])
        section = f"[design]\ntreated = {treated}\nstart = {start}\ndonors = {donors}\n"
        design = ge.block_design(panel, treated=treated, start=start, donors=donors)
        inference, strategy = 'name = "PlaceboUnits"\ndraws = 20\nseed = 1\n', ge.PlaceboUnits(draws=20, seed=1)
    else:
        section = ""
        design = ge.staggered_design(panel)
        inference, strategy = 'name = "ClusterRobust"\n', ge.ClusterRobust()
    spec = PANEL + ("" if block else 'covariates = ["x"]\n') + section
    spec += f'[estimator]\nname = "{name}"\n{text}[inference]\n{inference}'
    path = folder / f"{name}.toml"
    path.write_text(spec, encoding="utf-8")
    here = ge.fit(cls(**options), panel, design).infer(strategy).to_json()
    assert fit_file(path).to_json() == here
    out = folder / f"{name}.json"
    done = CliRunner().invoke(app, ["fit", str(path), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8") == here


def test_aggregation_window_and_level(folder):
    path = folder / "window.toml"
    path.write_text(
        PANEL
        + "[design]\nbase_period = [1, 2]\n[estimator]\nname = 'CallawaySantAnna'\nmethod = 'reg'\n"
        + "[aggregation]\nname = 'by_event_time'\nlo = -2\nhi = 1\n[inference]\nname = 'Jackknife'\nlevel = 0.9\n",
        encoding="utf-8",
    )
    panel = ge.read_panel(folder / "panel.csv", columns(()))
    design = ge.staggered_design(panel, base_period=ge.baseline_window(1, 2))
    fit = ge.fit(ge.did.CallawaySantAnna(method="reg"), panel, design).aggregate(ge.by_event_time(-2, 1))
    assert fit_file(path).to_json() == fit.infer(ge.Jackknife(), level=0.9).to_json()


def test_every_fault_of_a_fit_file(folder):
    path = folder / "bad.toml"
    path.write_text(
        "[panel]\nfile = 'panel.csv'\nunits = 'unit'\n[desing]\n[estimator]\nmethod = 'dr'\n"
        "[inference]\nname = 'Jacknife'\n",
        encoding="utf-8",
    )
    with pytest.raises(SpecError) as caught:
        fit_file(path)
    text = str(caught.value)
    for part in ("'design'?", "'unit'?", "needs 'time'", "needs 'outcome'", "[estimator] needs a name", "'Jackknife'?"):
        assert part in text


def test_unknown_option_of_an_estimator(folder):
    path = folder / "option.toml"
    path.write_text(
        PANEL + "[estimator]\nname = 'CallawaySantAnna'\nmethd = 'dr'\n[inference]\nname = 'Jackknife'\n",
        encoding="utf-8",
    )
    with pytest.raises(SpecError, match="Did you mean 'method'"):
        fit_file(path)


def test_json_of_the_list(folder):
    done = CliRunner().invoke(app, ["list", "--json"])
    assert {row["name"] for row in json.loads(done.output)} >= {"CallawaySantAnna", "TWFE", "SyntheticDiD", "DRLearner"}


def test_validate_table_exit_codes(folder, tmp_path):
    roles = ["--unit", "unit", "--time", "time", "--outcome", "y"]
    good = CliRunner().invoke(app, ["validate", str(folder / "panel.csv"), *roles, "--cohort", "cohort"])
    assert good.exit_code == 0, good.output
    frame = pd.read_csv(folder / "panel.csv")
    pd.concat([frame, frame.head(2)]).to_csv(tmp_path / "twice.csv", index=False)
    bad = CliRunner().invoke(app, ["validate", str(tmp_path / "twice.csv"), *roles])
    assert bad.exit_code == 1
    assert "duplicate" in bad.output
