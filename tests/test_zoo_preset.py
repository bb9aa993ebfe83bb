"""Preset records: what they accept, refuse, and give back from JSON."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from samplecnn_zoo.zoo import Normalization, Preset, PresetError, Score, SegmentRule, Source, Training


def full_preset(**changes: Any) -> Preset:
    fields: dict[str, Any] = {
        "name": "samplecnn_3x9.made_up",
        "builder": "SampleCNN",
        "arguments": {"m": (3, 3, 4), "widths": "released", "multi_level": False},
        "sample_rate": 22050,
        "segment_samples": 59049,
        "tags": ("rock", "Björk-like", "no voice"),
        "license": "CC-BY-4.0",
        "training_data": "Nothing that exists.",
        "description": "A record with every field.",
        "normalization": Normalization(-0.000165, 0.1551),
        "segment_rule": SegmentRule(hop_samples=29524),
        "source": Source("who/what", "0" * 40, "weights.hdf5", "1" * 40),
        "training": Training("python train.py --seed 1", 2.5, "2 CPU cores", "seed 1"),
        "scores": (Score("ROC-AUC", 0.9, 0.88, 0.92, "made up", "test", "300 clips"), Score("PR-AUC", 0.4)),
        "weights_sha256": "a" * 64,
        "config_sha256": "b" * 64,
    }
    return Preset(**fields | changes)


def as_json(**changes: Any) -> str:
    return json.dumps({**json.loads(full_preset().to_json()), **changes})


def test_json_gives_back_an_equal_record() -> None:
    preset = full_preset()
    assert Preset.from_json(preset.to_json()) == preset
    assert Preset.from_json(preset.to_json()).to_json() == preset.to_json()


def test_json_keeps_tags_readable_and_in_order() -> None:
    text = full_preset().to_json()
    assert "Björk-like" in text
    assert json.loads(text)["tags"] == ["rock", "Björk-like", "no voice"]


def test_a_record_of_the_needed_fields_alone_comes_back() -> None:
    needed = ("name", "builder", "arguments", "sample_rate", "segment_samples", "tags", "license")
    value = {
        key: json.loads(full_preset().to_json())[key] for key in (*needed, "training_data", "format_version")
    }
    preset = Preset.from_json(json.dumps(value))
    assert (preset.normalization, preset.segment_rule, preset.scores) == (None, SegmentRule(), ())


def test_a_record_is_frozen_hashable_and_copies() -> None:
    preset = full_preset()
    with pytest.raises(FrozenInstanceError):
        preset.sample_rate = 16000  # type: ignore[misc]
    assert hash(preset) == hash(full_preset())
    assert copy.deepcopy(preset) == pickle.loads(pickle.dumps(preset)) == preset


def test_derived_figures() -> None:
    assert full_preset().segment_s == pytest.approx(2.67796, abs=1e-5)
    assert full_preset().hop_samples == 29524
    assert full_preset(segment_rule=SegmentRule()).hop_samples == 59049


def test_the_callers_arguments_are_not_held() -> None:
    arguments = {"m": [3, 3]}
    preset = full_preset(arguments=arguments)
    arguments["m"].append(4)
    assert preset.arguments == {"m": [3, 3]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../elsewhere"}, "name is made of letters"),
        ({"name": ""}, "name is made of letters"),
        ({"name": 3}, "Preset.name must be a string, got 3"),
        ({"builder": None}, "Preset.builder must be a string"),
        ({"sample_rate": 22050.0}, "sample_rate must be a whole number of at least 1, got 22050.0"),
        ({"sample_rate": 0}, "sample_rate must be a whole number"),
        ({"segment_samples": True}, "segment_samples must be a whole number"),
        ({"tags": ()}, "at least one"),
        ({"tags": "rock"}, "tags must be a list"),
        ({"tags": ("rock", "pop", "rock")}, "named once, repeated: rock"),
        ({"tags": ("rock", " pop")}, "trimmed text, got ' pop'"),
        ({"tags": ("rock", 3)}, "trimmed text, got 3"),
        ({"arguments": [3]}, "arguments must be a mapping"),
        ({"arguments": {"m": object()}}, "plain JSON values"),
        ({"arguments": {"m": float("nan")}}, "plain JSON values"),
        ({"weights_sha256": "abc"}, "weights_sha256 must be 64"),
        ({"config_sha256": "A" * 64}, "config_sha256 must be 64 lower-case"),
        ({"segment_rule": SegmentRule(hop_samples=59050)}, "leaves gaps"),
        ({"normalization": (0.0, 1.0)}, "normalization must be a Normalization"),
        ({"segment_rule": None}, "segment_rule must be a SegmentRule, got None"),
        ({"scores": (0.9,)}, "scores must be Score records, got 0.9"),
        ({"format_version": 2}, "format_version must be 1, got 2"),
    ],
)
def test_a_broken_field_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PresetError, match=message):
        full_preset(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normalization(0.0, 0.0), "std must be a finite number above 0, got 0"),
        (lambda: Normalization(float("nan"), 1.0), "mean must be a finite number, got nan"),
        (lambda: Normalization("0", 1.0), "mean must be a finite number, got '0'"),  # type: ignore[arg-type]
        (lambda: SegmentRule("spread"), "must be one of cover, even, got 'spread'; a newer samplecnn_zoo"),
        (
            lambda: SegmentRule(hop_samples=0),
            "hop_samples must be a whole number of at least 1 or null, got 0",
        ),
        (lambda: SegmentRule("even", windows=0), "windows must be a whole number of at least 1 or null"),
        (lambda: SegmentRule("even"), "'even' needs a number of windows"),
        (lambda: SegmentRule("even", hop_samples=5, windows=3), "'even' has windows, not hop_samples"),
        (lambda: SegmentRule(windows=12), "'cover' has no windows or to_end"),
        (lambda: SegmentRule("even", windows=3, to_end=1), "to_end must be a bool"),  # type: ignore[arg-type]
        (lambda: Score("ROC-AUC", float("nan")), "value must be a finite number, got nan"),
        (lambda: Score("ROC-AUC", 0.9, 0.91, 0.95), "must lie within 0.91 and 0.95"),
        (lambda: Score("ROC-AUC", 0.9, high=float("inf")), "bounds must be finite, got inf"),
        (lambda: Training("make", -1, "a laptop"), "hours must be a number of at least 0, got -1"),
        (lambda: Source("a/b", None, "c"), "Source.commit must be a string, got None"),  # type: ignore[arg-type]
    ],
)
def test_a_broken_part_is_named(make: Any, message: str) -> None:
    with pytest.raises(PresetError, match=message):
        make()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (as_json()[:-20], "p.json: this is no JSON"),
        ("[]", "p.json: a JSON object is needed, got list"),
        ("{}", "format_version must be a whole number, got None"),
        (
            as_json(format_version=2),
            "format_version 2 is newer than this samplecnn_zoo reads .1.: upgrade it",
        ),
        (as_json(format_version=0), "format_version must be 1, got 0"),
        (as_json(format_version="1"), "format_version must be a whole number, got '1'"),
        (as_json(normalisation=None), "unknown fields: normalisation"),
        (as_json(normalization={"mean": 0.0}), "normalization lacks the fields: std"),
        (as_json(normalization=[0, 1]), "normalization must be a JSON object"),
        (as_json(scores={"ROC-AUC": 0.9}), "scores must be a list"),
        (as_json(scores=[{"metric": "ROC-AUC"}]), "a score lacks the fields: value"),
        (as_json(segment_rule={"kind": "even", "count": 12}), "segment_rule has unknown fields: count"),
        (as_json(segment_rule={"kind": "spread"}), "must be one of cover, even, got 'spread'"),
        (json.dumps({"format_version": 1, "name": "x"}), "lacks the fields: arguments, builder, license"),
    ],
)
def test_json_that_is_not_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(PresetError, match=message):
        Preset.from_json(text, where="p.json")


def test_a_newer_format_is_refused_before_its_fields() -> None:
    with pytest.raises(PresetError, match="newer"):
        Preset.from_json(as_json(format_version=2, loudness=-14))


def test_replace_checks_again() -> None:
    with pytest.raises(PresetError, match="segment_samples"):
        replace(full_preset(), segment_samples=-1)
