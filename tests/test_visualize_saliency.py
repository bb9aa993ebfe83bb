"""What drove a tag is found where it is, adds up, and is the same on TensorFlow, JAX and torch.

Keras takes its backend at import, so each of the others gets a process: this file, run as a script.
"""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

SAMPLES = 400
FROM, TO = 150, 190  # all that the hand-made network hears


def deaf_model(activation: str | None = "sigmoid") -> Any:
    """A network of two tags that hears samples FROM to TO alone: the first likes them, the second doesn't."""
    import keras

    heard = keras.Input((SAMPLES, 1))
    x = keras.layers.Cropping1D((FROM, SAMPLES - TO))(heard)
    x = keras.layers.Conv1D(3, 5, activation="relu", name="ears")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dropout(0.5)(x)
    model = keras.Model(heard, keras.layers.Dense(2, activation=activation)(x))
    rng = np.random.default_rng(0)
    model.get_layer("ears").set_weights([rng.normal(size=(5, 1, 3)), np.array([0.1, -0.1, 0.0])])
    model.layers[-1].set_weights([np.array([[3.0, -3.0]] * 3), np.array([-1.0, 0.5])])
    return model


def tiny() -> Any:
    """A tiny preset's network with the same weights on every backend; BatchNorm's are settled already."""
    from tests.presets import tiny_model

    model = tiny_model()
    rng = np.random.default_rng(1)
    kernels = [rng.normal(0, 0.5, w.shape) if w.ndim > 1 else w for w in model.get_weights()]
    model.set_weights(kernels)
    return model


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


def findings() -> dict[str, Any]:
    """What the tests compare between backends: of the hand-made network and of a trained-like one."""
    from samplecnn_zoo.visualize.saliency import Explainer

    found = {}
    for name, model, samples in (("deaf", deaf_model(), SAMPLES), ("tiny", tiny(), 729)):
        for method in ("integrated", "gradient"):
            explain = Explainer(model, 1, method=method, steps=200, mean=0.02, std=0.4, batch_size=67)
            values, odds, silence = explain(noise(samples))
            found[f"{name} {method}"] = {"values": values.tolist(), "odds": odds, "silence": silence}
    return found


