"""Files made and run by the original software, Keras 1.1.0 on Theano and PyTorch: the same numbers here.

The small ones lie in tests/data: random weights, with what Keras 1 gave for them. The large ones are tried
where SAMPLECNN_ZOO_ORACLES, or a folder beside the checkout, has them. Every backend gets its own process.
"""

import importlib.util
import json
import lzma
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from samplecnn_zoo.models import sample_plan
from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.zoo import preset_info
from samplecnn_zoo.zoo.converters import convert, convert_like
from tests.checkpoints import oracle_input

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
BESIDE = ROOT.parent / "shared" / "data" / "published" / "oracles"
LARGE = Path(os.environ.get("SAMPLECNN_ZOO_ORACLES", BESIDE))

Floats = npt.NDArray[np.float32]

TOLERANCE = 1e-4  # the original float32 is 1.3e-5 (scores) and 3.2e-5 (levels) off the exact numbers

RUN = """
import json, sys
import keras
import numpy as np
from samplecnn_zoo.models import feature_model
from samplecnn_zoo.zoo import load_pretrained

for preset, data in json.loads(sys.argv[1]).items():
    model = feature_model(load_pretrained(preset), (-1, -2, -3, -4), include_scores=True)
    outputs = model(np.load(data), training=False)
    np.savez(data + ".out", *[keras.ops.convert_to_numpy(output) for output in outputs])
print(keras.backend.backend())
"""


@dataclass(frozen=True)
class Oracle:
    """A file, what it is a network of, the input that it was run with, and what is stored of its outputs.

    `levels` are the stored outputs at levels -1, -2, …; those of PyTorch are (clips, channels, time).
    """

    file: str
    name: str
    seed: int
    samples: int
    rate: int
    levels: tuple[str, ...]
    scores: str = "sigmoid"
    small: bool = False

    @property
    def key(self) -> str:
        return self.file.partition(".")[0]

    @property
    def folder(self) -> Path:
        return DATA if self.small else LARGE

    def outputs(self) -> dict[str, Floats]:
        with np.load(self.folder / f"{self.key.removesuffix('_plain')}.npz") as stored:
            return {name: stored[name] for name in stored.files if name != "meta"}

    def unpacked(self, folder: Path) -> Path:
        packed = self.folder / self.file
        file = folder / self.file.removesuffix(".xz")
        file.write_bytes(
            lzma.decompress(packed.read_bytes()) if packed.suffix == ".xz" else packed.read_bytes()
        )
        return file


MTAT = ("act__activation_11", "act__maxpooling1d_9", "act__maxpooling1d_8", "act__maxpooling1d_7")
DCASE = ("act__activation_16", "act__maxpooling1d_14", "act__maxpooling1d_13", "act__maxpooling1d_12")
WON = ("embedding", "act__layer10", "act__layer9", "act__layer8")
CLMR = ("act__sequential.10", "act__sequential.9", "act__sequential.8", "act__sequential.7")
SMALL = [
    Oracle("keras1_narrow_mtat.hdf5.xz", "samplecnn_3x9.lee_mtat", 2101, 59049, 22050, MTAT, small=True),
    Oracle(
        "keras1_narrow_mtat_checkpoint.hdf5.xz",
        "samplecnn_3x9.lee_mtat",
        2501,
        59049,
        22050,
        MTAT,
        small=True,
    ),
    Oracle(
        "keras1_narrow_dcase743.hdf5.xz", "samplecnn_743.lee_dcase2017", 2201, 32768, 22050, DCASE, small=True
    ),
]
WHOLE = [
    Oracle("keras1_mtat.hdf5", "samplecnn_3x9.lee_mtat", 1101, 59049, 22050, MTAT),
    Oracle("sota_sample.pth", "samplecnn_16k.won_mtat", 3101, 59049, 16000, WON),
    Oracle("clmr_plain.pt.xz", "samplecnn_3x9.clmr", 3301, 59049, 22050, CLMR, scores="embedding"),
]


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every oracle that is here, converted, with its input beside it."""
    folder = tmp_path_factory.mktemp("oracles")
    found = {}
    for oracle in [*SMALL, *WHOLE]:
        if not (oracle.folder / oracle.file).is_file():
            continue
        target = folder / oracle.key
        if oracle.small:
            convert_like(oracle.unpacked(folder), oracle.name, target)
        else:
            convert(oracle.unpacked(folder), oracle.name, target)
        np.save(f"{target}.npy", oracle_input(oracle.seed, oracle.samples, oracle.rate))
        found[oracle.key] = target
    return found


@pytest.fixture(scope="module", params=["tensorflow", "jax", "torch"])
def ran(
    request: pytest.FixtureRequest, presets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder where one backend left what every preset gives."""
    backend: str = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    folder = tmp_path_factory.mktemp(backend)
    for key, preset in presets.items():
        (folder / f"{key}.npy").write_bytes(Path(f"{preset}.npy").read_bytes())
    work = {str(preset): str(folder / f"{key}.npy") for key, preset in presets.items()}
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, json.dumps(work)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, backend), done.stderr
    return folder


