"""Genres of GTZAN from the features of a pretrained network: the example to begin your own from.

    python examples/finetune_gtzan.py --data genres/                               # 5 folds, 5 seeds
    python examples/finetune_gtzan.py --data genres/ --split filtered              # train, valid, test
    python examples/finetune_gtzan.py --data genres/ --random --mfcc               # beside plain baselines
    python examples/finetune_gtzan.py --data genres/ --train last                  # train the network, too

`genres/` is any copy of GTZAN, whole or a part: blues.00000.au to rock.00099.au (or wav, flac, mp3, ogg), in
any folders. Every clip is heard once by the network; its hidden layers, gathered over the clip, go into a
small classifier. A clip is a track here, so folds by clip are folds by track. What is computed stays in
`--out`: a killed run goes on with the same command. Needs matplotlib for the picture, and --mfcc librosa:
pip install 'samplecnn_zoo[benchmarks]'.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from rich.progress import track

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.audio import load
from samplecnn_zoo.datasets import Collection, get
from samplecnn_zoo.datasets.gtzan import GENRES
from samplecnn_zoo.datasets.stratify import draw, parse_rule
from samplecnn_zoo.training.metrics import confusion
from samplecnn_zoo.transfer import KINDS, Classifier, FeatureTable, Labelled, Scale, held_out, label
from samplecnn_zoo.transfer.experiments import PAPER_TABLE6
from samplecnn_zoo.transfer.held_out import fit
from samplecnn_zoo.visualize.report import confusion_matrix
from samplecnn_zoo.visualize.style import can_draw

BATCH_SIZE = 16  # segments that a network hears at once


def main() -> None:
    """Hear the clips, train and test on every fold, and print how good it was."""
    options = parse_options()
    split = "filtered" if options.split == "filtered" else "stratified"  # folds are drawn below
    collection = get("gtzan").collect(options.data, split=split)
    for note in collection.notes:
        print(f"gtzan: {note}")
    if options.train:
        accuracy_of_networks(collection, options)
        return
    heard = hear(options.preset, collection, options)
    results = {name: evaluate([labelled] * options.seeds, options) for name, labelled in heard.items()}
    if options.random:
        results |= evaluate_random(collection, options)
    for name, values in others(collection, options):
        labelled = plain(collection, values)
        for head in ("logreg", "svm"):
            results[f"{name} + {head}"] = evaluate([labelled] * options.seeds, options, head=head)
    report(results, options)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a copy of GTZAN")
    parser.add_argument("--preset", action="append", help="a name or folder; repeat it for several scales")
    parser.add_argument("--split", default="folds", choices=("folds", "filtered"), help="filtered: no folds")
    parser.add_argument("--folds", type=int, default=5, help="three or more")
    parser.add_argument("--seeds", type=int, default=5, help="of the folds and of all that is random")
    parser.add_argument("--head", default="logreg", choices=KINDS, help="mlp4096 is the paper's, and slow")
    parser.add_argument("--statistics", default="mean", help="of a clip's segments: some of mean,std,max")
    parser.add_argument("--random", action="store_true", help="the same network with random weights")
    parser.add_argument("--mfcc", action="store_true", help="MFCC statistics, by librosa")
    parser.add_argument("--musicnn", type=Path, help="MusicNN's features: a file of distillation/musicnn.py")
    parser.add_argument("--train", choices=("none", "last", "all"), help="stages of the network that learn")
    parser.add_argument("--epochs", type=int, default=30, help="of --train, at most")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/gtzan"))
    options = parser.parse_args()
    options.preset = options.preset or [DEFAULT_PRESET]
    if options.split == "filtered":
        options.folds = 1
    elif options.folds < 3:
        parser.error("--folds must be at least 3: one is tested on, one chooses, the others are trained on")
    return options


def hear(presets: list[str], collection: Collection, options: argparse.Namespace) -> dict[str, Labelled]:
    """Features by name: each of the last three levels of the networks, and all of them."""
    statistics = tuple(options.statistics.split(","))
    scales = [Scale.of(preset, statistics=statistics, batch_size=BATCH_SIZE) for preset in presets]
    labelled = label(scales, collection, cache=options.out / "features", progress=show)
    levels = {f"level {level}": labelled.but(labelled.table.select(levels=[level])) for level in (-1, -2, -3)}
    return {**levels, "last three": labelled}


def show(steps: Iterable[str | None], total: int) -> Iterator[str | None]:
    """A progress bar, and a line for each bad file, which is left out."""
    for step in track(steps, "features", total=total):
        if step:
            print(step)
        yield step


def evaluate(
    by_seed: list[Labelled], options: argparse.Namespace, head: str | None = None
) -> list[np.ndarray]:
    """Train and test on each fold of each seed: (genres, genres) counts of every seed and fold."""
    counts = []
    for seed, labelled in enumerate(by_seed):
        for fold in folds(labelled, seed, options):
            trained = fit(fold, Classifier(kind=head or options.head, seed=seed))
            x, truth = fold.part("test")
            counts.append(confusion(truth, trained.scores(x)))
    return counts


def folds(labelled: Labelled, seed: int, options: argparse.Namespace) -> Iterator[Labelled]:
    """The clips under each split; the fold after the one that is tested on is its valid part."""
    if options.split == "filtered":
        yield labelled
        return
    yield from held_out.folds(labelled, options.folds, seed)


def evaluate_random(collection: Collection, options: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """The same with random weights, drawn anew for each seed."""
    drawn = []
    for seed in range(options.seeds):
        presets = [untrained(preset, seed, options.out / "random") for preset in options.preset]
        drawn.append(hear(presets, collection, options))
    return {f"random weights, {name}": evaluate([one[name] for one in drawn], options) for name in drawn[0]}


def untrained(preset: str, seed: int, folder: Path) -> str:
    """A preset of the same network with fresh weights, made if it isn't there."""
    import keras

    from samplecnn_zoo import load_pretrained, save_pretrained

    target = folder / f"{Path(preset).name}_{seed}"
    if not target.is_dir():
        trained = load_pretrained(preset)
        keras.utils.set_random_seed(seed)
        fresh = keras.Model.from_config(trained.get_config())
        record = replace(
            trained.preset, name=f"random_{seed}", scores=(), training_data="none: random weights"
        )
        save_pretrained(fresh, target, preset=record)
    return str(target)


