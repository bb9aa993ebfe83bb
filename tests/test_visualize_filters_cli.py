"""`samplecnn visualize filters`, `spectra` and `rates` as a user runs them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from samplecnn_zoo.cli import app
from samplecnn_zoo.models import FrameLevelMel
from samplecnn_zoo.visualize import log_spectra, style
from samplecnn_zoo.zoo import save_pretrained
from tests.presets import preset_for, save_tiny, tiny_model

pytest.importorskip("matplotlib", reason="pictures need the extra plots")

QUICK = ("--steps", "2")


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny networks at two rates, and one with a mel front end."""
    folder = tmp_path_factory.mktemp("presets")
    save_tiny(folder / "low")
    model = tiny_model(1, sr=16000)
    save_pretrained(model, folder / "high", preset=preset_for(model, name="tiny.high"))
    mel = FrameLevelMel(27, 9, 2, sr=8000, num_tags=5, widths=[4, 6, 8])
    arguments = {"window": 27, "hop": 9, "n": 2}
    record = preset_for(mel, name="tiny.mel", builder="FrameLevelMel", arguments=arguments)
    save_pretrained(mel, folder / "mel", preset=record)
    return folder


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["visualize", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_spectra_gives_a_picture_its_arrays_and_the_peaks(presets: Path, tmp_path: Path) -> None:
    picture = tmp_path / "new" / "fig3.png"
    code, out, err = run("spectra", presets / "low", "-o", picture, "--arrays", *QUICK)
    arrays = picture.with_suffix(".npz")
    assert (code, err.replace("\n", "")) == (0, f"{picture} and {arrays}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in picture.parent.iterdir()) == ["fig3.npz", "fig3.png"]
    lines = out.splitlines()
    assert lines[0] == "tiny.random, peaks of filters from 0 to 4000 Hz"
    assert [line.split()[0] for line in lines[2:6]] == ["stage1", "stage2", "stage3", "stage4"]
    with np.load(arrays) as found:
        for stage, filters in (("stage1", 6), ("stage2", 7), ("stage3", 8), ("stage4", 9)):
            assert found[f"{stage}_waveforms"].shape == (filters, 729)
            assert found[f"{stage}_activation"].shape == (3, filters)
            rows = found[f"{stage}_filters"]
            power = log_spectra(found[f"{stage}_waveforms"])[rows]
            np.testing.assert_allclose(found[f"{stage}_power"], power, rtol=1e-4)
            peaks = found[f"{stage}_frequencies_hz"][power.argmax(axis=1)]
            np.testing.assert_allclose(found[f"{stage}_peaks_hz"], peaks)
        assert found["sample_rate_hz"] == 8000


def test_filters_draws_the_stages_asked_for(presets: Path, tmp_path: Path) -> None:
    options = ("--stages", "stage2,top", "--samples", 1458, "--seed", 1, *QUICK)
    code, out, _ = run("filters", presets / "low", "-o", tmp_path / "fig2.svg", *options, "--format", "json")
    assert code == 0
    assert (tmp_path / "fig2.svg").read_text(encoding="utf-8").startswith("<?xml")
    [facts] = json.loads(out)
    assert (facts["preset"], facts["sample_rate_hz"]) == ("tiny.random", 8000)
    assert [stage["stage"] for stage in facts["stages"]] == ["stage2", "top"]
    assert set(facts["stages"][0]["distance_hz"]) == {"linear", "mel", "bark"}


def test_rates_draws_several_presets(presets: Path, tmp_path: Path) -> None:
    picture = tmp_path / "fig4.pdf"
    both = (presets / "low", presets / "high")
    code, out, _ = run("rates", *both, "-o", picture, "--arrays", "--stages", "stage1,stage2", *QUICK)
    assert code == 0
    assert picture.read_bytes().startswith(b"%PDF")
    assert re.findall(r"(\S+), peaks of filters from 0 to (\d+) Hz", out) == [
        ("tiny.random", "4000"),
        ("tiny.high", "8000"),
    ]
    with np.load(picture.with_suffix(".npz")) as found:
        assert found["tiny.high/stage2_frequencies_hz"][-1] <= 8000
        assert found["tiny.random/stage2_waveforms"].shape == found["tiny.high/stage2_waveforms"].shape


def test_what_is_there_is_replaced_only_when_told(presets: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.with_suffix(".npz").write_bytes(b"mine")
    arguments = ("spectra", presets / "low", "-o", picture, "--arrays", "--stages", "stage1", *QUICK)
    code, _, err = run(*arguments)
    assert code == 2
    assert "a.npz: it is there; --overwrite replaces it" in err.replace("\n", "")
    assert not picture.exists()
    assert run(*arguments, "--overwrite")[0] == 0
    assert picture.with_suffix(".npz").read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spectra", "{presets}/none", "-o", "a.png"), "none"),
        (
            ("spectra", "{presets}/low", "-o", "a.jpg"),
            "a.jpg: the name of an output ends in one of .png, .svg",
        ),
        (("filters", "{presets}/mel", "-o", "a.png"), "does not hear the waveform through learned filters"),
        (("spectra", "{presets}/low", "-o", "a.png", "--stages", "stage5"), "its stages are stage1, stage2"),
        (
            ("rates", "{presets}/low", "-o", "a.png", "--samples", "80"),
            "a frame of stage3 .* spans 81 samples",
        ),
        (("rates", "{presets}/low", "{presets}/low", "-o", "a.png"), "each preset is drawn once"),
        (("spectra", "{presets}/low", "-o", "a.png", "--step", "0"), "step must be finite and more than 0"),
        (("spectra", "{presets}/low", "-o", "file/a.png"), "file/a.png: .*; choose an output that can be"),
        (("spectra", "{presets}/low", "-o", "folder.png"), "folder.png: it is a folder; give the name of"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: tuple[str, ...],
    message: str,
    presets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("no folder")
    Path("folder.png").mkdir()
    code, out, err = run(*(text.format(presets=presets) for text in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("samplecnn: ") and err.count("\n") == 1
    assert re.search(message, err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_without_matplotlib_the_way_to_it_is_told(
    presets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "can_draw", lambda: False)
    code, _, err = run("spectra", presets / "low", "-o", tmp_path / "a.png")
    assert (code, err) == (2, f"samplecnn: pictures need matplotlib: {style.INSTALL}\n")
