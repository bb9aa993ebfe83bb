"""The scripts that redo the paper's tables: networks are the paper's, a table is trained and drawn."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import samplecnn_zoo.models as models
from samplecnn_zoo.visualize.style import can_draw
from tests import training_sets

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "benchmarks" / "tables"


def load_rows() -> ModuleType:
    spec = importlib.util.spec_from_file_location("table_rows", SCRIPTS / "rows.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["table_rows"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


ROWS = load_rows()


def parameters(row: Any, shrink: int) -> int:
    model = getattr(models, row.builder)(**row.narrowed(shrink))
    return int(sum(weight.shape.num_elements() for weight in model.trainable_weights))


@pytest.mark.parametrize(
    ("table", "name", "count"),
    [  # trainable parameters that the paper gives (Tables 2, 3 and 4)
        ("table2", "mel-729-243-5", 1_965_874),
        ("table2", "raw-243-81-6", 2_194_738),
        ("table2", "3x9", 2_460_466),
        ("table4", "2x13", 2_266_802),
        ("table4", "5x6", 2_917_170),
        ("table5", "2000hz", 1_805_106),
        ("table5", "16000hz", 2_198_322),
    ],
)
def test_the_rows_are_the_networks_of_the_paper(table: str, name: str, count: int) -> None:
    row = next(row for row in ROWS.TABLES[table] if row.name == name)
    assert parameters(row, 1) == count
    assert count / 20 < parameters(row, 4) < count / 10


def test_every_row_has_a_name_of_its_own_and_the_tables_share_the_full_network() -> None:
    for rows in ROWS.TABLES.values():
        assert len({row.name for row in rows}) == len(rows)
    assert all(ROWS.SAMPLE_LEVEL in ROWS.TABLES[name] for name in ("table2", "table4", "table5"))
    assert [len(ROWS.TABLES[name]) for name in ("table2", "table4", "table5")] == [13, 8, 7]


def run(arguments: list[object]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_table_is_trained_gone_on_with_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A table of one small network: the real ones hear 2.6 s, which takes minutes.
    row = f"Row('tiny', dict(m=[3] * 5), rate={training_sets.RATE}, paper_auc=0.9, paper_time=1.0)"
    main = f"import rows; rows.TABLES['table5'] = (rows.{row},); import train; train.main()"
    training_sets.make(tmp_path / "shards" / str(training_sets.RATE))
    options = ["table5", "--shards", tmp_path / "shards", "--out", tmp_path, "--seed", 0, 1, "--shrink", 16]
    monkeypatch.chdir(SCRIPTS)
    command = ["-c", f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); {main}", *options, "--epochs", 2]
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tiny, seed") == 2
    text = (tmp_path / "table5.csv").read_text()
    lines = list(csv.DictReader(text.splitlines()))
    assert [line["seed"] for line in lines] == ["0", "1"]
    assert all(0 <= float(line["roc_auc_low"]) <= float(line["roc_auc"]) <= 1 for line in lines)
    assert {(line["epochs"], line["train_clips"]) for line in lines} == {("2", "24")}
    assert {len(log.read_text().splitlines()) for log in tmp_path.glob("tiny-?/log.csv")} == {3}
    (tmp_path / "table5.csv").unlink()
    again = run(command)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "table5.csv").read_text() == text  # measured times and all
    other = run([*command, "--epochs", 3])
    assert other.returncode != 0 and "begun with" in other.stderr  # budgets are not mixed
    assert (tmp_path / "table5.csv").read_text() == text


@pytest.mark.skipif(not can_draw(), reason="needs the extra plots")
@pytest.mark.parametrize("table", ROWS.TABLES)
def test_every_table_can_be_drawn(table: str, tmp_path: Path) -> None:
    columns = (
        "network,seed,rate_hz,roc_auc,roc_auc_low,roc_auc_high,train_ms_a_segment,paper_roc_auc,paper_time"
    )
    lines = [
        f"{row.name},{seed},{row.rate},0.75,0.7,0.8,3.5,{row.paper_auc or ''},{row.paper_time or ''}"
        for row in ROWS.TABLES[table]
        for seed in (0, 1)
    ]
    (tmp_path / "table.csv").write_text("\n".join([columns, *lines]) + "\n")
    drawn = run([SCRIPTS / "plot.py", tmp_path / "table.csv", "-o", tmp_path / "table.png"])
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