@cache
def run(backend: str) -> dict[str, Any]:
    """The findings on a backend, in a process of its own."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'samplecnn_zoo[backends]'")
    root = str(Path(__file__).parents[1])
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": root, "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


BACKENDS = pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])


@BACKENDS
def test_only_what_is_heard_is_blamed(backend: str) -> None:
    for method in ("integrated", "gradient"):
        values = np.array(run(backend)[f"deaf {method}"]["values"])
        assert not values[:FROM].any() and not values[TO:].any()
        assert np.count_nonzero(values[FROM:TO]) == TO - FROM


@BACKENDS
@pytest.mark.parametrize("network", ["deaf", "tiny"])
def test_integrated_gradients_are_complete(backend: str, network: str) -> None:
    found = run(backend)[f"{network} integrated"]
    wanted = found["odds"] - found["silence"]
    assert abs(wanted) > 0.1
    assert sum(found["values"]) == pytest.approx(wanted, rel=0.02)
    assert sum(run(backend)[f"{network} gradient"]["values"]) != pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree(backend: str) -> None:
    for name, wanted in run("tensorflow").items():
        np.testing.assert_allclose(run(backend)[name]["values"], wanted["values"], atol=2e-4, err_msg=name)
        assert run(backend)[name]["odds"] == pytest.approx(wanted["odds"], abs=1e-4)


def test_what_is_explained_is_the_log_odds() -> None:
    """Of sigmoids and softmax alike log(s / (1 - s)); logits are what they are. Inference: no dropout."""
    from keras import ops

    from samplecnn_zoo.visualize.saliency import log_odds

    batch = noise(3 * SAMPLES).reshape(3, SAMPLES, 1)
    for activation in ("sigmoid", "softmax", None):
        model = deaf_model(activation)
        scores = ops.convert_to_numpy(model(batch, training=False))[:, 1].astype(np.float64)
        wanted = scores if activation is None else np.log(scores) - np.log1p(-scores)
        found = ops.convert_to_numpy(log_odds(model, 1)(ops.convert_to_tensor(batch)))
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_sure_network_is_explained_too() -> None:
    """A score of 1 to the last bit has a slope of 0; its log-odds have not."""
    from samplecnn_zoo.visualize.saliency import Explainer

    model = deaf_model()
    model.layers[-1].set_weights([np.full((3, 2), 300.0), np.zeros(2)])
    assert float(model(noise(SAMPLES)[np.newaxis, :, np.newaxis])[0, 1]) == 1.0
    assert np.abs(Explainer(model, 1, method="gradient")(noise(SAMPLES))[0]).max() > 1


def test_other_ends_and_options_are_refused() -> None:
    import keras

    from samplecnn_zoo.visualize.saliency import Explainer

    model = deaf_model()
    tanh = keras.Model(model.inputs[0], keras.layers.Dense(2, activation="tanh")(model.layers[-1].input))
    with pytest.raises(ValueError, match="ends in a Dense layer with sigmoid, softmax or no activation"):
        Explainer(tanh, 0)
    with pytest.raises(ValueError, match="method is one of integrated, gradient, got 'lime'"):
        Explainer(model, 0, method="lime")
    with pytest.raises(ValueError, match="steps and batch_size must be 1 or more, got 0 and 8"):
        Explainer(model, 0, steps=0)


def by_hand(segment: np.ndarray) -> tuple[np.ndarray, float, float]:
    """A stand-in whose contributions are the samples themselves."""
    return segment.astype(np.float64), float(segment.sum()) + 2.0, 2.0


@pytest.mark.parametrize(("samples", "hop"), [(1000, 100), (1000, 37), (1050, 50), (100, 50), (101, 100)])
def test_overlapping_segments_are_averaged(samples: int, hop: int) -> None:
    """Where every segment says the same of a sample, their mean says it, too: whatever the hop."""
    from samplecnn_zoo.visualize.saliency import over_clip

    clip, kept = noise(samples), list[np.ndarray]()
    blocks = np.split(clip, [7, 300] if samples > 300 else [7])
    found = over_clip(by_hand, blocks, 1000, 100, hop_samples=hop, each=kept.append)
    np.testing.assert_allclose(np.concatenate(kept), clip, atol=1e-12)
    assert found.wave.samples == found.net.samples == samples
    assert found.net.rows.sum() == pytest.approx(clip.sum(dtype=np.float64))
    assert found.gap < 1e-5 and found.silence == 2.0


def test_a_short_clip_is_blamed_for_all_its_repeats() -> None:
    from samplecnn_zoo.visualize.saliency import over_clip

    clip, kept = noise(40), list[np.ndarray]()
    found = over_clip(by_hand, [clip], 1000, 100, each=kept.append)
    times = np.array([3] * 20 + [2] * 20)  # 40 + 40 + 20 fill the segment
    np.testing.assert_allclose(np.concatenate(kept), clip * times, atol=1e-6)
    assert sum(map(np.sum, kept)) == pytest.approx(found.segments[0].total)
    with pytest.raises(ValueError, match="a hop of 101 samples leaves gaps"):
        over_clip(by_hand, [clip], 1000, 100, hop_samples=101)


def quick(*arguments: object) -> tuple[int, str]:
    from samplecnn_zoo.cli import app

    result = CliRunner().invoke(app, ["visualize", "saliency", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.presets import save_tiny
    from tests.sounds import tone, write

    folder = tmp_path_factory.mktemp("saliency")
    save_tiny(folder / "tiny")
    write(folder / "a.wav", tone(0.5, 8000, hz=700), 8000)
    (folder / "bad.wav").write_bytes(b"no audio")
    return folder


def test_pictures_and_tables(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra plots")
    from samplecnn_zoo.visualize import style

    figures: list[Any] = []
    write = style._write

    def watched(figure: Any, path: Path) -> None:
        figures.append(figure)
        write(figure, path)

    monkeypatch.setattr(style, "_write", watched)
    asked = (place / "a.wav", "--tag", "drums", "--preset", place / "tiny")
    code, stderr = quick(*asked, "-o", place / "new" / "a.png")
    assert code == 0 and "contributions add up to within" in stderr
    wave, net, score = figures[0].axes
    assert wave.get_title(loc="left") == "a.wav: drums, integrated gradients"
    assert net.get_ylabel() == "log-odds\nper 2 ms" and score.get_ylabel() == "score"
    assert score.get_xlabel() == "time (s)" and score.get_xlim() == (0, 0.5)

    outputs = [word for ending in ("csv", "json", "npz") for word in ("-o", place / f"a.{ending}")]
    assert quick(*asked, *outputs, "--hop", 0.05)[0] == 0
    record = json.loads((place / "a.json").read_text())
    assert record["tag"] == "drums" and record["steps"] == 32 and len(record["segments"]) == 10
    with (place / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["contribution"]) for row in rows] == record["columns"]["contribution"]
    with np.load(place / "a.npz") as arrays:
        assert arrays["contributions"].shape == (4000,)
        total = float(arrays["contributions"].sum())
    assert total == pytest.approx(sum(record["columns"]["contribution"]), abs=1e-3)


def test_wrong_use_is_one_line(place: Path) -> None:
    tiny = ("--preset", place / "tiny")
    out = ("-o", place / "x.json")
    for arguments, code, words in (
        ((place / "a.wav", "--tag", "oboe", *tiny, *out), 2, "--tag 'oboe' is none of the 5"),
        ((place / "a.wav", "--tag", "drums", *tiny, "-o", "x.bmp"), 2, "ends in one of .png, .svg, .pdf"),
        ((place / "a.wav", "--tag", "drums", *tiny, *out, "--hop", 9), 2, "--hop must be above 0"),
        ((place / "bad.wav", "--tag", "drums", *tiny, *out), 1, "bad.wav: not audio"),
        ((place / "gone.wav", "--tag", "drums", *tiny, *out), 1, "there is no such file"),
    ):
        found, stderr = quick(*arguments)
        assert found == code and words in stderr and stderr.count("\n") == 1, stderr
    assert not (place / "x.json").exists()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(findings()) + "\n")
