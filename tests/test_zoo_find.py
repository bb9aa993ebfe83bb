"""Where presets are found, and what the list says."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import samplecnn_zoo
from samplecnn_zoo.zoo import PresetError, Score, Training, find, list_presets, load_pretrained, preset_info
from samplecnn_zoo.zoo import resolve as resolve_preset
from tests.presets import save_tiny


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundled presets: two good ones, one broken, and something else."""
    folder = tmp_path_factory.mktemp("weights")
    scores = (Score("ROC-AUC", 0.875, 0.85, 0.9, "made up", "test"), Score("PR-AUC", 0.25))
    save_tiny(folder / "tiny.b", name="tiny.b", scores=scores, training=Training("make b", 1.5, "2 cores"))
    shutil.copytree(folder / "tiny.b", folder / "tiny.a")
    value = json.loads((folder / "tiny.a" / "preset.json").read_text(encoding="utf-8"))
    value |= {"name": "tiny.a", "scores": [], "license": "MIT"}
    (folder / "tiny.a" / "preset.json").write_text(json.dumps(value), encoding="utf-8")
    shutil.copytree(folder / "tiny.b", folder / "tiny.broken")
    (folder / "tiny.broken" / "preset.json").write_text("{", encoding="utf-8")
    (folder / "notes").mkdir()
    return folder


@pytest.fixture(autouse=True)
def bundle(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "weights_dir", lambda: weights)
    monkeypatch.setattr(find, "PUBLISHED", {})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def test_the_list_has_what_can_be_loaded(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        infos = list_presets()
    assert [(info.name, info.where, info.license) for info in infos] == [
        ("tiny.a", "bundled", "MIT"),
        ("tiny.b", "bundled", "CC0-1.0"),
    ]
    assert infos[0].score is None
    assert infos[1].score == Score("ROC-AUC", 0.875, 0.85, 0.9, "made up", "test")
    assert infos[1].size_bytes == sum(file.stat().st_size for file in (weights / "tiny.b").iterdir())
    assert "tiny.broken" in caplog.text
    assert "no JSON" in caplog.text


def test_a_bundled_preset_loads_by_name() -> None:
    assert preset_info("tiny.b").scores[1].value == 0.25
    assert load_pretrained("tiny.b").preset.name == "tiny.b"


def test_a_directory_comes_before_a_bundled_name(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(weights / "tiny.a", tmp_path / "tiny.b")
    assert resolve_preset("tiny.b") == weights / "tiny.b"
    monkeypatch.chdir(tmp_path)
    assert resolve_preset("tiny.b") == Path("tiny.b")
    assert preset_info("tiny.b").license == "MIT"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny_b", "'tiny_b' is neither a directory nor the name of a preset; did you mean 'tiny.b'?"),
        ("musicnn", "there are: tiny.a, tiny.b, tiny.broken, and hf://org/name on the Hub"),
        ("", "'' is neither a directory nor"),
        ("../weights", "neither a directory nor"),
    ],
)
def test_an_unknown_name_says_what_there_is(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PresetError, match=message):
        preset_info(name)
    with pytest.raises(PresetError, match=message):
        load_pretrained(name)


def test_a_folder_of_presets_is_no_preset(weights: Path) -> None:
    with pytest.raises(PresetError, match=r"holds no preset\.json"):
        preset_info(weights)


def test_only_the_hub_has_revisions() -> None:
    with pytest.raises(PresetError, match=r"only a preset on the Hub .* has revisions, got 'v2'"):
        load_pretrained("tiny.b", revision="v2")


def test_no_bundled_presets_are_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "weights_dir", lambda: tmp_path / "nowhere")
    assert list_presets() == []
    with pytest.raises(PresetError, match="none is there"):
        preset_info("tiny.b")


def test_weights_lie_in_the_package_or_else_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    package = tmp_path / "samplecnn_zoo"
    package.mkdir()
    monkeypatch.setattr(samplecnn_zoo, "__file__", str(package / "__init__.py"))
    assert find.weights_dir() == tmp_path / "weights"
    (package / "weights").mkdir()
    assert find.weights_dir() == package / "weights"


def test_finding_presets_imports_no_keras() -> None:
    code = (
        "import sys; from samplecnn_zoo.zoo import list_presets; list_presets();"
        "print([name for name in ('keras', 'tensorflow', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
