"""The command `samplecnn train`: a recipe or a model's name, a prepared set, a folder for the run."""

import shlex
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from samplecnn_zoo.cli.console import INTERRUPTED, fail, say
from samplecnn_zoo.formats import printable

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.prepared import Prepared
    from samplecnn_zoo.training import Recipe
    from samplecnn_zoo.training.fit import BatchDone, EpochDone

DEFAULT_RECIPE = "small_set"  # for a model that is named without a recipe
_NEW = "Changes the recipe"


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe's name; `samplecnn train --list` shows them.", metavar="[RECIPE]"),
    ] = None,
    prepared: Annotated[
        Path | None, typer.Option("--set", help="The folder that `samplecnn prepare` made.", metavar="DIR")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="The run's folder. The same command goes on in it."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A network by name instead of the recipe's: samplecnn_8k, …")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--start-from", metavar="PRESET", help="Begin with a preset's network and weights."),
    ] = None,
    freeze_below: Annotated[
        str | None,
        typer.Option(
            "--freeze-below", metavar="STAGE", help="Stages below it stand still: stage8, top, head."
        ),
    ] = None,
    stage_decay: Annotated[
        float | None,
        typer.Option(help="Learning rate of a stage, of that of the one above it.", rich_help_panel=_NEW),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, rich_help_panel=_NEW)] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Segments a step.", rich_help_panel=_NEW)] = None,
    learning_rate: Annotated[float | None, typer.Option(rich_help_panel=_NEW)] = None,
    weight_decay: Annotated[float | None, typer.Option(rich_help_panel=_NEW)] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Longest gradient over all weights.", rich_help_panel=_NEW)
    ] = None,
    per_clip: Annotated[
        int | None, typer.Option(min=1, help="Segments a clip and epoch.", rich_help_panel=_NEW)
    ] = None,
    label_smoothing: Annotated[float | None, typer.Option(rich_help_panel=_NEW)] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="float32, mixed_bfloat16 or mixed_float16.", rich_help_panel=_NEW),
    ] = None,
    jit: Annotated[
        bool | None, typer.Option("--jit/--no-jit", help="Compile with XLA.", rich_help_panel=_NEW)
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="Which epoch becomes the preset: best or last.", rich_help_panel=_NEW)
    ] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="gain_db=-6,6 polarity=0.5 noise_snr_db=10,40 time_shift=800 mixup=0.2; once each.",
            rich_help_panel=_NEW,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, dropout and the order of segments.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="N clips of each part, for a quick try.")
    ] = None,
    data: Annotated[str, typer.Option(help="tfdata, arrays (without TensorFlow), or auto.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="GPUs to spread each batch over.")] = 1,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Time between checkpoints; each epoch ends with one anyway.")
    ] = 10.0,
    name: Annotated[str, typer.Option(help="Of the preset; else network and set name it.")] = "",
    license_: Annotated[
        str, typer.Option("--license", help="Of the trained weights, for the model card.")
    ] = "unknown",
    machine: Annotated[str, typer.Option(help="What it ran on, for the model card.")] = "",
    show: Annotated[bool, typer.Option("--list", help="List the recipes and leave.")] = False,
) -> None:
    """Train a network on a prepared set; DIR/preset is then a preset as any other.

    A run that was killed, in the middle of an epoch too, goes on when the same command is given again.

    Exit code: 0 the preset is there, 1 training failed (NaN, disk full), 2 wrong use, 130 after Ctrl-C.
    """
    from samplecnn_zoo.training import RECIPES, LossError, TrainingError

    if show:
        for item in RECIPES.values():
            hours = f"{item.hours:g} h" if item.hours else "not measured"
            typer.echo(f"{item.name:<12} {item.command}\n{'':<12} {item.hardware}; hours: {hours}")
            typer.echo(f"{'':<12} expected: {item.expected or 'not measured'}")
        return
    if prepared is None or output is None:
        fail("train wants a prepared set and a folder for the run: --set DIR -o DIR")
    changes = {
        "epochs": epochs,
        "batch_size": batch,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "per_clip": per_clip,
        "label_smoothing": label_smoothing,
        "precision": precision,
        "jit": jit,
        "keep": keep,
        "freeze_below": freeze_below,
        "stage_decay": stage_decay,
        "augmentation": _augmentation(augment or []),
    }
    about = {"name": name, "license": license_, "machine": machine}
    try:
        chosen = _recipe(
            recipe, model, start_from, {key: value for key, value in changes.items() if value is not None}
        )
        options: dict[str, Any] = {"seed": seed, "start_from": start_from, "limit": limit, "data": data}
        options |= {"devices": devices, "checkpoint_minutes": checkpoint_minutes}
        run_training(chosen, _open(prepared), output, about, options)
    except TrainingError as error:
        fail(str(error), 1 if isinstance(error, LossError) else 2)


