"""The study file: every fault at once, with suggestions."""

from pathlib import Path

import pytest

from groupeffect.errors import SpecError
from groupeffect.pipeline.spec import load_spec

CONFIG = Path(__file__).parents[2] / "analyses" / "config"


def written(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["main", "small", "mathpnl"])
def test_study_files_of_the_project_are_valid(name):
    spec = load_spec(CONFIG / f"{name}.toml")
    assert spec.study.name == name


def test_all_faults_are_listed_with_suggestions(tmp_path):
    path = written(
        tmp_path,
        '[study]\nname = "Bad Name"\ntitel = "x"\n[schools]\nfolder = "x"\n[reform]\nmargn = 0.1\nmargin = -1\n',
    )
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    text = str(caught.value)
    assert len(caught.value.violations) == 5
    assert "Did you mean 'title'?" in text
    assert "Did you mean 'margin'?" in text
    assert "study.name" in text
    assert "reform.margin" in text


def test_analyses_need_data(tmp_path):
    path = written(tmp_path, '[study]\nname = "a"\ntitle = "A"\n[reform]\n')
    with pytest.raises(SpecError, match=r"need a \[schools\] section"):
        load_spec(path)


def test_one_source_of_data_only(tmp_path):
    path = written(tmp_path, '[study]\nname = "a"\ntitle = "A"\n[schools]\nfolder = "x"\n[schools.generate]\n')
    with pytest.raises(SpecError, match="not both"):
        load_spec(path)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(SpecError, match="no study file"):
        load_spec(tmp_path / "none.toml")
    with pytest.raises(SpecError, match="not valid TOML"):
        load_spec(written(tmp_path, "[study\n"))


def test_hash_follows_choices_not_layout(tmp_path):
    first = load_spec(written(tmp_path, '[study]\nname = "a"\ntitle = "A"\n'))
    same = load_spec(written(tmp_path, '# a comment\n[study]\ntitle = "A"\nname = "a"\n'))
    other = load_spec(written(tmp_path, '[study]\nname = "a"\ntitle = "B"\n'))
    assert first.hash == same.hash != other.hash
