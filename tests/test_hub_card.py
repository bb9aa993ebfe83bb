"""The model card: metadata that the Hub's own classes read, a text made of the record and of nothing else."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from samplecnn_zoo.zoo import Normalization, Preset, Score, SegmentRule, Source, Training, find
from samplecnn_zoo.zoo.card import model_card
from samplecnn_zoo.zoo.published import PUBLISHED
from samplecnn_zoo.zoo.stored import read_preset
from tests.presets import save_tiny

FIELDS: dict[str, Any] = {
    "name": "tiny.random",
    "builder": "SampleCNN",
    "arguments": {"m": [27, 3, 3, 3]},
    "sample_rate": 8000,
    "segment_samples": 729,
    "tags": ("guitar", "no vocals", "bösendorfer"),
    "license": "CC0-1.0",
    "training_data": "a set that was made up",
}
SCORES = (
    Score("ROC-AUC", 0.875, 0.85, 0.9, "Made Up", "test"),
    Score("PR-AUC", 0.25, dataset="Made Up", split="test", note="published, not measured here"),
    Score("ROC-AUC", 0.5, note="of nothing in particular"),
)


def card(**changes: Any) -> Any:
    """The card as the Hub's own class reads it, whose fields depend on what is in it."""
    return ModelCard(model_card(Preset(**FIELDS | changes)))


def test_the_hubs_own_reader_finds_the_metadata() -> None:
    data = card(scores=SCORES).data
    assert (data.library_name, data.pipeline_tag) == ("keras", "audio-classification")
    assert data.license == "cc0-1.0"
    assert data.metrics == ["roc_auc", "pr_auc"]
    assert data.model_name == "tiny.random"
    results = data.eval_results
    assert [(r.metric_type, r.metric_value, r.dataset_name, r.dataset_split) for r in results] == [
        ("roc_auc", 0.875, "Made Up", "test"),
        ("pr_auc", 0.25, "Made Up", "test"),
    ]
    assert results[1].metric_name == "PR-AUC (published, not measured here)"


def test_a_score_of_no_data_set_stands_in_the_table_only() -> None:
    made = card(scores=SCORES)
    assert len(made.data.eval_results) == 2
    assert "of nothing in particular" in made.text


def test_without_scores_there_is_no_model_index() -> None:
    made = card()
    block = made.data.to_dict()
    assert set(block) == {"library_name", "pipeline_tag", "license", "tags"}
    assert "No score of this preset is stated." in made.text
    assert "## Scores" not in made.text


@pytest.mark.parametrize(
    ("stated", "license_id", "name"),
    [
        ("MIT", "mit", None),
        ("Apache-2.0", "apache-2.0", None),
        ("CC-BY-NC-SA-4.0", "cc-by-nc-sa-4.0", None),
        ("ask: me first", "other", "ask: me first"),
        ("unknown", "other", "unknown"),
    ],
)
def test_only_licences_of_the_hub_are_given_as_such(stated: str, license_id: str, name: str | None) -> None:
    made = card(license=stated)
    block = made.data.to_dict()
    assert (block["license"], block.get("license_name")) == (license_id, name)
    assert f"Weights: {stated}. Code: MIT." in made.text


def test_the_text_tells_what_the_record_does() -> None:
    text = card(
        description="A network of nobody.",
        normalization=Normalization(0.5, 2.0),
        segment_rule=SegmentRule(hop_samples=400),
        training=Training("make it", 1.5, "2 cores", "Twice."),
        source=Source("someone/nets", "c" * 40, "a/b.pth", "d" * 40),
        scores=SCORES,
    ).text
    for part in (
        "# tiny.random\n\nA network of nobody.",
        "at 8000 Hz, in segments of 729 samples (0.09 s), one every 0.05 s",
        "(x - 0.5) / 2",
        "## Tags (3, in the order of the outputs)\n\nguitar, no vocals, bösendorfer",
        "| ROC-AUC | 0.8750 | 0.8500 to 0.9000 | Made Up | test |  |",
        "| PR-AUC | 0.2500 | – | Made Up | test | published, not measured here |",
        "Data: a set that was made up",
        "```sh\nmake it\n```\n\n1.5 hours on 2 cores. Twice.",
        f"Weights first published in someone/nets @ {'c' * 40}, a/b.pth.",
        "cannot hear above 4000 Hz",
        "10.3390/app8010150",
    ):
        assert part in text


def test_windows_over_a_clip_are_told() -> None:
    assert "16 of them spread evenly over the clip" in card(segment_rule=SegmentRule("even", windows=16)).text


def test_an_encoder_is_no_tagger() -> None:
    made = card(arguments={"include_top": False})
    assert made.data.pipeline_tag == "feature-extraction"
    assert '.embed("song.mp3")' in made.text
    assert "3 features, no tags" in made.text
    assert "bösendorfer" not in made.text


@pytest.mark.parametrize(
    ("changes", "works"),
    [
        ({}, ["lee2018samplecnn"]),
        ({"arguments": {"block": "rese2"}}, ["lee2018samplecnn", "kim2018sample"]),
        ({"arguments": {"multi_level": True}}, ["lee2018samplecnn", "kim2018sample"]),
        ({"arguments": {"block": "rese_won"}}, ["lee2018samplecnn", "won2020evaluation"]),
        ({"builder": "mine"}, []),
    ],
)
def test_the_papers_are_those_of_the_network(changes: dict[str, Any], works: list[str]) -> None:
    text = card(**changes).text
    assert re.findall(r"@\w+\{(\w+),", text) == works
    assert ("## Citation" in text) == bool(works)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_preset_has_a_card(name: str) -> None:
    record = PUBLISHED[name]
    made: Any = ModelCard(model_card(record.preset()))
    assert record.source.commit in made.text
    assert made.data.license == record.license.lower()
    assert len(made.data.eval_results or []) == len(record.scores)


def test_every_bundled_card_is_that_of_its_record() -> None:
    for directory in find.bundled().values():
        assert (directory / "README.md").read_text(encoding="utf-8") == model_card(read_preset(directory))


def test_papers_read_as_in_the_document() -> None:
    document = (Path(__file__).parents[1] / "docs" / "citing.md").read_text(encoding="utf-8")
    preset = Preset(**FIELDS | {"arguments": {"block": "rese_won", "multi_level": True}})

    def plain(text: str) -> str:
        return " ".join(text.split())

    for entry in re.findall(r"```bibtex\n(.*?)\n```", document, re.DOTALL):
        if "spijkervet" not in entry:
            assert plain(entry) in plain(model_card(preset))


def command(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "samplecnn_zoo", "card", *map(str, arguments)], capture_output=True, text=True
    )


def test_the_command_writes_the_card_and_spares_an_edited_one(tmp_path: Path) -> None:
    save_tiny(tmp_path / "p")
    file = tmp_path / "p" / "README.md"
    wanted = file.read_text(encoding="utf-8")
    file.unlink()
    assert command(tmp_path / "p").returncode == 0
    assert file.read_text(encoding="utf-8") == wanted
    file.write_text("My own words.", encoding="utf-8")
    refused = command(tmp_path / "p", "--repo", "someone/tiny")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--overwrite replaces it" in refused.stderr
    assert file.read_text(encoding="utf-8") == "My own words."
    assert command(tmp_path / "p", "--repo", "someone/tiny", "--overwrite").returncode == 0
    assert 'Tagger("hf://someone/tiny")' in file.read_text(encoding="utf-8")
    assert sorted(path.name for path in (tmp_path / "p").iterdir())[0] == "README.md"  # no draft is left
