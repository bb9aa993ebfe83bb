"""Table 6: what each of the last three levels of a network is worth, on the corpus itself and on GTZAN.

    python benchmarks/tables/levels.py samplecnn_3x9.musicnn samplecnn_8k.musicnn --shards runs/shards/22050 \
        --gtzan genres/ --cache runs/features --out docs/experiments/table6.csv

ROC-AUC on the test part of the prepared set with its 95 % interval, accuracy on GTZAN with its deviation over
seeds, both by logistic regression; the paper's are of two layers of 4,096 units on a network trained on MSD.
"""

import argparse
import csv
from pathlib import Path

import gtzan

from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.transfer import Classifier, Scale, label
from samplecnn_zoo.transfer.experiments import PAPER_TABLE6, run

COLUMNS = (
    "network", "levels", "midi_roc_auc", "low", "high", "gtzan_accuracy", "gtzan_deviation",
    "paper_magnatagatune_roc_auc", "paper_gtzan_accuracy",
)  # fmt: skip


def main() -> None:
    """Hear, train heads, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("presets", nargs="+")
    parser.add_argument(
        "--shards", type=Path, required=True, help="a prepared set of the highest rate, or more"
    )
    parser.add_argument("--gtzan", type=Path, required=True, help="a copy of GTZAN, whole or a part")
    parser.add_argument("--cache", type=Path, required=True, help="keeps features of the set")
    parser.add_argument("--out", type=Path, required=True, help="CSV")
    options = parser.parse_args()
    with open(options.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for preset in options.presets:
            writer.writerows(lines(preset, options))
            file.flush()


def lines(preset: str, options: argparse.Namespace) -> list[tuple[object, ...]]:
    """A line a level, and one of all three."""
    scale = Scale.of(preset, batch_size=16)
    heard = label([scale], Prepared.open(options.shards), cache=options.cache)
    real = gtzan.accuracies(preset, options.gtzan)
    return [
        (
            scale.name, row.features, round(row.value, 4), round(row.low, 4), round(row.high, 4),
            *(round(figure, 3) for figure in real[row.features]),
            PAPER_TABLE6[row.features]["magnatagatune"], PAPER_TABLE6[row.features]["gtzan"],
        )
        for row in run("table6", heard, [scale], Classifier(kind="logreg", balanced=True)).rows
    ]  # fmt: skip


if __name__ == "__main__":
    main()
