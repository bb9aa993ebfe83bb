"""The command `samplecnn visualize saliency`: which samples of a file drove a tag."""

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.cli.console import fail, say
from samplecnn_zoo.cli.options import Decoder, DecoderOption, PresetOption
from samplecnn_zoo.cli.sources import fetched, open_model
from samplecnn_zoo.cli.visualize.clip import FileArgument, counting, ending_clearly
from samplecnn_zoo.cli.visualize.place import (
    PICTURES,
    OverwriteOption,
    check_outputs,
    output_option,
    say_written,
)

if TYPE_CHECKING:
    from samplecnn_zoo.visualize.saliency import Saliency
    from samplecnn_zoo.zoo import Preset

ENDINGS = (*PICTURES, ".csv", ".json", ".npz")


class Method(StrEnum):
    """How contributions are found."""

    integrated = "integrated"
    gradient = "gradient"


def saliency(
    file: FileArgument,
    tag: Annotated[str, typer.Option("--tag", help="One of the preset's (samplecnn info).")],
    output: Annotated[list[Path], output_option(ENDINGS)],
    preset: PresetOption = DEFAULT_PRESET,
    method: Annotated[
        Method, typer.Option("--method", help="Integrated gradients from silence, or gradient × input.")
    ] = Method.integrated,
    steps: Annotated[int, typer.Option(min=1, help="Of integrated gradients: more are more exact.")] = 32,
    hop: Annotated[
        float | None,
        typer.Option(
            show_default=False, help="Seconds from segment to segment.  \\[default: half of one]"
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    decoder: DecoderOption = Decoder.auto,
) -> None:  # fmt: skip
    """Draw which samples of a file drove a tag up or down, under its waveform.

    Contributions are to the log-odds of the tag's score, and a sample's is the
    mean over the segments that hold it. Integrated gradients add up to the
    log-odds less those of silence; by how much they miss is said. json and csv
    are the columns of the picture, npz has every sample.

    It runs on Keras, on whatever backend KERAS_BACKEND names. Exit code: 0 all
    went well, 1 the file can't be heard or the output not be written, 2 wrong
    use.
    """
    check_outputs(output, ENDINGS, overwrite)
    record = fetched(preset)
    if record.is_encoder:
        fail(f"{preset} is an encoder without tags: there is nothing to explain")
    if tag not in record.tags:
        fail(f"--tag {tag!r} is none of the {len(record.tags)} of {preset}: {', '.join(record.tags)}")
    hop_samples = _hop(record, hop)
    with ending_clearly(output[0]):
        options = {"method": str(method), "steps": steps}
        kept: list[Any] = []
        whole = any(path.suffix.lower() == ".npz" for path in output)
        each = kept.append if whole else lambda _: None
        found = _explain(preset, record, file, tag, hop_samples, str(decoder), each, options)
        about = {"path": str(file), "preset": record.name, "tag": tag, **options}
        for path in output:
            _write(found, path, about, kept)
    say_written(output)
    if method == Method.integrated:
        reach = max(abs(one.log_odds - found.silence) for one in found.segments)
        say(f"contributions add up to within {found.gap:.2g} of up to {reach:.2g} log-odds")


def _hop(record: "Preset", hop: float | None) -> int | None:
    if hop is None:
        return None
    samples = round(hop * record.sample_rate) if math.isfinite(hop) else 0
    if not 1 <= samples <= record.segment_samples:
        fail(f"--hop must be above 0 and at most a segment, {record.segment_s:.3f} s, got {hop}")
    return samples


def _explain(
    preset: str,
    record: "Preset",
    file: Path,
    tag: str,
    hop_samples: int | None,
    decoder: str,
    each: Any,
    options: dict[str, Any],
) -> "Saliency":
    from samplecnn_zoo import audio
    from samplecnn_zoo.decoders.hush import hushed

    duration_s = audio.info(file, decoder=decoder).duration_s or 0.0  # before Keras, which takes its time
    model = open_model(preset)
    from samplecnn_zoo.visualize.saliency import Explainer, over_clip

    norm = record.normalization
    scale: dict[str, Any] = {} if norm is None else {"mean": norm.mean, "std": norm.std}
    explain = Explainer(model, record.tags.index(tag), **scale, **options)
    blocks = audio.stream(file, record.sample_rate, decoder=decoder, block_s=1.0)
    steps = counting("saliency", "s")(blocks, math.ceil(duration_s))
    with hushed():
        return over_clip(
            explain, steps, record.sample_rate, record.segment_samples, hop_samples=hop_samples, each=each
        )


def _write(found: "Saliency", output: Path, about: dict[str, Any], kept: list[Any]) -> None:
    from samplecnn_zoo.files import replacing, write_whole
    from samplecnn_zoo.visualize import saliency_figure

    ending = output.suffix.lower()
    if ending in PICTURES:
        title = f"{Path(about['path']).name}: {about['tag']}, {saliency_figure.NAMES[about['method']]}"
        saliency_figure.draw(output, found, title)
    elif ending == ".csv":
        write_whole(output, saliency_figure.to_csv(found).encode())
    elif ending == ".json":
        write_whole(output, saliency_figure.to_json(found, about).encode())
    else:
        import numpy as np

        values = np.concatenate(kept).astype(np.float32)
        odds = np.array([one.log_odds for one in found.segments])
        starts = np.array([one.start_s for one in found.segments])
        facts: dict[str, Any] = {
            "sample_rate": np.array(found.wave.sample_rate),
            "silence": np.array(found.silence),
        }
        with replacing(output) as file:
            np.savez(file, contributions=values, log_odds=odds, start_s=starts, **facts)
