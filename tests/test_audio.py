"""What comes out of a good file: every format and rate through the same promises."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from samplecnn_zoo import audio
from samplecnn_zoo.decoders import Samples
from tests import sounds

HAS_AV = importlib.util.find_spec("av") is not None
needs_av = pytest.mark.skipif(not HAS_AV, reason="PyAV is not installed")

RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)
# name of the file, options of the writer, how much the level may be off, how many samples it may grow
FORMATS = {
    "pcm16": ("a.wav", {"subtype": "PCM_16"}, 1e-3, 0),
    "pcm24": ("a.wav", {"subtype": "PCM_24"}, 1e-3, 0),
    "pcm8": ("a.wav", {"subtype": "PCM_U8"}, 1e-2, 0),
    "float": ("a.wav", {"subtype": "FLOAT"}, 1e-3, 0),
    "double": ("a.wav", {"subtype": "DOUBLE"}, 1e-3, 0),
    "flac": ("a.flac", {"subtype": "PCM_16"}, 1e-3, 0),
    "flac24": ("a.flac", {"subtype": "PCM_24"}, 1e-3, 0),
    "aiff": ("a.aiff", {}, 1e-3, 0),
    "vorbis": ("a.ogg", {"subtype": "VORBIS"}, 5e-2, 0),
    "opus": ("a.opus", {"format": "OGG", "subtype": "OPUS"}, 5e-2, 0),
    "mp3": ("a.mp3", {}, 5e-2, 0),
    "m4a": ("a.m4a", {}, 5e-2, 1024),
    "aac": ("a.aac", {}, 5e-2, 2048),
}
ENCODABLE = {"mp3": RATES[:-1], "opus": (8000, 16000, 48000)}
CASES = [
    pytest.param(name, rate, channels, marks=needs_av if name in ("m4a", "aac") else ())
    for name in FORMATS
    for rate in ENCODABLE.get(name, RATES)
    for channels in (1, 2)
]


def frequency(samples: Samples, rate: int) -> float:
    """Return the strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


@pytest.mark.parametrize(("name", "rate", "channels"), CASES)
def test_every_format_and_rate_gives_the_mono_tone(
    tmp_path: Path, name: str, rate: int, channels: int
) -> None:
    file, options, tolerance, longer = FORMATS[name]
    clip = sounds.tone(1.0, rate, channels=channels)
    path = sounds.write(tmp_path / file, clip, rate, **options)

    samples = audio.load(path, 8000)

    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 8000 <= len(samples) <= 8000 + np.ceil(longer * 8000 / rate)
    assert frequency(samples, 8000) == pytest.approx(440, abs=2)
    peak = 0.5 * (1.0 if channels == 1 else 5 / 6)  # the second channel is a third quieter
    level = np.sqrt(2 * np.mean(samples[2000:6000] ** 2))
    assert level == pytest.approx(peak, rel=tolerance)
    header = audio.info(path)
    assert (header.sample_rate, header.channels) == (rate, channels)
    if header.duration_s is not None and header.frames is not None:
        assert header.duration_s == header.frames / header.sample_rate
        assert header.duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("source_rate", RATES)
@pytest.mark.parametrize("block_s", [0.05, 0.37, 100.0])
def test_blocks_are_bit_for_bit_one_shot_resampling_of_the_channel_mean(
    tmp_path: Path, source_rate: int, block_s: float
) -> None:
    clip = sounds.noise(1.3, source_rate, channels=3)
    path = sounds.write(tmp_path / "a.wav", clip, source_rate, subtype="FLOAT")
    mono = clip.astype(np.float32).mean(axis=1)

    blocks = list(audio.stream(path, 16000, block_s=block_s))

    np.testing.assert_array_equal(
        np.concatenate(blocks), soxr.resample(mono, source_rate, 16000, quality="HQ")
    )


def test_at_its_own_rate_a_file_is_not_changed(tmp_path: Path) -> None:
    clip = sounds.noise(0.5, 22050)
    path = sounds.write(tmp_path / "a.wav", clip, 22050, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load(path, 22050), clip[:, 0].astype(np.float32))


def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    clip = sounds.tone(0.5, 8000, peak=3.0)
    path = sounds.write(tmp_path / "loud.wav", clip, 8000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load(path, 8000), np.clip(clip[:, 0], -1, 1).astype(np.float32))


@pytest.mark.parametrize("name", ["Ein Lied – été.wav", "-", "a*[b]?.wav", "no_extension"])
def test_any_name_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    sounds.write(Path("a.wav"), sounds.tone(0.2, 8000), 8000).rename(name)
    assert len(audio.load(name, 8000, decoder="soundfile")) == 1600


