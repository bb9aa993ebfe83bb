"""The model card of a preset: README.md with the metadata block that the Hugging Face Hub reads."""

import json
from collections.abc import Iterator
from typing import Any

from samplecnn_zoo.zoo.preset import Preset, Score


def model_card(preset: Preset) -> str:
    """Return the text of README.md, made from the record alone; JSON values are YAML values too."""
    metadata = "".join(f"{key}: {json.dumps(value)}\n" for key, value in _metadata(preset).items())
    return f"---\n{metadata}---\n\n" + "\n\n".join(_sections(preset)) + "\n"


def _metadata(preset: Preset) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "library_name": "keras",
        "pipeline_tag": "audio-classification",
        "license": preset.license.lower(),
        "tags": ["music", "audio", "music-tagging", "raw-waveform", "samplecnn"],
    }
    if preset.scores:
        metadata["model-index"] = [{"name": preset.name, "results": [_result(s) for s in preset.scores]}]
    return metadata


def _result(score: Score) -> dict[str, Any]:
    return {
        "task": {"type": "audio-classification", "name": "music tagging"},
        "dataset": {
            "type": score.dataset or "unnamed",
            "name": score.dataset or "unnamed",
            "split": score.split,
        },
        "metrics": [{"type": score.metric, "value": score.value}],
    }


def _sections(preset: Preset) -> Iterator[str]:
    yield f"# {preset.name}"
    if preset.description:
        yield preset.description
    call = f'Tagger("{preset.name}").tag("song.mp3", top=5)'
    yield f"```python\nfrom samplecnn_zoo import Tagger\n\n{call}\n```"
    yield "## Input\n\n" + _input(preset)
    yield f"## Tags ({len(preset.tags)}, in the order of the outputs)\n\n" + ", ".join(preset.tags)
    if preset.scores:
        yield "## Measured\n\n" + _score_table(preset.scores)
    yield f"## Training\n\nData: {preset.training_data}"
    if preset.training:
        made = preset.training
        yield f"```sh\n{made.command}\n```\n\n{made.hours:g} hours on {made.machine}. {made.note}".rstrip()
    if preset.source:
        source = preset.source
        yield f"Weights first published in {source.repo} @ {source.commit}, {source.path}."
    yield f"## License\n\nWeights: {preset.license}. Code: {preset.code_license}."


def _input(preset: Preset) -> str:
    text = (
        f"Mono audio in [-1, 1] at {preset.sample_rate} Hz, in segments of {preset.segment_samples} samples "
        f"({preset.segment_s:.2f} s), one every {preset.hop_samples / preset.sample_rate:.2f} s; "
        "a clip's score is the mean over its segments."
    )
    if preset.normalization:
        text += (
            f" Each sample x enters as (x - {preset.normalization.mean:g}) / {preset.normalization.std:g}."
        )
    return text


def _score_table(scores: tuple[Score, ...]) -> str:
    rows = ["| metric | value | interval | data set | split | note |", "|---|---|---|---|---|---|"]
    for score in scores:
        bounds = "–" if score.low is None or score.high is None else f"{score.low:.4f} to {score.high:.4f}"
        cells = (score.metric, f"{score.value:.4f}", bounds, score.dataset, score.split, score.note)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
