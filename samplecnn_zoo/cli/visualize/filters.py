"""`samplecnn visualize filters`, `spectra`, `rates`: what learned filters listen to (paper, section 7.1)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail
from samplecnn_zoo.cli.options import FactsOption, ListFormat
from samplecnn_zoo.cli.sources import fetched, loaded, open_model
from samplecnn_zoo.cli.visualize.clip import ending_clearly
from samplecnn_zoo.cli.visualize.curves import show
from samplecnn_zoo.cli.visualize.place import (
    PICTURES,
    OverwriteOption,
    PresetArgument,
    check_outputs,
    output_option,
    say_written,
)

if TYPE_CHECKING:
    import keras

    from samplecnn_zoo.visualize import Ascent, Found, Spectra
    from samplecnn_zoo.zoo import Preset

ENDINGS = (*PICTURES, ".npz")
RATE_STAGES = "stage1,stage2,stage3,stage4"  # of size 3 at every sample rate of the paper's Table 3


class Target(StrEnum):
    """What is climbed."""

    contrast = "contrast"
    after = "after"
    before = "before"


OutputOption = Annotated[list[Path], output_option(ENDINGS)]
StagesOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", show_default=False,
        help="stage1,stage4,...: which.  \\[default: the lowest, up to six, that 729 samples show]",
    ),
]  # fmt: skip
SamplesOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", show_default=False,
        help="Length of the inputs.  \\[default: whole frames of the highest stage, about 729]",
    ),
]  # fmt: skip
TargetOption = Annotated[
    Target,
    typer.Option(
        help="What is climbed: a filter's mean activation after or before its non-linearity, or after it by "
        "what frames differ in."
    ),
]
StepsOption = Annotated[int, typer.Option(min=1, help="Steps of the ascent.")]
StepOption = Annotated[float, typer.Option(help="Root mean square of a step.")]
NoiseOption = Annotated[float, typer.Option(help="The inputs begin between minus and plus this.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of that noise.")]


@dataclass(frozen=True, eq=False)
class Heard:
    """What was found in a preset."""

    preset: "Preset"
    spans: Mapping[str, int]
    found: Sequence["Found"]
    spectra: Sequence["Spectra"]


def filters(
    preset: PresetArgument,
    output: OutputOption,
    stages: StagesOption = None,
    samples: SamplesOption = None,
    target: TargetOption = Target.contrast,
    steps: StepsOption = 18,
    step: StepOption = 1.0,
    noise: NoiseOption = 0.015,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    form: FactsOption = ListFormat.table,
) -> None:
    """Draw waveforms that the filters of each stage answer most (Figure 2 of the paper).

    They are found by gradient ascent from noise, for every filter; four a stage
    are drawn, from low ones to high ones. npz has the numbers of all of them.

    Exit code: 0 it is drawn, 1 writing failed, 2 wrong use.
    """
    check_outputs(output, ENDINGS, overwrite)
    [heard] = _hear([preset], stages, samples, _settings(target, steps, step, noise, seed))
    from samplecnn_zoo.visualize import draw_waveforms

    waveforms = {found.stage: found.waveforms for found in heard.found}
    _write(output, [heard], lambda path: draw_waveforms(path, heard.spectra, waveforms, heard.spans))
    show({heard.preset.name: heard.spectra}, form)


def spectra(
    preset: PresetArgument,
    output: OutputOption,
    stages: StagesOption = None,
    samples: SamplesOption = None,
    target: TargetOption = Target.contrast,
    steps: StepsOption = 18,
    step: StepOption = 1.0,
    noise: NoiseOption = 0.015,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    form: FactsOption = ListFormat.table,
) -> None:
    """Draw the spectra of what the filters of each stage answer most (Figure 3).

    Each filter's input is found by gradient ascent from noise; the filters of a
    stage stand in the order of their spectra's peaks. The table holds those
    peaks against as many filters spread evenly over Hz, mel and Bark. npz has
    the numbers behind the picture, and the inputs.

    Exit code: 0 it is drawn, 1 writing failed, 2 wrong use.
    """
    check_outputs(output, ENDINGS, overwrite)
    [heard] = _hear([preset], stages, samples, _settings(target, steps, step, noise, seed))
    from samplecnn_zoo.visualize import draw_spectra

    _write(output, [heard], lambda path: draw_spectra(path, heard.spectra))
    show({heard.preset.name: heard.spectra}, form)


def rates(
    presets: Annotated[list[str], typer.Argument(help="Presets' names or folders.", metavar="PRESETS...")],
    output: OutputOption,
    stages: StagesOption = RATE_STAGES,
    samples: SamplesOption = None,
    target: TargetOption = Target.contrast,
    steps: StepsOption = 18,
    step: StepOption = 1.0,
    noise: NoiseOption = 0.015,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    form: FactsOption = ListFormat.table,
) -> None:
    """Draw the spectra of the same stages of several presets (Figure 4).

    A row a preset, in the order given, each up to half its sample rate; stages
    1 to 4, which have filters of size 3 at all sample rates of the paper. npz
    has the numbers behind the picture, of each preset under its name.

    Exit code: 0 it is drawn, 1 writing failed, 2 wrong use.
    """
    check_outputs(output, ENDINGS, overwrite)
    if len(set(presets)) < len(presets):
        fail(f"each preset is drawn once, got {', '.join(presets)}")
    heard = _hear(presets, stages, samples, _settings(target, steps, step, noise, seed))
    from samplecnn_zoo.visualize import draw_rates

    rows = {label: one.spectra for label, one in zip(_labels(heard), heard, strict=True)}
    _write(output, heard, lambda path: draw_rates(path, rows))
    show({name: one.spectra for name, one in zip(_names(heard), heard, strict=True)}, form)


def _labels(heard: Sequence[Heard]) -> list[str]:
    """The sample rates where they differ, else the names."""
    rates = [f"{one.preset.sample_rate} Hz" for one in heard]
    return rates if len(set(rates)) == len(rates) else [name.replace(".", "\n.") for name in _names(heard)]


def _settings(target: Target, steps: int, step: float, noise: float, seed: int) -> dict[str, Any]:
    return {"target": str(target), "steps": steps, "step": step, "noise": noise, "seed": seed}


def _ascent(options: dict[str, Any]) -> "Ascent":
    from samplecnn_zoo.visualize import Ascent

    return Ascent(**options)


def _hear(
    names: Sequence[str], stages: str | None, samples: int | None, options: dict[str, Any]
) -> list[Heard]:
    """Climb in every stage of every preset, with a bar of the stages done; end the command on bad input."""
    presets = [fetched(name) for name in names]  # before Keras, which takes its time
    try:
        settings = loaded(lambda: _ascent(options))
        from samplecnn_zoo.visualize import lowest_stages

        models = [(preset, open_model(name)) for preset, name in zip(presets, names, strict=True)]
        named = list(dict.fromkeys(name.strip() for name in (stages or "").split(",")))
        wanted = [named if stages else lowest_stages(model) for _, model in models]
        with Reporter("ascent", sum(map(len, wanted)), "stages") as reporter:
            return [
                _heard(preset, model, own, samples, settings, reporter)
                for (preset, model), own in zip(models, wanted, strict=True)
            ]
    except KeyboardInterrupt:
        fail("stopped; nothing was written", INTERRUPTED)
    except ValueError as error:
        fail(str(error))


def _heard(
    preset: "Preset",
    model: "keras.Model",
    stages: Sequence[str],
    samples: int | None,
    settings: "Ascent",
    reporter: Reporter,
) -> Heard:
    from samplecnn_zoo.visualize import ascend, curve, frame_samples, sorted_spectra, stage_strides

    length = samples or frame_samples(model, stages)
    found = []
    for stage in stages:
        found.append(ascend(model, stage, samples=length, settings=settings))
        reporter.advance()
    sorted_ones = [sorted_spectra(one.stage, one.waveforms, preset.sample_rate, one.risen) for one in found]
    for one in sorted_ones:
        curve(one)  # refuses a stage of which nothing was found
    return Heard(preset, stage_strides(model), found, sorted_ones)


def _write(outputs: Sequence[Path], heard: Sequence[Heard], draw: Callable[[Path], Path]) -> None:
    from samplecnn_zoo.visualize import write_arrays

    with ending_clearly(outputs[0]):
        for path in outputs:
            if path.suffix.lower() in PICTURES:
                draw(path)
            else:
                write_arrays(path, _arrays(heard))
    say_written(outputs)


def _arrays(heard: Sequence[Heard]) -> dict[str, Any]:
    """The numbers of every stage; of several presets under `NAME/`."""
    from samplecnn_zoo.visualize import stacked

    arrays: dict[str, Any] = {}
    for name, one in zip(_names(heard), heard, strict=True):
        numbers = stacked(one.spectra)
        for found in one.found:
            numbers[f"{found.stage}_waveforms"] = found.waveforms
            numbers[f"{found.stage}_activation"] = found.activation
        arrays |= {f"{name}/{key}" if len(heard) > 1 else key: value for key, value in numbers.items()}
    return arrays


def _names(heard: Sequence[Heard]) -> list[str]:
    """The presets' names; folders may hold presets of one name, which are then numbered."""
    names = [one.preset.name for one in heard]
    numbered = [f"{name}-{place}" for place, name in enumerate(names, start=1)]
    return names if len(set(names)) == len(names) else numbered
