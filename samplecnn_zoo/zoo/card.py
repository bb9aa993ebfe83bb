"""The model card of a preset: README.md with the metadata block that the Hugging Face Hub reads."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from samplecnn_zoo.zoo.citation import citations
from samplecnn_zoo.zoo.preset import Preset, Score

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

TASK = "audio-classification"
# Those of the Hub's identifiers that weights come under; any other licence is named in its own words.
_RIGHTS = ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
_CC = [f"cc-{rights}-{version}" for rights in _RIGHTS for version in ("3.0", "4.0")]
_LICENSES = frozenset(
    [
        "mit",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "isc",
        "unlicense",
        "mpl-2.0",
        "gpl-3.0",
        "cc0-1.0",
        *_CC,
    ]
)


def model_card(preset: Preset, *, repo_id: str | None = None) -> str:
    """Return the text of README.md, made from the record alone.

    Args:
        preset: the record.
        repo_id: `org/name` of the repository on the Hub that the card is for; None for one in a folder.
    """
    from huggingface_hub import ModelCard

    text = "\n\n".join(_sections(preset, repo_id))
    return str(ModelCard(f"---\n{_metadata(preset).to_yaml()}\n---\n\n{text}\n"))


def _metadata(preset: Preset) -> "ModelCardData":
    from huggingface_hub import ModelCardData

    results = [_result(score) for score in preset.scores if score.dataset]
    license_id = preset.license.lower()
    known = license_id in _LICENSES
    network = ["raw-waveform", "samplecnn"]
    return ModelCardData(
        library_name="keras",
        pipeline_tag=TASK if _tags_music(preset) else "feature-extraction",
        license=license_id if known else "other",
        license_name=None if known else preset.license,
        tags=["music", "audio", "music-tagging", *network] if _hears_music(preset) else ["audio", *network],
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=preset.name if results else None,
        eval_results=results or None,
    )


def _result(score: Score) -> "EvalResult":
    """Return a score as the Hub's model index holds it: only of a data set that the record names."""
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=TASK,
        task_name="music tagging",
        dataset_type=_slug(score.dataset),
        dataset_name=score.dataset,
        dataset_split=score.split or None,
        metric_type=_slug(score.metric),
        metric_name=f"{score.metric} ({score.note})" if score.note else score.metric,
        metric_value=score.value,
    )


def _slug(text: str) -> str:
    return re.sub(r"\W+", "_", text.lower()).strip("_")


def _tags_music(preset: Preset) -> bool:
    """Whether the outputs are tags; a network without its top gives features."""
    return bool(preset.arguments.get("include_top", True))


def _hears_music(preset: Preset) -> bool:
    """Whether it was trained on music; DCASE's tasks are warning sounds, vehicles and places."""
    return "DCASE" not in preset.training_data


def _sections(preset: Preset, repo_id: str | None) -> Iterator[str]:
    yield f"# {preset.name}"
    if preset.description:
        yield preset.description
    yield "## Use\n\n" + _use(preset, repo_id)
    yield "## Input\n\n" + _input(preset)
    yield from _outputs(preset)
    if preset.scores:
        yield "## Scores\n\n" + _score_table(preset.scores)
    yield f"## Training\n\nData: {preset.training_data}"
    if preset.training:
        made = preset.training
        yield f"```sh\n{made.command}\n```\n\n{made.hours:g} hours on {made.machine}. {made.note}".rstrip()
    if preset.source:
        source = preset.source
        yield f"Weights first published in {source.repo} @ {source.commit}, {source.path}."
    yield "## Limits\n\n" + _limits(preset)
    yield f"## License\n\nWeights: {preset.license}. Code: {preset.code_license}."
    works = citations(preset)
    if works:
        yield "## Citation\n\n```bibtex\n" + "\n\n".join(works) + "\n```"


def _use(preset: Preset, repo_id: str | None) -> str:
    """Return code that runs: a preset is named by its repository, or by the folder that the card is in."""
    name = f"hf://{repo_id}" if repo_id else f"path/to/{preset.name}"
    clip = "song.mp3" if _hears_music(preset) else "street.wav"
    call = f'.tag("{clip}", top=5)' if _tags_music(preset) else f'.embed("{clip}")'
    text = f'```python\nfrom samplecnn_zoo import Tagger\n\nTagger("{name}"){call}\n```'
    return text + (
        "\n\nThe network alone, in plain Keras; the segments and their normalization are then yours:\n\n"
        f'```python\nimport keras\n\nmodel = keras.saving.load_model("{name}")\n```'
    )


def _input(preset: Preset) -> str:
    text = (
        f"Mono audio in [-1, 1] at {preset.sample_rate} Hz, in segments of {preset.segment_samples} samples "
        f"({preset.segment_s:.2f} s), {_spread(preset)}; a clip's score is the mean over its segments."
    )
    norm = preset.normalization
    return text + (f" Each sample x enters as (x - {norm.mean:g}) / {norm.std:g}." if norm else "")


def _spread(preset: Preset) -> str:
    if preset.segment_rule.windows is not None:
        return f"{preset.segment_rule.windows} of them spread evenly over the clip"
    return f"one every {preset.hop_samples / preset.sample_rate:.2f} s"


def _outputs(preset: Preset) -> Iterator[str]:
    if _tags_music(preset):
        yield f"## Tags ({len(preset.tags)}, in the order of the outputs)\n\n" + ", ".join(preset.tags)
    else:
        yield f"## Output\n\n{len(preset.tags)} features, no tags: the network has no classifier on top."


def _score_table(scores: tuple[Score, ...]) -> str:
    rows = ["| metric | value | interval | data set | split | note |", "|---|---|---|---|---|---|"]
    for score in scores:
        bounds = "–" if score.low is None or score.high is None else f"{score.low:.4f} to {score.high:.4f}"
        cells = (score.metric, f"{score.value:.4f}", bounds, score.dataset, score.split, score.note)
        rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(rows)


def _limits(preset: Preset) -> str:
    """Return what follows from the record, and nothing that it does not say."""
    lines = [f"- It cannot hear above {preset.sample_rate / 2:g} Hz, half its sample rate."]
    if _tags_music(preset):
        lines.append("- It scores its own tags for any sound, music or not; it has no answer for others.")
    lines.append(
        "- The scores above hold for their data set and split; none is stated for other music."
        if preset.scores
        else "- No score of this preset is stated."
    )
    return "\n".join(lines)
