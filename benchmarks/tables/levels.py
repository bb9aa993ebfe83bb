"""Table 6: what each of the last three levels of a network is worth, on the corpus itself and on GTZAN.

    python benchmarks/tables/levels.py samplecnn_3x9.musicnn samplecnn_8k.musicnn --shards runs/shards/22050 \
        --gtzan genres/ --cache runs/features --out docs/experiments/table6.csv

ROC-AUC on the test part of the prepared set with its 95 % interval, accuracy on GTZAN with its deviation over
seeds, both by logistic regression; the paper's are of two layers of 4,096 units on a network trained on MSD.
"""

import argparse
from pathlib import Path
from typing import Any

import gtzan
from train import write_table

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
    parser.add_argument("--limit", type=int, help="of the set, so many clips of each part")
    parser.add_argument("--out", type=Path, required=True, help="CSV")
    options = parser.parse_args()
    found = [line for preset in options.presets for line in lines(preset, options)]
    write_table(options.out, COLUMNS, found)


def lines(preset: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A line a level, and one of all three."""
    scale = Scale.of(preset, batch_size=16)
    heard = label([scale], Prepared.open(options.shards), cache=options.cache, limit=options.limit)
    real = gtzan.accuracies(preset, options.gtzan, options.cache)
    rows = run("table6", heard, [scale], Classifier(kind="logreg", balanced=True)).rows
    return [
        {
            "network": scale.name, "levels": row.features, "midi_roc_auc": round(row.value, 4),
            "low": round(row.low, 4), "high": round(row.high, 4),
            "gtzan_accuracy": round(real[row.features][0], 3),
            "gtzan_deviation": round(real[row.features][1], 3),
            "paper_magnatagatune_roc_auc": PAPER_TABLE6[row.features]["magnatagatune"],
            "paper_gtzan_accuracy": PAPER_TABLE6[row.features]["gtzan"],
        }
        for row in rows
    ]  # fmt: skip


if __name__ == "__main__":
    main()
