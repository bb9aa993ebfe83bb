"""Train the paper's network on MagnaTagATune with the paper's recipe, and evaluate it as the paper does.

    python examples/train_magnatagatune.py mtat/ -o runs/mtat                           # wants a GPU
    python examples/train_magnatagatune.py mtat/ -o runs/try --limit 100 --epochs 2     # a quick look

`mtat/` holds annotations_final.csv and the folders 0 to f of clips. What is made: `runs/mtat/shards`, 1.3 MB
a clip; `runs/mtat/run` with checkpoints, log.csv, TensorBoard's files and `preset/`; `runs/mtat/report`. A
killed run goes on with the same command. Without code, the same is

    samplecnn prepare magnatagatune --root mtat -o runs/mtat/shards
    samplecnn train paper_mtat --set runs/mtat/shards -o runs/mtat/run
    samplecnn evaluate runs/mtat/run/preset --set runs/mtat/shards -o runs/mtat/report
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from rich.progress import track

from samplecnn_zoo.datasets.prepare import limited, prepare
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.datasets.registry import get
from samplecnn_zoo.training import RECIPES, BatchDone, EpochDone, get_recipe, train
from samplecnn_zoo.training.evaluate import evaluate
from samplecnn_zoo.training.report import write_report


def main() -> None:
    """Prepare, train, evaluate."""
    options = parse_options()
    prepared = shards(options)
    recipe = get_recipe(options.recipe)
    if options.epochs:
        recipe = recipe.but(epochs=options.epochs)
    preset = train(recipe, prepared, options.out / "run", seed=options.seed, progress=show)
    evaluation = evaluate(preset, prepared, progress=lambda rows, total: track(rows, "evaluating", total))
    write_report(evaluation, options.out / "report", log=options.out / "run" / "log.csv")
    macro = evaluation.figures.groups[0]
    print(f"ROC-AUC {macro.roc_auc}, PR-AUC {macro.pr_auc}: {options.out / 'report' / 'report.md'}")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with annotations_final.csv and the clips")
    parser.add_argument("-o", "--out", type=Path, required=True, help="shards, run and report")
    parser.add_argument("--recipe", default="paper_mtat", choices=list(RECIPES))
    parser.add_argument("--rate", type=int, default=22050, help="in Hz, as the recipe's network wants it")
    parser.add_argument("--epochs", type=int, help="stop after so many; the paper's recipe ends by itself")
    parser.add_argument("--limit", type=int, help="take about so many clips")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def shards(options: argparse.Namespace) -> Prepared:
    """The clips as shards: made, gone on with, or as they are when they are complete."""
    collection = get("magnatagatune").collect(options.data, length="trust" if options.limit else "check")
    for note in collection.notes:
        print(note)
    if options.limit:
        collection = limited(collection, options.limit)
    return prepare(
        collection,
        options.out / "shards",
        sample_rate=options.rate,
        progress=lambda steps, total: track(steps, "preparing", total),
    )


def show(event: BatchDone | EpochDone | str) -> None:
    """Print a line an epoch, and what else is said."""
    if isinstance(event, EpochDone):
        names = ("epoch", "loss", "valid_loss", "valid_roc_auc", "learning_rate")
        print(", ".join(f"{name} {event.row[name]:.5g}" for name in names if event.row.get(name) is not None))
    elif isinstance(event, str):
        print(event)


if __name__ == "__main__":  # `prepare` starts processes, which import this file
    main()