def others(collection: Collection, options: argparse.Namespace) -> Iterator[tuple[str, np.ndarray]]:
    """Features of other origin by name, (clips, values) each."""
    paths = [item.path for item in collection.recordings]
    if options.mfcc:
        sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
        from mfcc import mfcc_statistics

        yield "MFCC statistics", mfcc_statistics(paths)
    if options.musicnn:
        sys.path.append(str(Path(__file__).parent / "distillation"))
        from musicnn import RATE, clip_features, read_teachers

        for name, teacher in read_teachers(options.musicnn).items():
            clips = track(paths, name)
            yield name, np.stack([clip_features(teacher, load(path, RATE)) for path in clips])


def plain(collection: Collection, values: np.ndarray) -> Labelled:
    """Features of other origin in place of a network's."""
    table = FeatureTable(tuple(item.key for item in collection.recordings), values.astype(np.float32), ())
    labels = np.array([[tag in item.tags for tag in collection.tags] for item in collection.recordings])
    splits = np.array([item.split for item in collection.recordings])
    return Labelled("gtzan", table, labels, collection.tags, True, splits)


def report(results: Mapping[str, list[np.ndarray]], options: argparse.Namespace) -> None:
    """Print accuracies beside the paper's, and draw what the last three levels confuse."""
    print(f"\n{'features':<26}{'accuracy':>16}   {'paper':>5}   by fold (first seed)")
    for name, counts in results.items():
        accuracies = np.array([np.trace(count) / count.sum() for count in counts])
        seeds = accuracies.reshape(options.seeds, options.folds).mean(axis=1)
        paper = PAPER_TABLE6.get(name.removeprefix("level "), {}).get("gtzan")
        first = " ".join(f"{value:.2f}" for value in accuracies[: options.folds])
        ours = f"{seeds.mean():.3f} ± {seeds.std():.3f}"
        print(f"{name:<26}{ours:>16}   {'' if paper is None else f'{paper:.3f}':>5}   {first}")
    print(f"Ours: {options.head}, mean and standard deviation over {options.seeds} seeds.")
    print("Paper: Table 6, a 3^9 network trained on MSD, the fault-filtered split of 930 clips.")
    if can_draw():
        matrix = np.sum(results["last three"], axis=0)
        picture = confusion_matrix(options.out / "confusion.png", GENRES, matrix)
        print(f"What is taken for what, last three levels, all seeds: {picture}")


def accuracy_of_networks(collection: Collection, options: argparse.Namespace) -> None:
    """Train the first preset's network itself on each fold, and print accuracies; every fold is a run."""
    from samplecnn_zoo.datasets.prepare import prepare
    from samplecnn_zoo.training import train, tuning
    from samplecnn_zoo.training.evaluate import evaluate as test

    recipe = tuning(options.preset[0], train=options.train, epochs=options.epochs)
    seeds = []
    for seed in range(options.seeds):
        found = []
        for fold in range(1, options.folds + 1):
            out = options.out / f"{options.train}_{seed}_{fold}"
            own = collection if options.split == "filtered" else refolded(collection, fold, seed, options)
            prepared = prepare(own, out / "shards", sample_rate=recipe.arguments["sr"])
            preset = train(recipe, prepared, out / "run", seed=seed, start_from=options.preset[0])
            figures = test(preset, prepared).figures
            found.append(figures.accuracy.value if figures.accuracy else np.nan)
            print(f"seed {seed}, fold {fold}: accuracy {found[-1]:.3f}, preset {preset}")
        seeds.append(np.mean(found))
    print(f"train {options.train}: accuracy {np.mean(seeds):.3f} ± {np.std(seeds):.3f}")
    print("Paper: 0.821 at best, from features (Table 6).")


def refolded(collection: Collection, fold: int, seed: int, options: argparse.Namespace) -> Collection:
    """The set with the split of one fold."""
    genres = {item.key: item.tags[0] for item in collection.recordings}
    splits = draw(genres, parse_rule(f"fold:{fold}/{options.folds}:{seed}"))
    recordings = tuple(replace(item, split=splits[item.key]) for item in collection.recordings)
    return replace(collection, recordings=recordings)


if __name__ == "__main__":  # `prepare` starts processes, which import this file
    main()