def scores_and_levels(oracle: Oracle, folder: Path) -> tuple[Floats, list[Floats]]:
    if not (folder / f"{oracle.key}.npy").is_file():
        pytest.skip(f"{oracle.file} is not in {oracle.folder}")
    with np.load(folder / f"{oracle.key}.npy.out.npz") as stored:
        *levels, scores = (stored[name] for name in stored.files)
    return scores, levels


@pytest.mark.parametrize("oracle", [*SMALL, *WHOLE], ids=lambda oracle: oracle.key)
def test_scores_and_levels_are_those_of_the_original(oracle: Oracle, ran: Path) -> None:
    scores, levels = scores_and_levels(oracle, ran)
    wanted = oracle.outputs()
    np.testing.assert_allclose(scores, wanted[oracle.scores], rtol=0, atol=TOLERANCE)
    for level, name in zip(levels, oracle.levels, strict=True):
        answer = wanted[name]
        if not oracle.key.startswith("keras1"):  # (clips, channels, time), or without time
            answer = answer.reshape(*answer.shape[:2], -1).transpose(0, 2, 1)
        np.testing.assert_allclose(level, answer, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("oracle", SMALL, ids=lambda oracle: oracle.key)
def test_what_wrong_converters_give_is_told_apart(oracle: Oracle, ran: Path) -> None:
    """The stored outputs of converters that are wrong in one way: the comparison above would refuse each."""
    scores, _ = scores_and_levels(oracle, ran)
    wrong = {name: array for name, array in oracle.outputs().items() if name.startswith("wrong__")}
    if "mtat" in oracle.key:  # which has no even filter, and hardly small variances
        del wrong["wrong__tfpad"], wrong["wrong__eps1e-7"]
    assert {"wrong__noflip", "wrong__std_not_var", "wrong__eps1e-3"} <= wrong.keys()
    for name, array in wrong.items():
        assert np.abs(scores - array).max() > 2 * TOLERANCE, name


def test_openvino_gives_the_same(presets: dict[str, Path]) -> None:
    for oracle in SMALL:
        preset = presets[oracle.key]
        found = Tagger(preset, engine="openvino").predict_segments(np.load(f"{preset}.npy"))
        np.testing.assert_allclose(found, oracle.outputs()["sigmoid"], rtol=0, atol=TOLERANCE)


def test_a_preset_states_the_sizes_that_were_read(presets: dict[str, Path]) -> None:
    preset = preset_info(presets["keras1_narrow_dcase743"])
    assert preset.arguments["m"] == [2] * 15 and preset.arguments["alignment"] == "theano"
    assert (
        preset.segment_samples == sample_plan(preset.arguments["m"], widths=[1] * 14).segment_samples == 32768
    )
