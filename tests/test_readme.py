"""The code of the README runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.filterwarnings("ignore::groupeffect.errors.GroupEffectWarning")
@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code = code.replace('"event_study.svg"', repr(str(tmp_path / "event_study.svg")))
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert capsys.readouterr().out.strip()
    assert names.get("net") is not None or len(names["result"].tidy()) == 7


def test_there_are_two_blocks():
    assert len(BLOCKS) == 2


def test_files_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("CONTRIBUTING.md", "benchmarks/README.md", "docs/conventions.md", "analyses/config/main.toml"):
        assert name in text
        assert (ROOT / name).is_file()
