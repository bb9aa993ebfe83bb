"""A soundfont of a few kilobytes, written by the tests: one decaying tone for all pitches and drums."""

import struct
from pathlib import Path

import numpy as np

RATE = 44100
_ROOT_KEY = 69
_GEN_INSTRUMENT, _GEN_SAMPLE_MODES, _GEN_SAMPLE_ID = 41, 54, 53


def write_soundfont(path: Path) -> Path:
    """Write a SoundFont 2 file whose bank 0, program 0 and bank 128 (drums) play a tone of 440 Hz."""
    time_s = np.arange(RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * time_s) * np.exp(-2 * time_s)
    samples = np.concatenate([(tone * 32767).astype("<i2"), np.zeros(46, "<i2")])
    info = _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _text(b"isng", "EMU8000") + _text(b"INAM", "tone")
    sample_data = _chunk(b"smpl", samples.tobytes())
    body = b"sfbk" + _list(b"INFO", info) + _list(b"sdta", sample_data) + _list(b"pdta", _presets(len(tone)))
    path.write_bytes(_chunk(b"RIFF", body))
    return path


def _presets(length: int) -> bytes:
    headers = _preset(b"tone", 0, 0, 0) + _preset(b"drums", 0, 128, 1) + _preset(b"EOP", 0, 0, 2)
    preset_bags = b"".join(struct.pack("<HH", index, 0) for index in (0, 1, 2))
    preset_generators = struct.pack("<HH", _GEN_INSTRUMENT, 0) * 2 + struct.pack("<HH", 0, 0)
    instruments = struct.pack("<20sH", b"tone", 0) + struct.pack("<20sH", b"EOI", 1)
    instrument_bags = struct.pack("<HH", 0, 0) + struct.pack("<HH", 2, 0)
    instrument_generators = (
        struct.pack("<HH", _GEN_SAMPLE_MODES, 0) + struct.pack("<HH", _GEN_SAMPLE_ID, 0) + bytes(4)
    )
    samples = struct.pack(
        "<20sIIIIIBbHH", b"tone", 0, length, 0, length - 1, RATE, _ROOT_KEY, 0, 0, 1
    ) + struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    return b"".join([
        _chunk(b"phdr", headers), _chunk(b"pbag", preset_bags), _chunk(b"pmod", bytes(10)),
        _chunk(b"pgen", preset_generators), _chunk(b"inst", instruments), _chunk(b"ibag", instrument_bags),
        _chunk(b"imod", bytes(10)), _chunk(b"igen", instrument_generators), _chunk(b"shdr", samples),
    ])  # fmt: skip


def _preset(name: bytes, program: int, bank: int, bag: int) -> bytes:
    return struct.pack("<20sHHHIII", name, program, bank, bag, 0, 0, 0)


def _text(name: bytes, text: str) -> bytes:
    return _chunk(name, text.encode().ljust(len(text) + 2 - len(text) % 2, b"\0"))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _list(name: bytes, body: bytes) -> bytes:
    return _chunk(b"LIST", name + body)
