"""Every way a file can be bad: its own kind, one line, and never a sample to trust."""

import importlib.util
import pickle
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from samplecnn_zoo import audio
from samplecnn_zoo.decoders import DecodeFailure, Samples
from tests import sounds

HAS_AV = importlib.util.find_spec("av") is not None
needs_av = pytest.mark.skipif(not HAS_AV, reason="PyAV is not installed")
HAS_TFIO = importlib.util.find_spec("tensorflow_io") is not None

RATE = 22050


def failure(path: Path | str, **options: Any) -> audio.AudioError:
    """Return the error that loading a file ends with, once its promises are checked."""
    with pytest.raises(audio.AudioError) as caught:
        audio.load(path, 8000, **options)
    error = caught.value
    line = str(error)
    assert error.kind in audio.KINDS
    assert error.path == Path(path)
    assert line.isprintable()
    assert "; " in line
    return error


@pytest.mark.parametrize("kind", sorted(set(audio.KINDS) - {"unreadable", "no_decoder"}))
def test_each_kind_has_its_own_error(tmp_path: Path, kind: str) -> None:
    path = sounds.hostile(tmp_path)[kind]
    error = failure(path)
    assert error.kind == kind
    assert re.fullmatch(re.escape(str(path)) + r": \S.*; \S.*", str(error))


def wav(**header: int) -> bytes:
    pcm = (sounds.noise(1.0, 8000)[:, 0] * 32767).astype("<i2").tobytes()
    return sounds.wav_bytes(pcm, **header)


