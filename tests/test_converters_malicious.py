"""Checkpoints made to do harm: to run something, to take all the memory, to read what is not theirs."""

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samplecnn_zoo.zoo import PresetError
from samplecnn_zoo.zoo.converters import convert, won
from samplecnn_zoo.zoo.converters.torch_files import read_state_dict
from tests import checkpoints as stand_in
from tests import torch_writer as torch_file
from tests.checkpoints import State
from tests.torch_writer import Call, Global

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def won_state() -> State:
    return stand_in.won_state((4, 5, 6), 3)


class Bomb:
    """What somebody who means harm would put into a pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def bomb_files(folder: Path, mark: Path) -> list[Path]:
    """Return pickles that run a command in Python's own unpickler, wherever torch has pickles."""
    bomb = pickle.dumps(Bomb(mark), protocol=2)
    head = torch_file.pickled(torch_file.MAGIC) + torch_file.pickled(1001)
    named = Call(Global("os", "system"), (f"touch {mark}",))
    contents = {
        "whole": bomb,
        "protocol4": pickle.dumps(Bomb(mark), protocol=4),
        "protocol0": pickle.dumps(Bomb(mark), protocol=0),
        "system": head + bomb,
        "content": head + torch_file.pickled(torch_file.SYSTEM) + bomb,
        "keys": head + torch_file.pickled(torch_file.SYSTEM) + torch_file.pickled({"a": np.ones(3)}) + bomb,
        "key": head + torch_file.pickled(torch_file.SYSTEM) + torch_file.pickled({named: 1}),
        "eval": head + torch_file.pickled({"a": Call(Global("builtins", "eval"), ("1",))}),
        "getattr": head + torch_file.pickled({"a": Call(Global("builtins", "getattr"), ("x", "y"))}),
        "rebuild": head + torch_file.pickled(Call(Global("torch._utils", "_rebuild_tensor_v2"), (named, 0))),
        "instance": b"\x80\x02(S'touch " + str(mark).encode() + b"'\nios\nsystem\n.",
        "object": b"\x80\x02(cos\nsystem\nX"
        + len(str(mark)).to_bytes(4, "little")
        + str(mark).encode()
        + b"o.",
        "extension": b"\x80\x02\x82\x01.",
    }
    files = []
    for name, content in contents.items():
        files.append(folder / f"{name}.pth")
        files[-1].write_bytes(content)
        archive = folder / f"{name}.zip.pth"
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("archive/data.pkl", content)
        files.append(archive)
    return files


def test_a_pickle_that_would_run_a_command_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()  # so the bomb is one
    mark.unlink()
    for file in bomb_files(tmp_path, mark):
        for name in ("samplecnn_16k.won_mtat", "samplecnn_3x9.clmr"):
            with pytest.raises(PresetError, match=file.name):
                convert(file, name, tmp_path / "preset")
    assert not mark.exists()
    assert not (tmp_path / "preset").exists()


def test_what_would_be_called_is_named(tmp_path: Path) -> None:
    file = tmp_path / "best_model.pth"
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
    with pytest.raises(
        PresetError, match=r"would call '(posix|nt)\.system', which a checkpoint .* nothing was run"
    ):
        won.read(file)


def test_reading_imports_neither_torch_nor_keras_nor_what_a_pickle_names(
    tmp_path: Path, won_state: State
) -> None:
    wrapped = torch_file.lightning(won_state)
    wrapped["callbacks"][Global("antigravity", "Fly")] = {}
    file = torch_file.write_zip(tmp_path / "light.ckpt", wrapped)
    code = (
        "import sys; from pathlib import Path; from samplecnn_zoo.zoo.converters import won; "
        "won.read(Path(sys.argv[1])); "
        "print({'torch', 'keras', 'tensorflow', 'antigravity', 'pytorch_lightning'} & {*sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(file)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"


def test_what_asks_for_all_the_memory_is_refused(tmp_path: Path) -> None:
    head = b"".join(torch_file.pickled(part) for part in (torch_file.MAGIC, 1001, torch_file.SYSTEM))
    deep = b"\x80\x02" + b"N" + b"\x85" * 300_000 + b"}h\x00s."
    key = b"\x80\x02}(" + b"N" + b"\x85" * 300_000 + b"Nu."
    for content, message in (
        (b"\x80\x02\x8e" + (2**40).to_bytes(8, "little"), "no whole pickle"),
        (deep, "no whole pickle"),
        (key, "a key is no plain value"),
    ):
        (tmp_path / "file").write_bytes(head + content)
        with pytest.raises(PresetError, match=message):
            read_state_dict(tmp_path / "file")
    with zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    with pytest.raises(PresetError, match="is packed 100 to 1"):
        read_state_dict(tmp_path / "packed")
    inner = torch_file.in_archive(tmp_path / "inner.pt", tmp_path / "file")
    with pytest.raises(PresetError, match="an archive that is no checkpoint"):
        read_state_dict(torch_file.in_archive(tmp_path / "outer.zip", inner))


@pytest.mark.parametrize(
    "keys",
    [b"\x80\x02])" + b"\x85" * 3_000_000 + b"a.", b"\x80\x02]](X\x01\x00\x00\x000ea."],
    ids=["deep", "unhashable"],
)
def test_keys_that_are_no_texts_are_refused(keys: bytes, tmp_path: Path) -> None:
    """In a process of its own: to hash what is nested deeply would take this one down."""
    head = b"".join(torch_file.pickled(part) for part in (torch_file.MAGIC, 1001, torch_file.SYSTEM, {}))
    (tmp_path / "file.pth").write_bytes(head + keys)
    code = (
        "import sys; from pathlib import Path; from samplecnn_zoo.zoo import PresetError\n"
        "from samplecnn_zoo.zoo.converters.torch_files import read_state_dict\n"
        "try: read_state_dict(Path(sys.argv[1]))\n"
        "except PresetError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file.pth")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the storages in this checkpoint are not those of its tensors" in done.stdout


def test_a_number_of_thousands_of_digits_is_refused_without_printing_it(tmp_path: Path) -> None:
    number = b"\x80\x02\x8b" + (4000).to_bytes(4, "little") + b"\x11" * 4000 + b"."
    (tmp_path / "file").write_bytes(number * 5)
    with pytest.raises(PresetError, match=r"not written by torch\.save") as caught:
        read_state_dict(tmp_path / "file")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((4,), (1,), 1),
        ((2, 3), (3, 1), 0),
        ((4,), (2,), 0),
        ((4,), (1, 1), 0),
        ((10**12,), (0,), 0),
        ((2**62, 0), (1, 1), 0),
        ((1,), (1,), 99),
    ],
)
def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int, tmp_path: Path
) -> None:
    numbers = np.arange(4, dtype=np.float32)
    storage = torch_file.pickled({"a": numbers})
    arguments = torch_file.pickled((offset, shape, strides))[2:-1]
    usual = torch_file.pickled((0, (4,), (1,)))[2:-1]
    assert usual[1:-1] in storage
    changed = storage.replace(usual[1:-1], arguments[1:-1])
    head = b"".join(torch_file.pickled(part) for part in (torch_file.MAGIC, 1001, torch_file.SYSTEM))
    keys = torch_file.pickled(list(torch_file.arrays_in([numbers])))
    (tmp_path / "file").write_bytes(head + changed + keys + (4).to_bytes(8, "little") + numbers.tobytes())
    with pytest.raises(PresetError, match="reaches beyond its 4 numbers"):
        read_state_dict(tmp_path / "file")
