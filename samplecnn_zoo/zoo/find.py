"""Where presets are, and which there are."""

import difflib
import logging
from dataclasses import dataclass
from pathlib import Path

import samplecnn_zoo
from samplecnn_zoo.zoo.preset import Preset, PresetError, Score
from samplecnn_zoo.zoo.stored import PRESET_FILE, read_preset

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PresetInfo:
    """One line of the list of presets; `size_bytes` is that of its files, `score` the first one it states."""

    name: str
    where: str
    size_bytes: int
    license: str
    score: Score | None


def weights_dir() -> Path:
    """Return the folder of the bundled presets: inside an installed package, beside it in a checkout."""
    package = Path(samplecnn_zoo.__file__).resolve().parent
    installed = package / "weights"
    return installed if installed.is_dir() else package.parent / "weights"


def bundled() -> dict[str, Path]:
    """Return the directory of every bundled preset by name, in the order of the names."""
    return {file.parent.name: file.parent for file in sorted(weights_dir().glob(f"*/{PRESET_FILE}"))}


def resolve(name_or_path: str | Path, *, revision: str | None = None) -> Path:
    """Return the directory of a preset: an existing directory first, else the bundled preset of that name.

    Raises:
        PresetError: if it is neither, if a directory holds no preset.json, or if a `revision` is asked of
            something that has none (only presets on the Hugging Face Hub have).
    """
    text = str(name_or_path)
    if text.startswith("hf://"):
        raise PresetError(
            f"{text}: this version does not fetch presets from the Hub; "
            f"download the repository ('hf download {text[5:]} --local-dir DIR') and pass DIR"
        )
    if revision is not None:
        raise PresetError(f"{text}: only a preset on the Hub (hf://…) has revisions, got {revision!r}")
    path = Path(name_or_path).expanduser()
    if text and path.is_dir():
        if not (path / PRESET_FILE).is_file():
            raise PresetError(f"{text}: this directory holds no {PRESET_FILE}, so it is no preset")
        return path
    known = bundled()
    if text in known:
        return known[text]
    raise PresetError(f"{text!r} is neither a directory nor a bundled preset; {_way_out(text, list(known))}")


def preset_info(name_or_path: str | Path) -> Preset:
    """Return what is known of a preset, its weights unread.

    Raises:
        PresetError: if there is no such preset, or its preset.json breaks a rule.
    """
    return read_preset(resolve(name_or_path))


def list_presets() -> list[PresetInfo]:
    """Return the presets that can be loaded by name, in the order of the names.

    One whose preset.json cannot be read is left out with a warning in the log.
    """
    infos = []
    for name, directory in bundled().items():
        try:
            infos.append(_info(name, directory, "bundled"))
        except PresetError as error:
            _log.warning("left out of the list: %s", error)
    return infos


def _info(name: str, directory: Path, where: str) -> PresetInfo:
    preset = read_preset(directory)
    size = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
    return PresetInfo(name, where, size, preset.license, preset.scores[0] if preset.scores else None)


def _way_out(name: str, known: list[str]) -> str:
    if not known:
        return f"no preset is bundled in {weights_dir()}"
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"bundled are: {', '.join(known)}"
