"""Steps: only stale ones run, an interrupted run continues, outputs are byte-identical, provenance says why."""

import json
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from groupeffect.errors import PanelError, SpecError
from groupeffect.pipeline.run import run_step, run_study, verify
from groupeffect.pipeline.steps import STEPS
from groupeffect.pipeline.study import Record, Study
from groupeffect.simulate import dgp

TABLE = """
[study]
name = "toy"
title = "A toy"
languages = ["en"]

[table]
file = "{file}"
unit = "unit"
time = "time"
outcome = "y"
draws = 99

[[table.analyses]]
name = "joining"
title = "Joining"
cohort = "cohort"
never = [0]
caveat = "simulated"
"""


@pytest.fixture
def study_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dgp("constant_effects", n_units=80, n_times=6, seed=1)[0].to_csv("panel.csv", index=False)
    Path("toy.toml").write_text(TABLE.format(file="panel.csv"), encoding="utf-8")
    return Path("toy.toml")


def quiet():
    return Console(quiet=True)


def test_only_stale_steps_run(study_file):
    first = run_study(Study.open(study_file), console=quiet())
    assert [(outcome.step.name, outcome.status) for outcome in first] == [("table", "made")]
    again = run_study(Study.open(study_file), console=quiet())
    assert again[0].status == "unchanged"
    assert again[0].record == first[0].record
    study_file.write_text(study_file.read_text().replace("draws = 99", "draws = 199"))
    assert run_study(Study.open(study_file), console=quiet())[0].status == "made"
    dgp("constant_effects", n_units=80, n_times=6, seed=2)[0].to_csv("panel.csv", index=False)
    assert run_study(Study.open(study_file), console=quiet())[0].status == "made"


def test_a_changed_output_is_made_again(study_file):
    study = Study.open(study_file)
    run_study(study, console=quiet())
    target = study.path("table", "joining_overall.csv")
    original = target.read_bytes()
    target.write_text("tampered")
    assert Record.read(study.path("table")) is None
    assert run_study(Study.open(study_file), console=quiet())[0].status == "made"
    assert target.read_bytes() == original


def test_an_interrupted_step_leaves_the_old_outputs_and_starts_again(study_file, monkeypatch):
    study = Study.open(study_file)
    run_study(study, console=quiet())
    before = study.path("table", "joining_overall.json").read_bytes()
    study_file.write_text(study_file.read_text().replace("draws = 99", "draws = 199"))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("groupeffect.pipeline.study.Study.finish", stop)
        with pytest.raises(KeyboardInterrupt):
            run_study(Study.open(study_file), console=quiet())
    assert study.path("table", "joining_overall.json").read_bytes() == before
    assert run_study(Study.open(study_file), console=quiet())[0].status == "made"
    assert not [path for path in study.folder.iterdir() if path.name.endswith(".unfinished")]


def test_provenance_names_spec_inputs_and_code_but_no_machine(study_file, tmp_path):
    study = Study.open(study_file)
    run_study(study, console=quiet())
    record = json.loads(study.path("table", "step.json").read_text(encoding="utf-8"))
    found = record["provenance"]
    assert found["specification"] == study.spec.hash
    assert any(name.endswith("panel.csv") for name in found["inputs"])
    assert set(found["package"]) == {"version", "source"}
    declared = json.loads((study.folder / "specification.json").read_text(encoding="utf-8"))
    assert declared["hash"] == study.spec.hash
    assert str(tmp_path) not in json.dumps(record)


def test_two_runs_write_the_same_bytes(study_file):
    assert verify([study_file], console=quiet()) == []


def test_a_missing_table_is_an_error(study_file):
    Path("panel.csv").unlink()
    with pytest.raises(SpecError, match=r"no table panel\.csv"):
        run_study(Study.open(study_file), console=quiet())


def test_faulty_school_files_stop_the_study(tmp_path, monkeypatch):
    from groupeffect.simulate import simulate_schools, write_reform

    monkeypatch.chdir(tmp_path)
    write_reform(simulate_schools(n_schools=100, seed=1, faults=False), Path("files"))
    schools = pd.read_csv("files/schools.csv")
    other = schools.head(1).assign(enrol=schools["enrol"].iloc[0] + 1)
    pd.concat([schools, other]).to_csv("files/schools.csv", index=False)
    Path("s.toml").write_text(
        '[study]\nname = "s"\ntitle = "S"\nlanguages = ["en"]\n[schools]\nfolder = "files"\n[reform]\n',
        encoding="utf-8",
    )
    with pytest.raises(PanelError) as caught:
        run_study(Study.open("s.toml"), console=quiet())
    assert caught.value.violations


def test_every_step_has_its_own_name_and_known_inputs():
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
    for position, step in enumerate(STEPS):
        assert set(step.after) <= set(names[:position])


@pytest.mark.filterwarnings("ignore::groupeffect.errors.GroupEffectWarning")
def test_a_twin_that_does_not_fit_is_refused_not_reported(tmp_path):
    from groupeffect.pipeline.contents import study_results

    root = Path(__file__).parents[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        study = Study.open("analyses/config/small.toml")
        steps = {step.name: step for step in STEPS}
        study.folder = tmp_path
        for name in ("reform", "synthetic"):
            run_step(study, steps[name])
        results = study_results(study)
    keys = [estimate.key for estimate in results.estimators]
    assert "group.synthetic_did" in keys
    assert "group.synthetic_control" not in keys
    assert any("no twin reproduces its path" in text.en for text in results.refusals)
    assert any(text.en.startswith("outcome tested_share") for text in results.refusals)