def random_bytes(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(100_000)


TEXT = b"This is no music.\n" * 4000
RAW = {
    "text.wav": (TEXT, "corrupt"),
    "text.mp3": (TEXT, "corrupt"),
    "text.flac": (TEXT, "corrupt"),
    "text.ogg": (TEXT, "corrupt"),
    "text.m4a": (TEXT, "corrupt"),
    # libsndfile takes these, by their names, for headerless sound
    "text.au": (TEXT, "corrupt"),
    "text.snd": (TEXT, "corrupt"),
    "text.vox": (TEXT, "corrupt"),
    "text.gsm": (TEXT, "corrupt"),
    "text.raw": (TEXT, "corrupt"),
    # FFmpeg would open these, too
    "playlist.m3u8": (b"#EXTM3U\n#EXTINF:1,\nother.wav\n", "corrupt"),
    "list.txt": (b"ffconcat version 1.0\nfile other.wav\n", "corrupt"),
    "picture.mp3": (b"\x89PNG\r\n\x1a\n" + bytes(2000), "corrupt"),
    "zeros.mp3": (bytes(20_000), "corrupt"),
    "random.mp3": (random_bytes(0), "corrupt"),
    "random.wav": (random_bytes(1), "corrupt"),
    "random.m4a": (b"\0\0\0\x20ftypM4A " + random_bytes(2), "corrupt" if HAS_AV else "no_decoder"),
    "one_byte.wav": (b"R", "corrupt"),
    "only_riff.wav": (wav()[:20], "corrupt"),
    "only_header.wav": (wav()[:44], "empty"),
    "no_samples.wav": (sounds.wav_bytes(b""), "empty"),
    "one_sample.wav": (sounds.wav_bytes(b"\x10\x20"), "too_short"),
    "more_announced.wav": (wav(announced=64000), "truncated"),
    "rate_0.wav": (wav(rate=0), "corrupt"),
    "rate_1.wav": (wav(rate=1), "corrupt"),
    "rate_2_billion.wav": (wav(rate=2_000_000_000), "corrupt"),
    "channels_1000.wav": (wav(channels=1000), "too_short"),
    "channels_2000.wav": (wav(channels=2000), "corrupt"),
}


@pytest.mark.parametrize("name", RAW)
def test_handmade_files(tmp_path: Path, name: str) -> None:
    sounds.write(tmp_path / "other.wav", sounds.tone(1.0, RATE), RATE)
    data, kind = RAW[name]
    path = tmp_path / name
    path.write_bytes(data)
    assert failure(path).kind == kind


CUT = {"wav": "truncated", "aiff": "truncated", "au": "truncated", "w64": "truncated", "rf64": "truncated"}
CUT |= {"flac": "truncated", "mp3": "truncated", "ogg": "truncated", "opus": "truncated", "caf": "corrupt"}
AV_CUT = {"m4a": "corrupt", "aac": "corrupt", "webm": "truncated"}


@pytest.mark.parametrize(
    ("extension", "kind"),
    [*CUT.items(), *(pytest.param(*case, marks=needs_av) for case in AV_CUT.items())],
)
def test_a_cut_file_is_never_tagged(tmp_path: Path, extension: str, kind: str) -> None:
    options = {"opus": {"format": "OGG", "subtype": "OPUS"}}.get(extension, {})
    whole = sounds.write(tmp_path / f"a.{extension}", sounds.noise(3.0, 48000), 48000, **options)
    assert len(audio.load(whole, 8000)) >= 24000
    for share in (0.4, 0.9):
        assert failure(sounds.halved(tmp_path / f"b.{extension}", whole, share)).kind == kind


@needs_av
def test_a_cut_m4a_with_its_index_in_front_is_truncated(tmp_path: Path) -> None:
    whole = sounds.write(tmp_path / "a.m4a", sounds.noise(3.0, RATE), RATE, movflags="faststart")
    error = failure(sounds.halved(tmp_path / "b.m4a", whole))
    assert error.kind == "truncated"
    assert re.search(r"only 1\.\d+ s of the announced 3\.\d+ s decode", str(error))


@pytest.mark.parametrize("extension", ["mp3", "flac"])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_short_cut_file_is_truncated(tmp_path: Path, extension: str, rate: int) -> None:
    whole = sounds.write(tmp_path / f"a.{extension}", sounds.noise(0.5, rate), rate)
    assert failure(sounds.halved(tmp_path / f"b.{extension}", whole)).kind == "truncated"


@pytest.mark.parametrize("extension", ["mp3", "flac"])
def test_a_damaged_file_is_an_error(tmp_path: Path, extension: str) -> None:
    path = sounds.write(tmp_path / f"a.{extension}", sounds.noise(5.0, 44100), 44100)
    path.write_bytes(sounds.damaged(path.read_bytes()))
    assert failure(path).kind == "truncated"


class Announcing:
    """A decoder that announces one thing and decodes another."""

    name = "announcing"
    sample_rate = 8000
    channels = 1

    def __init__(self, announced: int | None, decoded: int, slack: int, kind: str) -> None:
        self.frames = announced
        self.decoded = decoded
        self.slack = slack
        self.kind = kind

    def blocks(self, block_s: float) -> Iterator[Samples]:
        yield np.full((self.decoded, 1), 0.5, np.float32)
        if self.kind:
            raise DecodeFailure(self.kind, "decoding stops: it broke")

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("announced", "decoded", "slack", "breaks", "expected"),
    [
        (10_000, 10_000, 0, "", ""),
        (10_000, 12_000, 0, "", ""),
        (10_000, 9_900, 0, "", ""),
        (10_000, 9_899, 0, "", "truncated"),
        (10_000, 9_000, 900, "", ""),
        (10_000, 9_000, 899, "", "truncated"),
        (10_000, 9_900, 0, "corrupt", ""),
        (10_000, 5_000, 0, "corrupt", "truncated"),
        (10_000, 9_999, 0, "truncated", "truncated"),
        (None, 5_000, 0, "", ""),
        (None, 5_000, 0, "corrupt", "corrupt"),
        (None, 5_000, 0, "truncated", "truncated"),
        (10_000, 0, 0, "", "truncated"),
        (0, 0, 0, "", "empty"),
        (None, 0, 0, "", "empty"),
        (799, 799, 0, "", "too_short"),
        (None, 799, 0, "", "too_short"),
    ],
)
def test_the_rule_of_the_announced_length(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    announced: int | None,
    decoded: int,
    slack: int,
    breaks: str,
    expected: str,
) -> None:
    source = Announcing(announced, decoded, slack, breaks)
    monkeypatch.setattr(audio, "open_decoder", lambda *_: source)
    path = tmp_path / "a.wav"
    path.write_bytes(b"some bytes")
    if expected:
        error = failure(path)
        assert error.kind == expected
        assert ("it broke" in str(error)) == bool(breaks)
    else:
        assert len(audio.load(path, 8000)) == decoded


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [0, 1])
def test_one_bad_value_is_enough(tmp_path: Path, bad: float, channel: int) -> None:
    clip = sounds.noise(10.0, RATE, channels=2)
    clip[round(8.25 * RATE), channel] = bad
    path = sounds.write(tmp_path / "a.wav", clip, RATE, subtype="FLOAT")
    error = failure(path)
    assert error.kind == "not_finite"
    assert "a NaN or infinite sample at 8.25 s" in str(error)


@pytest.mark.parametrize("peak", [0.0, 9e-6])
def test_below_the_threshold_all_is_silence(tmp_path: Path, peak: float) -> None:
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1.0, RATE, peak=peak), RATE, subtype="FLOAT")
    assert failure(path).kind == "silent"


def test_just_above_the_threshold_is_sound(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1.0, RATE, peak=1.2e-5), RATE, subtype="FLOAT")
    assert len(audio.load(path, 8000)) == 8000


def test_channels_that_cancel_are_silence(tmp_path: Path) -> None:
    clip = sounds.tone(1.0, RATE) * [1, -1]
    assert failure(sounds.write(tmp_path / "a.wav", clip, RATE, subtype="FLOAT")).kind == "silent"


def test_what_lies_above_the_wanted_rate_is_silence(tmp_path: Path) -> None:
    path = sounds.write(
        tmp_path / "a.wav", sounds.tone(1.0, 48000, hz=15000, peak=0.1), 48000, subtype="FLOAT"
    )
    assert len(audio.load(path, 48000)) == 48000
    windowed = np.hanning(48000)[:, None] * sounds.tone(1.0, 48000, hz=15000, peak=0.1)
    assert failure(sounds.write(tmp_path / "b.wav", windowed, 48000, subtype="FLOAT")).kind == "silent"