def _recipe(name: str | None, model: str | None, start_from: str | None, changes: dict[str, Any]) -> "Recipe":
    """The recipe of that name, or the one for models that are named alone, with all changes."""
    from samplecnn_zoo.cli.models import network
    from samplecnn_zoo.training import get_recipe

    if name is None and model is None and start_from is None:
        fail("give a recipe (samplecnn train --list shows them), --model or --start-from")
    if model is not None and start_from is not None:
        fail("--start-from brings its own network: leave out --model")
    if model is not None:
        builder, arguments = network(model)
        changes |= {"builder": builder, "arguments": arguments}
    return get_recipe(name or DEFAULT_RECIPE).but(**changes)


def _augmentation(pairs: list[str]) -> dict[str, Any] | None:
    """`gain_db=-6,6` as keywords of Augmentation."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            numbers = [float(number) for number in text.split(",")]
        except ValueError:
            fail(f"--augment wants NAME=NUMBER or NAME=LOW,HIGH, got {pair!r}")
        values[name] = tuple(numbers) if len(numbers) > 1 else numbers[0]
    shift = values.get("time_shift")
    if isinstance(shift, float) and shift.is_integer():
        values["time_shift"] = int(shift)
    return values or None


def _open(folder: Path) -> "Prepared":
    from samplecnn_zoo.datasets.prepared import Prepared, PreparedError

    try:
        prepared = Prepared.open(folder)
        prepared.clips("train")  # a damaged table is said before a framework is loaded
        return prepared
    except PreparedError as error:
        fail(str(error))


def run_training(
    recipe: "Recipe", prepared: "Prepared", output: Path, about: dict[str, str], options: dict[str, Any]
) -> Path:
    """Train with a bar, and return the preset's folder; what goes wrong ends the command with its line."""
    from samplecnn_zoo.decoders.hush import hushed
    from samplecnn_zoo.zoo import PresetError

    with hushed():  # TensorFlow greets from C
        from samplecnn_zoo.training import About
        from samplecnn_zoo.training import train as work
    try:
        with _Watch(recipe.name) as watch:
            said = About(**about, command=shlex.join(["samplecnn", *sys.argv[1:]]))
            preset = work(recipe, prepared, output, about=said, progress=watch, **options)
    except KeyboardInterrupt:
        fail(f"stopped; the same command goes on from the last checkpoint in {output}", INTERRUPTED)
    except PresetError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror or error}; the last checkpoint stays good", 1)
    say(f"{preset} is a preset: samplecnn tag music/ --preset {preset}")
    return preset


class _Watch:
    """A bar of the epoch's batches where the error stream is a terminal, and a line an epoch everywhere."""

    def __init__(self, what: str) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        self._shown = sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._shown,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._what = what
        self._task = self._progress.add_task(what, total=None, loss=float("nan"))
        self._epoch = 0

    def __enter__(self) -> Self:
        if self._shown:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._progress.stop()

    def __call__(self, event: "BatchDone | EpochDone | str") -> None:
        """Show it."""
        from samplecnn_zoo.training import EpochDone

        if isinstance(event, str):
            self._line(event)
        elif isinstance(event, EpochDone):
            self._line(_epoch_line(event))
        else:
            self._batch(event)

    def _batch(self, event: "BatchDone") -> None:
        if event.epoch != self._epoch:
            self._epoch = event.epoch
            of = f"/{event.epochs}" if event.epochs else ""
            self._progress.reset(
                self._task,
                total=event.batches,
                completed=event.batch - 1,
                description=f"epoch {event.epoch}{of}",
            )
        self._progress.update(self._task, completed=event.batch, loss=event.loss)

    def _line(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False)


def _epoch_line(event: "EpochDone") -> str:
    row = event.row
    figures = {
        "loss": f"{row['loss']:.4f}",
        "valid loss": _figure(row.get("valid_loss")),
        "ROC-AUC": _figure(row.get("valid_roc_auc")),
        "accuracy": _figure(row.get("valid_accuracy")),
        "rate": f"{row['learning_rate']:.2g}",
    }
    shown = "  ".join(f"{name} {value}" for name, value in figures.items() if value)
    return f"epoch {row['epoch']}  {shown}  {row['seconds']:.0f} s{'  best' if event.best else ''}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