def test_the_extension_does_not_matter(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.flac", sounds.tone(0.2, 8000), 8000)
    assert len(audio.load(path.rename(tmp_path / "a.mp3"), 8000)) == 1600


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("tail", ["nothing", "ID3v1", "APEv2", "both"])
@pytest.mark.parametrize("picture", [0, 60_000])
def test_an_mp3_without_a_length_is_read_to_its_end(
    tmp_path: Path, mode: str, tail: str, picture: int
) -> None:
    rate = 44100
    clip = sounds.noise(3.0, rate, peak=0.2)
    clip[:rate] *= 0.001  # a quiet start makes libmpg123 guess a variable bit rate wrong
    path = sounds.write(tmp_path / "a.mp3", clip, rate, bitrate_mode=mode, compression_level=0.3)
    sizes = bytes([picture >> 21 & 127, picture >> 14 & 127, picture >> 7 & 127, picture & 127])
    head = b"ID3\x04\x00\x00" + sizes + bytes(picture) if picture else b""
    path.write_bytes(head + sounds.without_xing(path.read_bytes()) + sounds.trailing_tags(tail))

    assert audio.info(path).frames is None
    # Without the header the encoder's delay and its last, padded frame are heard, too.
    assert 3 * rate <= len(audio.load(path, rate)) <= 3 * rate + 2 * 1152


def test_a_cut_mp3_without_a_length_gives_what_is_there(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.mp3", sounds.noise(3.0, 44100), 44100, bitrate_mode="CONSTANT")
    path.write_bytes(sounds.without_xing(path.read_bytes()))
    cut = audio.load(sounds.halved(tmp_path / "half.mp3", path), 44100)
    assert len(cut) == pytest.approx(1.5 * 44100, abs=2 * 1152)


def test_a_flac_without_a_length_is_read_to_its_end(tmp_path: Path) -> None:
    clip = sounds.noise(1.0, 44100)
    path = sounds.write(tmp_path / "a.flac", clip, 44100)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # 36 bits of STREAMINFO: the number of samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert audio.info(path).frames is None
    assert len(audio.load(path, 44100)) == 44100


@pytest.mark.parametrize("announced", [0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, announced: int) -> None:
    pcm = (sounds.noise(1.0, 8000) * 32767).astype("<i2").tobytes()
    path = tmp_path / "pipe.wav"
    path.write_bytes(sounds.wav_bytes(pcm, announced=announced))
    assert len(audio.load(path, 8000)) == 8000


def test_up_to_one_percent_may_be_missing(tmp_path: Path) -> None:
    whole = sounds.write(tmp_path / "a.wav", sounds.noise(10.0, 8000), 8000)
    assert len(audio.load(sounds.halved(tmp_path / "b.wav", whole, 0.992), 8000)) == pytest.approx(
        79360, abs=30
    )
    with pytest.raises(audio.AudioError, match=r"only 9\.88 s of the announced 10\.00 s decode; fetch"):
        audio.load(sounds.halved(tmp_path / "c.wav", whole, 0.988), 8000)


@pytest.mark.parametrize(("kind", "seconds"), [("too_short", 0.0999), ("", 0.1), ("", 0.1001)])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_shortest_clip_has_a_tenth_of_a_second(
    tmp_path: Path, kind: str, seconds: float, rate: int
) -> None:
    path = sounds.write(tmp_path / "a.wav", sounds.tone(seconds, rate), rate)
    if kind:
        with pytest.raises(audio.AudioError, match=r"only 0\.100 s long; join it with more audio: 0\.1 s"):
            audio.load(path, 22050)
    else:
        assert len(audio.load(path, 22050)) == pytest.approx(seconds * 22050, abs=2)


@pytest.mark.parametrize("decoder", ["soundfile", pytest.param("av", marks=needs_av)])
@pytest.mark.parametrize("name", ["pcm16", "pcm24", "float", "flac", "vorbis", "mp3"])
def test_decoders_agree(tmp_path: Path, name: str, decoder: str) -> None:
    file, options, *_ = FORMATS[name]
    path = sounds.write(tmp_path / file, sounds.noise(1.0, 44100, channels=2), 44100, **options)
    reference, rate = soundfile.read(path, dtype="float32")
    samples = audio.load(path, rate, decoder=decoder)
    assert audio.info(path, decoder=decoder).decoder == decoder
    np.testing.assert_allclose(samples[: len(reference)], reference.mean(axis=1), atol=2e-4)


@needs_av
def test_auto_takes_av_for_what_soundfile_does_not_know(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.m4a", sounds.tone(0.5, 44100), 44100)
    assert audio.info(path).decoder == "av"
    with pytest.raises(audio.AudioError, match="Format not recognised"):
        audio.load(path, 8000, decoder="soundfile")


@needs_av
def test_a_webm_without_a_length_of_its_stream(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.webm", sounds.tone(2.0, 48000), 48000)
    assert len(audio.load(path, 48000)) == pytest.approx(96000, abs=1000)
    with pytest.raises(audio.AudioError, match=r"of the announced 2\.\d+ s"):
        audio.load(sounds.halved(tmp_path / "b.webm", path), 48000)


def test_bad_arguments_are_refused_at_once(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.wav", sounds.tone(0.5, 8000), 8000)
    with pytest.raises(ValueError, match="must be positive, not 0 and 4"):
        audio.stream(path, 0)
    with pytest.raises(ValueError, match="must be positive, not 8000 and 0"):
        audio.stream(path, 8000, block_s=0)
    with pytest.raises(ValueError, match=r"decoder must be one of \['auto', .*\], not 'ffmpeg'"):
        audio.load(path, 8000, decoder="ffmpeg")
