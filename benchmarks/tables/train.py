"""Train the networks of one of the paper's tables on a prepared set, all on the same budget, and score them.

    for rate in 2000 4000 8000 12000 16000 20000 22050; do
        samplecnn prepare midi --root runs/midi50 -o runs/shards/$rate --rate $rate
    done
    python benchmarks/tables/train.py table5 --shards runs/shards --out runs/tables

Tables: table2 (frame level and sample level), table4 (the networks whose features `samplecnn experiment
table4` joins), table5 (sampling rates, the networks of Table 3), successors (Kim et al. 2018, at 8,000 Hz).
Each network is trained once a seed, in OUT/<name>-<seed>; a killed run goes on with the same command, and
what two tables share is trained once. Writes OUT/<table>.csv; `plot.py` draws it.
"""

import argparse
import csv
import io
import json
import math
import os
import statistics
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from rows import TABLES, Row

from samplecnn_zoo import preset_info
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.datasets.records import FULL_SCALE
from samplecnn_zoo.files import write_whole
from samplecnn_zoo.models import FrameLevelMel
from samplecnn_zoo.training import About, get_recipe, train
from samplecnn_zoo.training.evaluate import evaluate

COLUMNS = (
    "network", "seed", "rate_hz", "parameters", "epochs", "train_clips", "roc_auc", "roc_auc_low",
    "roc_auc_high", "pr_auc", "train_ms_a_segment", "paper_roc_auc", "paper_time",
)  # fmt: skip


def main() -> None:
    """Train, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--shards", type=Path, required=True, help="prepared sets, each named by its rate")
    parser.add_argument("--out", type=Path, required=True, help="runs, and the table")
    parser.add_argument("--epochs", type=int, default=3, help="one segment a clip is an epoch")
    parser.add_argument("--shrink", type=int, default=4, help="the paper's widths are divided by this")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", help="names of networks, of which alone the table then is")
    parser.add_argument("--name", default="", help="of the preset; default one of its network and the set")
    options = parser.parse_args()
    options.runs = options.out
    if unknown := set(options.only or ()) - {row.name for row in TABLES[options.table]}:
        names = ", ".join(row.name for row in TABLES[options.table])
        parser.error(f"{options.table} has no network {min(unknown)!r}; it has {names}")
    rows = [row for row in TABLES[options.table] if not options.only or row.name in options.only]
    write_table(options.out / f"{options.table}.csv", COLUMNS, [
        figures(row, seed, options) for row in rows for seed in options.seed
    ])  # fmt: skip


def write_table(path: Path, columns: tuple[str, ...], lines: list[dict[str, Any]]) -> None:
    """Write a CSV whole, and say where."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_whole(path, text.getvalue().encode())
    print(path)


def figures(row: Row, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """What a network is worth; trained and scored where that has not been done."""
    run = options.runs / f"{row.name}-{seed}"
    prepared = Prepared.open(options.shards / str(row.rate))
    print(f"{row.name}, seed {seed}", flush=True)
    preset = trained(row, seed, run, prepared, options)
    weights = preset_info(preset).weights_sha256
    kept = options.runs / f"{run.name}.json"
    measured: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if measured.get("weights_sha256") != weights:
        measured = {"network": row.name, "seed": seed, "rate_hz": row.rate, "weights_sha256": weights}
        measured |= measure(preset, run, prepared)
        write_whole(kept, json.dumps(measured).encode())
    return {**measured, "paper_roc_auc": row.paper_auc, "paper_time": row.paper_time}


def trained(row: Row, seed: int, run: Path, prepared: Prepared, options: argparse.Namespace) -> Path:
    """The preset of a run, which is made, gone on with, or there; one with another budget is refused."""
    arguments = row.narrowed(options.shrink)
    if row.builder == "FrameLevelMel":
        arguments |= mel_statistics(prepared, arguments)
    recipe = get_recipe("midi_8k").but(
        name=options.table, builder=row.builder, arguments=arguments, epochs=options.epochs
    )
    about = About(options.name, "MIT", command_of(row, seed, options))
    preset = train(recipe, prepared, run, seed=seed, about=about)
    keras.backend.clear_session()
    return preset


def command_of(row: Row, seed: int, options: argparse.Namespace) -> str:
    """What trains this network again; it goes into its preset."""
    backend = keras.backend.backend()
    script = "python" if backend == "tensorflow" else f"KERAS_BACKEND={backend} python"
    budget = f"--epochs {options.epochs} --shrink {options.shrink} --seed {seed}"
    if options.table == "ablation":
        return f"{script} benchmarks/tables/ablation.py {options.shards} --gtzan GTZAN --out TABLE {budget}"
    name = f" --name {options.name}" if options.name else ""
    where = f"--only {row.name} --shards {options.shards} --out {options.out}"
    return f"{script} benchmarks/tables/train.py {options.table} {where} {budget}{name}"


def measure(preset: Path, run: Path, prepared: Prepared) -> dict[str, Any]:
    """Score a network on the test part, clip by clip, and look up how long its training took."""
    group = evaluate(preset, prepared).figures.groups[0]
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return {
        "parameters": parameters(preset), "epochs": len(lines), "train_clips": prepared.counts["train"],
        "roc_auc": round(group.roc_auc.value, 4), "roc_auc_low": round(group.roc_auc.low, 4),
        "roc_auc_high": round(group.roc_auc.high, 4), "pr_auc": round(group.pr_auc.value, 4),
        "train_ms_a_segment": round(1000 / statistics.median(found), 2) if (found := speeds(lines)) else "",
    }  # fmt: skip


def speeds(lines: list[dict[str, str]]) -> list[float]:
    """Segments a second of each epoch; that of one that was taken up at its end is not known."""
    return [float(line["segments_per_s"]) for line in lines if line["segments_per_s"]]


def parameters(preset: Path) -> int:
    """Trainable parameters of a trained network."""
    model = keras.saving.load_model(preset)
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def mel_statistics(prepared: Prepared, arguments: dict[str, Any], clips: int = 100) -> dict[str, float]:
    """Mean and standard deviation of the log-mel values of the first training clips' first segments."""
    model = FrameLevelMel(**arguments, sr=prepared.sample_rate)
    front = keras.Model(model.input, model.get_layer("stage1_norm").output)
    segment = model.input_shape[1]
    pcm = prepared.pcm("train")
    audio = [pcm[index][:segment, None] / FULL_SCALE for index in range(min(clips, len(pcm)))]
    values = np.stack([keras.ops.convert_to_numpy(front(clip[None].astype(np.float32))) for clip in audio])
    return {"mean": float(values.mean()), "std": float(values.std())}


if __name__ == "__main__":
    main()
