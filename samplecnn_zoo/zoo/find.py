"""Where presets are, and which there are."""

import difflib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import samplecnn_zoo
from samplecnn_zoo.zoo import fetch, hub
from samplecnn_zoo.zoo.preset import Preset, PresetError, Score
from samplecnn_zoo.zoo.published import PUBLISHED, Published
from samplecnn_zoo.zoo.stored import PRESET_FILE, read_preset

PLACES = ("bundled", "cached", "downloadable", "local file")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PresetInfo:
    """One line of the list of presets.

    `where` is "bundled" (installed with the package), "cached" (loads without a network), "downloadable"
    (is fetched and converted when it is first loaded) or "local file" (comes in through `samplecnn convert`
    only). `size_bytes` is that of its files; of those that are not here it is about that, four bytes a
    parameter where the file's size was not written down. `score` is the first one it states.
    """

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
    """Return the directory of a preset, fetched and converted first where that is needed.

    Tried in this order: an existing directory, a bundled name, `hf://org/name[@revision]` on the Hugging Face
    Hub, the name of a published network, which is downloaded from its pinned commit and converted once.

    Raises:
        PresetError: if it is none of them, if a directory holds no preset.json, if it cannot be fetched, or
            if a `revision` is asked of something that has none (only presets on the Hub have).
    """
    text = str(name_or_path)
    if text.startswith(hub.SCHEME):
        return hub.fetch(hub.HubName.parse(text, revision=revision))
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
    if text in PUBLISHED:
        return fetch.converted(PUBLISHED[text])
    raise PresetError(f"{text!r} is neither a directory nor the name of a preset; {_way_out(text, known)}")


def preset_info(name_or_path: str | Path) -> Preset:
    """Return what is known of a preset; of a published one that is not in the cache, without fetching it.

    Raises:
        PresetError: if there is no such preset, or its preset.json breaks a rule.
    """
    text = str(name_or_path)
    if text in PUBLISHED and text not in bundled() and not Path(name_or_path).is_dir():
        record = PUBLISHED[text]
        directory = fetch.converted_path(record)
        return read_preset(directory) if directory and directory.is_dir() else record.preset()
    return read_preset(resolve(name_or_path))


def list_presets() -> list[PresetInfo]:
    """Return the bundled presets, then the cached, the downloadable and the rest; no network is needed.

    A bundled one whose preset.json cannot be read is left out with a warning in the log, and of the Hub's
    cache whatever is no preset.
    """
    found = [(directory, name, "bundled") for name, directory in bundled().items()]
    infos = list(filter(None, (_info(name, directory, where) for directory, name, where in found)))
    published = [_published_info(record) for record in PUBLISHED.values()]
    on_hub = list(filter(None, (_info(name, directory, "cached") for name, directory in hub.cached())))
    rest = sorted([*published, *on_hub], key=lambda info: (PLACES.index(info.where), info.name))
    return infos + rest


def _published_info(record: Published) -> PresetInfo:
    directory = fetch.converted_path(record)
    if directory and directory.is_dir():
        info = _info(record.name, directory, "cached")
        if info is not None:
            return info
    original = fetch.original_path(record)
    where = "local file" if original is None else "cached" if original.is_file() else "downloadable"
    score = record.scores[0] if record.scores else None
    size = record.size_bytes or 4 * record.parameters
    return PresetInfo(record.name, where, size, record.license, score)


def _info(name: str, directory: Path, where: str) -> PresetInfo | None:
    try:
        preset = read_preset(directory)
    except PresetError as error:
        _log.log(logging.WARNING if where == "bundled" else logging.INFO, "left out of the list: %s", error)
        return None
    size = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
    return PresetInfo(name, where, size, preset.license, preset.scores[0] if preset.scores else None)


def _way_out(name: str, known: Iterable[str]) -> str:
    names = [*known, *PUBLISHED]
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(names)}, and hf://org/name on the Hub" if names else "none is there"