def test_the_samples_before_an_error_have_been_given(tmp_path: Path) -> None:
    whole = sounds.write(tmp_path / "a.wav", sounds.tone(10.0, 8000), 8000)
    blocks = audio.stream(sounds.halved(tmp_path / "b.wav", whole), 8000)
    assert len(next(blocks)) > 0
    with pytest.raises(audio.AudioError, match="of the announced"):
        list(blocks)


@pytest.mark.parametrize("name", ["a\nb.wav", "a\x1b[31m.wav", "a\udcff.wav", "a\0.wav", "x" * 300 + ".wav"])
def test_odd_names_stay_on_one_line(tmp_path: Path, name: str) -> None:
    assert failure(tmp_path / name).kind == ("unreadable" if len(name) > 255 else "missing")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1.0, RATE), RATE)
    assert failure(path / "b.wav").kind == "missing"


def test_a_link_to_itself_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.symlink_to(path)
    assert failure(path).kind == "unreadable"


def test_a_device_is_not_read() -> None:
    assert failure("/dev/zero").kind == "not_regular"


def test_info_sees_what_the_header_tells(tmp_path: Path) -> None:
    made = sounds.hostile(tmp_path)
    for kind in ("missing", "directory", "not_regular", "empty", "corrupt", "no_channels"):
        with pytest.raises(audio.AudioError) as caught:
            audio.info(made[kind])
        assert caught.value.kind == kind
    assert audio.info(made["truncated"]).duration_s == pytest.approx(1.0)
    assert audio.info(made["silent"]).frames == RATE


def test_an_error_survives_pickling(tmp_path: Path) -> None:
    error = failure(tmp_path / "missing.wav")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.kind, again.path) == (str(error), error.kind, error.path)


# ---- decoders that are not there


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make the import of a package fail, as where it is not installed."""
    monkeypatch.setitem(sys.modules, package, None)


def mp4_head() -> bytes:
    return struct.pack(">I", 32) + b"ftypM4A " + bytes(2000)


@pytest.mark.parametrize("head", [mp4_head(), b"\xff\xf1" + bytes(2000), b"\x1a\x45\xdf\xa3" + bytes(2000)])
def test_a_missing_av_is_named_with_its_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    hide(monkeypatch, "av")
    path = tmp_path / "a.m4a"
    path.write_bytes(head)
    error = failure(path)
    assert error.kind == "no_decoder"
    assert str(error).endswith("; pip install 'samplecnn_zoo[av]'")


@pytest.mark.parametrize("name", ["text.mp3", "random.mp3", "zeros.mp3", "text.raw"])
def test_without_av_no_one_is_sent_to_install_it_for_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hide(monkeypatch, "av")
    path = tmp_path / name
    path.write_bytes(RAW[name][0])
    assert failure(path).kind == "corrupt"


def test_without_av_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "av")
    assert len(audio.load(sounds.write(tmp_path / "a.mp3", sounds.tone(1.0, RATE), RATE), 8000)) == 8000


def test_a_missing_tfio_is_named_with_its_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "tensorflow_io")
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1.0, RATE), RATE)
    error = failure(path, decoder="tfio")
    assert error.kind == "no_decoder"
    assert "tensorflow-io is not installed; pip install 'samplecnn_zoo[tfio]'" in str(error)


def test_a_tfio_for_another_tensorflow_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_op(*_: object) -> None:
        raise NotImplementedError("unable to open file: libtensorflow_io.so")

    tfio = ModuleType("tensorflow_io")
    monkeypatch.setattr(tfio, "audio", SimpleNamespace(AudioIOTensor=no_op), raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_io", tfio)
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1.0, RATE), RATE)
    error = failure(path, decoder="tfio")
    assert error.kind == "no_decoder"
    assert "not built for the installed TensorFlow; pip install 'samplecnn_zoo[tfio]'" in str(error)


@pytest.mark.parametrize("subtype", ["PCM_32", "ULAW", "DOUBLE"])
def test_what_tfio_would_read_wrong_is_refused(tmp_path: Path, subtype: str) -> None:
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1.0, RATE), RATE, subtype=subtype)
    error = failure(path, decoder="tfio")
    assert error.kind == "no_decoder"
    assert str(error).endswith(f"would read this WAV {subtype} file wrong; decode it with soundfile")


@pytest.mark.skipif(not HAS_TFIO, reason="tensorflow-io is not installed")
@pytest.mark.parametrize("name", ["pcm16.wav", "pcm24.wav", "float.wav", "a.flac", "a.ogg", "a.mp3"])
def test_tfio_reads_what_soundfile_reads(tmp_path: Path, name: str) -> None:
    subtype = {"pcm16.wav": "PCM_16", "pcm24.wav": "PCM_24", "float.wav": "FLOAT"}.get(name)
    path = sounds.write(tmp_path / name, sounds.noise(10.0, 44100, channels=2), 44100, subtype=subtype)
    np.testing.assert_allclose(audio.load(path, 8000, decoder="tfio"), audio.load(path, 8000), atol=1e-6)
