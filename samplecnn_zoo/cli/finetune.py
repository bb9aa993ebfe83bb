"""The command `samplecnn finetune`: your labels on the features of presets, or on a network itself."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.cli.console import INTERRUPTED, fail, say
from samplecnn_zoo.cli.listening import (
    DataArgument,
    LevelsOption,
    PoolingOption,
    PresetsOption,
    SetOption,
    StatisticsOption,
    hear,
    open_data,
    open_scales,
)
from samplecnn_zoo.cli.options import Decoder, DecoderOption, Engine, EngineOption
from samplecnn_zoo.cli.prepare import OptionOption

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.collection import Collection
    from samplecnn_zoo.datasets.prepared import Prepared
    from samplecnn_zoo.training.results import Figures
    from samplecnn_zoo.transfer import Classifier, Head, Labelled

FEATURES = "features"  # the cache within the output


class HeadKind(StrEnum):
    """What is trained on features."""

    logreg = "logreg"
    svm = "svm"
    mlp = "mlp"
    mlp4096 = "mlp4096"


HeadOption = Annotated[HeadKind, typer.Option("--head", help="The classifier; mlp4096 is the paper's.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of all that is random.")]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache", metavar="DIR", show_default=False,
        help="Where features are kept, for other runs, too.  \\[default: features in the output]",
    ),
]  # fmt: skip
BalancedOption = Annotated[
    bool, typer.Option("--balanced/--plain", help="Clips of rare tags count for more.")
]


def finetune(
    context: typer.Context,
    data: DataArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.", metavar="DIR")],
    head: HeadOption = HeadKind.logreg,
    preset: PresetsOption = None,
    levels: LevelsOption = "-1,-2,-3",
    pooling: PoolingOption = "max",
    statistics: StatisticsOption = "mean",
    name: SetOption = "",
    option: OptionOption = None,
    seed: SeedOption = 0,
    balanced: BalancedOption = True,
    cache: CacheOption = None,
    train: Annotated[
        str | None,
        typer.Option(
            "--train", metavar="none|last|all|STAGE",
            help="Train the network itself: its new head alone, its last three levels, all of it, or from a "
            "stage on. The preset is DIR/run/preset.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of --train, at most.")] = 30,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a head that is there.")] = False,
    engine: EngineOption = Engine.auto,
    decoder: DecoderOption = Decoder.auto,
) -> None:  # fmt: skip
    """Teach a preset your own labels; samplecnn tag --preset DIR then gives them.

    Without --train the network stays as it is: its hidden layers are heard once
    a clip, and a classifier learns from them. A part of the clips is held out,
    and how good the labels are on it is printed and written to head.json.

    A run that was stopped goes on with the same command. A bad file is named
    with its reason, and the others are done. Exit code: 0 all went well, 1 a
    file could not be heard or writing failed, 2 wrong use.
    """
    from samplecnn_zoo.transfer import is_head

    if is_head(output) and not overwrite:
        fail(f"{output}: a head is there; --overwrite replaces it")
    if train is not None:
        _check_unused(context)
    clips = open_data(data, name, option)
    try:
        if train is not None:
            _train_network(clips, output, preset or [DEFAULT_PRESET], train, epochs, seed)
            return
        scales = open_scales(
            preset, levels, pooling, statistics, engine=engine, decoder=decoder, batch_size=16
        )
        failed = _train_head(clips, output, scales, _classifier(head, balanced, seed), cache, overwrite)
    except KeyboardInterrupt:
        fail("stopped; the same command goes on", INTERRUPTED)
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror or error}; the same command goes on", 1)
    except (ImportError, ValueError) as error:
        fail(str(error))
    if failed:
        raise typer.Exit(1)


def _check_unused(context: typer.Context) -> None:
    """End the command when options of a classifier on features are given to the training of a network."""
    of_heads = (
        "head",
        "levels",
        "pooling",
        "statistics",
        "balanced",
        "cache",
        "overwrite",
        "engine",
        "decoder",
    )
    sources = {name: context.get_parameter_source(name) for name in of_heads}
    given = [f"--{name}" for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    if given:
        fail(f"--train trains the network itself: leave out {', '.join(given)}, of a classifier on features")


def _classifier(head: str, balanced: bool, seed: int) -> "Classifier":
    from samplecnn_zoo.transfer import Classifier

    return Classifier(kind=str(head), balanced=balanced, seed=seed)


def _train_head(
    clips: "Collection | Prepared",
    output: Path,
    scales: Any,
    classifier: "Classifier",
    cache: Path | None,
    overwrite: bool,
) -> int:
    """Hear, train, test, save; return the number of files that could not be heard."""
    from samplecnn_zoo.decoders.hush import hushed
    from samplecnn_zoo.transfer import save_head
    from samplecnn_zoo.transfer.held_out import fit, score

    output.mkdir(parents=True, exist_ok=True)
    labelled = hear(scales, clips, cache or output / FEATURES)
    with hushed():
        head = fit(labelled, classifier)
    figures = score(labelled, head) if labelled.keys("test") else None
    about = _about(labelled, classifier, figures)
    save_head(output, head, scales, about=about, overwrite=overwrite)
    _say(labelled, head, about, output)
    return len(labelled.failed)


def _about(labelled: "Labelled", classifier: "Classifier", figures: "Figures | None") -> dict[str, Any]:
    from samplecnn_zoo.transfer.held_out import main_figure

    facts: dict[str, Any] = {
        "data": labelled.name,
        "clips": {split: len(labelled.keys(split)) for split in ("train", "valid", "test")},
        "failed": len(labelled.failed),
        "classifier": asdict(classifier),
        "held_out": labelled.keys("test"),
        "validated_on": labelled.keys("valid"),
        "score": None,
    }
    if figures is not None:
        metric, found = main_figure(figures)
        rounded = {name: round(value, 5) for name, value in asdict(found).items()}
        facts["score"] = {"metric": metric, "split": "test", "interval": figures.interval, **rounded}
    return facts


def _say(labelled: "Labelled", head: "Head", about: dict[str, Any], output: Path) -> None:
    clips = ", ".join(f"{count:,} {split}" for split, count in about["clips"].items())
    typer.echo(f"{head.kind} on {head.width:,} features, {len(head.tags)} tags; clips: {clips}")
    score = about["score"]
    if score is None:
        typer.echo("no clip was held out: how good it is was not measured")
    else:
        interval = f"95 % {score['low']:.3f} to {score['high']:.3f}"
        typer.echo(f"{score['metric']} on held-out clips: {score['value']:.3f} ({interval})")
    say(f"{output} is a head: samplecnn tag music/ --preset {output}")


def _train_network(
    clips: "Collection | Prepared", output: Path, presets: list[str], stages: str, epochs: int, seed: int
) -> None:
    from samplecnn_zoo.cli.prepare import reporting
    from samplecnn_zoo.cli.train import run_training
    from samplecnn_zoo.datasets.prepare import prepare
    from samplecnn_zoo.datasets.prepared import Prepared
    from samplecnn_zoo.training import tuning
    from samplecnn_zoo.training.evaluate import evaluate
    from samplecnn_zoo.transfer.held_out import main_figure

    if len(presets) != 1:
        fail(f"--train wants one preset, got {len(presets)}")
    recipe = tuning(presets[0], train=stages, epochs=epochs)
    rate = recipe.arguments["sr"]
    prepared = (
        clips
        if isinstance(clips, Prepared)
        else prepare(clips, output / "shards", sample_rate=rate, progress=reporting("prepare"))
    )
    options = {"seed": seed, "start_from": presets[0]}
    preset = run_training(recipe, prepared, output / "run", {}, options)
    if prepared.counts.get("test"):
        metric, found = main_figure(evaluate(preset, prepared).figures)
        typer.echo(f"{metric} on held-out clips: {found}")
