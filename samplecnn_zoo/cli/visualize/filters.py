"""`samplecnn visualize filters`, `spectra`, `rates`: what learned filters listen to (paper, section 7.1)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail, say
from samplecnn_zoo.cli.options import FactsOption, ListFormat
from samplecnn_zoo.cli.sources import fetched, loaded
from samplecnn_zoo.cli.visualize.curves import show
from samplecnn_zoo.cli.visualize.place import (
    ArraysOption,
    OverwriteOption,
    PictureOption,
    Place,
    PresetArgument,
)

if TYPE_CHECKING:
    import keras

    from samplecnn_zoo.visualize import Ascent, Found, Spectra
    from samplecnn_zoo.zoo import Preset

RATE_STAGES = "stage1,stage2,stage3,stage4"  # of size 3 at every sample rate of the paper's Table 3


class Target(StrEnum):
    """What is climbed."""

    contrast = "contrast"
    after = "after"
    before = "before"


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
    output: PictureOption,
    stages: StagesOption = None,
    samples: SamplesOption = None,
    target: TargetOption = Target.contrast,
    steps: StepsOption = 18,
    step: StepOption = 1.0,
    noise: NoiseOption = 0.015,
    seed: SeedOption = 0,
    arrays: ArraysOption = False,
    overwrite: OverwriteOption = False,
    form: FactsOption = ListFormat.table,
) -> None:
    """Draw waveforms that the filters of each stage answer most (Figure 2 of the paper).

    They are found by gradient ascent from noise, for every filter; four a stage
    are drawn, from low ones to high ones.

    Exit code: 0 it is drawn, 1 writing failed, 2 wrong use.
    """
    place = Place(output, arrays, overwrite)
    place.check()
    [heard] = _hear([preset], stages, samples, _settings(target, steps, step, noise, seed))
    from samplecnn_zoo.visualize import draw_waveforms

    waveforms = {found.stage: found.waveforms for found in heard.found}
    _write(place, [heard], lambda: draw_waveforms(output, heard.spectra, waveforms, heard.spans))
    show({heard.preset.name: heard.spectra}, form)


def spectra(
    preset: PresetArgument,
    output: PictureOption,
    stages: StagesOption = None,
    samples: SamplesOption = None,
    target: TargetOption = Target.contrast,
    steps: StepsOption = 18,
    step: StepOption = 1.0,
    noise: NoiseOption = 0.015,
    seed: SeedOption = 0,
    arrays: ArraysOption = False,
    overwrite: OverwriteOption = False,
    form: FactsOption = ListFormat.table,
) -> None:
    """Draw the spectra of what the filters of each stage answer most (Figure 3).

    Each filter's input is found by gradient ascent from noise; the filters of a
    stage stand in the order of their spectra's peaks. The table holds those
    peaks against as many filters spread evenly over Hz, mel and Bark.

    Exit code: 0 it is drawn, 1 writing failed, 2 wrong use.
    """
    place = Place(output, arrays, overwrite)
    place.check()
    [heard] = _hear([preset], stages, samples, _settings(target, steps, step, noise, seed))
    from samplecnn_zoo.visualize import draw_spectra

    _write(place, [heard], lambda: draw_spectra(output, heard.spectra))
    show({heard.preset.name: heard.spectra}, form)


def rates(
    presets: Annotated[list[str], typer.Argument(help="Presets' names or folders.", metavar="PRESETS...")],
    output: PictureOption,
    stages: StagesOption = RATE_STAGES,
    samples: SamplesOption = None,
    target: TargetOption = Target.contrast,
    steps: StepsOption = 18,
    step: StepOption = 1.0,
    noise: NoiseOption = 0.015,
    seed: SeedOption = 0,
    arrays: ArraysOption = False,
    overwrite: OverwriteOption = False,
    form: FactsOption = ListFormat.table,
) -> None:
    """Draw the spectra of the same stages of several presets (Figure 4).

    A row a preset, in the order given, each up to half its sample rate; stages
    1 to 4, which have filters of size 3 at all sample rates of the paper.

    Exit code: 0 it is drawn, 1 writing failed, 2 wrong use.
    """
    place = Place(output, arrays, overwrite)
    place.check()
    if len(set(presets)) < len(presets):
        fail(f"each preset is drawn once, got {', '.join(presets)}")
    heard = _hear(presets, stages, samples, _settings(target, steps, step, noise, seed))
    from samplecnn_zoo.visualize import draw_rates

    rows = {label: one.spectra for label, one in zip(_labels(heard), heard, strict=True)}
    _write(place, heard, lambda: draw_rates(output, rows))
    show({name: one.spectra for name, one in zip(_names(heard), heard, strict=True)}, form)


def _labels(heard: Sequence[Heard]) -> list[str]:
    """The sample rates where they differ, else the names."""
    rates = [f"{one.preset.sample_rate} Hz" for one in heard]
    return rates if len(set(rates)) == len(rates) else [name.replace(".", "\n.") for name in _names(heard)]


def _settings(target: Target, steps: int, step: float, noise: float, seed: int) -> "Ascent":
    return loaded(lambda: _ascent(target=str(target), steps=steps, step=step, noise=noise, seed=seed))


def _ascent(**settings: Any) -> "Ascent":
    from samplecnn_zoo.visualize import Ascent

    return Ascent(**settings)


def _hear(names: Sequence[str], stages: str | None, samples: int | None, settings: "Ascent") -> list[Heard]:
    """Climb in every stage of every preset, with a bar of the stages done; end the command on bad input."""
    from samplecnn_zoo.visualize import lowest_stages

    try:
        models = [(fetched(name), _open(name)) for name in names]
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


def _open(name: str) -> "keras.Model":
    from samplecnn_zoo.zoo import load_pretrained

    return loaded(lambda: load_pretrained(name))


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


def _write(place: Place, heard: Sequence[Heard], draw: Callable[[], Path]) -> None:
    from samplecnn_zoo.visualize import write_arrays

    try:
        draw()
        if place.arrays:
            write_arrays(place.files[-1], _arrays(heard))
    except OSError as error:
        fail(f"{error.filename or place.picture}: {error.strerror or error}", 1)
    say(" and ".join(map(str, place.files)))


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
