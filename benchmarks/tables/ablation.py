"""What each part of the corpus brings: one network, trained on each rendering of the same pieces.

    python benchmarks/tables/ablation.py runs/ablation/{plain,fonts,level,score,sound} \
        --gtzan genres/ --out docs/experiments/ablation.csv

Each folder holds `8000`, what `samplecnn prepare midi --rate 8000` made of a rendering, and takes the runs.
Scores are ROC-AUC on the set's test part, which is the same in all of them, and genre accuracy on a copy of
GTZAN from the last three levels: rendered sound, and real recordings. The same command goes on after a kill.
"""

import argparse
from pathlib import Path
from typing import Any

import gtzan
import train
from rows import TABLES

ROW = TABLES["successors"][0]
COLUMNS = (
    "corpus", "seed", "epochs", "train_clips", "roc_auc", "pr_auc", "gtzan_accuracy", "gtzan_deviation",
)  # fmt: skip


def main() -> None:
    """Train on each corpus, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--gtzan", type=Path, required=True, help="a copy of GTZAN, whole or a part")
    parser.add_argument("--out", type=Path, required=True, help="CSV")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--shrink", type=int, default=4)
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    options.table, options.name = "ablation", ""
    lines = [figures(corpus, seed, options) for corpus in options.corpora for seed in options.seed]
    train.write_table(options.out, COLUMNS, lines)


def figures(corpus: Path, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """What a network trained on a corpus is worth on rendered and on real sound."""
    options.shards = options.runs = corpus
    found = train.figures(ROW, seed, options)
    preset = corpus / f"{ROW.name}-{seed}" / "preset"
    accuracy, deviation = gtzan.accuracy(preset, options.gtzan, corpus / "features")
    real = {"gtzan_accuracy": round(accuracy, 3), "gtzan_deviation": round(deviation, 3)}
    return {"corpus": corpus.name, **found, **real}


if __name__ == "__main__":
    main()
