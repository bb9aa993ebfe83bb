"""Train a classifier on your own recordings, and see how good it is on files that it hasn't heard.

    python examples/train_my_folder.py genres/ -o runs/new                                      # no preset
    python examples/train_my_folder.py genres/ -o runs/tuned --start-from samplecnn_8k.musicnn  # a preset
    python examples/train_my_folder.py genres/ -o runs/folds --folds 5 --seeds 3                # how sure?

`genres/` holds a folder a class with audio files in it. Without --folds a tenth of each class is tested on,
and `runs/new/split/run/preset` is what `samplecnn tag --preset` and `Tagger` take. With --folds every file
is tested on once a seed, by a network that was trained without it. A killed run goes on with the same
command.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from samplecnn_zoo import preset_info
from samplecnn_zoo.datasets.prepare import prepare
from samplecnn_zoo.datasets.registry import get
from samplecnn_zoo.models import SAMPLING_RATE_PLANS
from samplecnn_zoo.training import BatchDone, EpochDone, Recipe, get_recipe, train
from samplecnn_zoo.training.evaluate import evaluate
from samplecnn_zoo.training.report import write_report

PLACES = ("out", "folds", "seeds")  # which folders there are; the other options are the same in all


def main() -> None:
    """Train and evaluate on one split or on all folds."""
    options = parse_options()
    if not options.folds:
        print(f"accuracy {accuracy_of(options, 'stratified', options.out / 'split', seed=0):.3f}")
        return
    seeds = []
    for seed in range(options.seeds):
        folds = [
            accuracy_of(options, f"fold:{k + 1}/{options.folds}:{seed}", options.out / f"{seed}_{k}", seed)
            for k in range(options.folds)
        ]
        seeds.append(float(np.mean(folds)))
        print(f"seed {seed}: accuracy {seeds[-1]:.3f}, by fold {' '.join(f'{fold:.3f}' for fold in folds)}")
    print(f"accuracy {np.mean(seeds):.3f} ± {np.std(seeds):.3f} over {len(seeds)} seeds")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with a folder a class")
    parser.add_argument("-o", "--out", type=Path, required=True, help="checkpoints, presets and reports")
    parser.add_argument("--start-from", metavar="PRESET", help="begin with its network and weights")
    parser.add_argument("--rate", type=int, default=8000, choices=sorted(SAMPLING_RATE_PLANS))
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--per-clip", type=int, default=4, help="random segments a clip and epoch")
    parser.add_argument("--batch", type=int, default=8, help="small: BatchNormalization wants many steps")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--freeze-below", metavar="STAGE", help="stages below it stand still, e.g. stage8")
    parser.add_argument("--folds", type=int, help="cross-validate: 3 or more")
    parser.add_argument(
        "--seeds", type=int, default=1, help="of the folds, the weights and the order of clips"
    )
    return parser.parse_args()


def accuracy_of(options: argparse.Namespace, split: str, out: Path, seed: int) -> float:
    """Prepare, train and evaluate on one split in the folder `out`, or read what was done there."""
    report = out / "report" / "report.json"
    settings = {name: str(value) for name, value in vars(options).items() if name not in PLACES}
    claim(out, {**settings, "split": split, "seed": str(seed)})
    if not report.exists():
        collection = get("folder").collect(options.data, split=split)
        rate = preset_info(options.start_from).sample_rate if options.start_from else options.rate
        prepared = prepare(collection, out / "shards", sample_rate=rate)
        preset = train(
            recipe_of(options), prepared, out / "run", seed=seed, start_from=options.start_from, progress=show
        )
        write_report(evaluate(preset, prepared), report.parent, log=out / "run" / "log.csv")
        shutil.rmtree(out / "shards")  # half a megabyte a clip at 8 kHz, once a fold
    accuracy: float = json.loads(report.read_text(encoding="utf-8"))["accuracy"]["value"]
    return accuracy


def claim(out: Path, settings: dict[str, str]) -> None:
    """Note what the folder is for, or end where it is for something else."""
    note, text = out / "options.json", json.dumps(settings, indent=1)
    if note.exists() and note.read_text(encoding="utf-8") != text:
        sys.exit(f"{out}: begun with other options, see {note}; name another --out")
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(text, encoding="utf-8")


def show(event: BatchDone | EpochDone | str) -> None:
    """Print a line an epoch, and what else is said."""
    if isinstance(event, EpochDone):
        names = ("epoch", "loss", "valid_loss", "valid_accuracy")
        print(", ".join(f"{name} {event.row[name]:.4g}" for name in names if event.row.get(name) is not None))
    elif isinstance(event, str):
        print(event)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The network for the rate, and how it is trained: change here what you like (see `Recipe`)."""
    return get_recipe("small_set").but(
        arguments={"m": SAMPLING_RATE_PLANS[options.rate]},
        epochs=options.epochs,
        per_clip=options.per_clip,
        batch_size=options.batch,
        learning_rate=options.learning_rate,
        freeze_below=options.freeze_below,
        augmentation={"gain_db": (-6.0, 6.0), "polarity": 0.5},
    )


if __name__ == "__main__":  # `prepare` starts processes, which import this file
    main()
