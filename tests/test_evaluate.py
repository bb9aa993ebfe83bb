"""Evaluation of presets on prepared sets: the scores, what they are worth, and what can't be evaluated."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from samplecnn_zoo import SampleCNN, Tagger
from samplecnn_zoo.datasets.prepared import Prepared, PreparedError
from samplecnn_zoo.training import metrics
from samplecnn_zoo.training.evaluate import evaluate, score_clips, with_scores
from samplecnn_zoo.training.results import Evaluation, EvaluationError, Rules, measure
from samplecnn_zoo.training.score_file import ScoreFile
from samplecnn_zoo.zoo import Normalization, Preset, Score, load_pretrained, preset_info, save_pretrained
from tests import evaluation_sets as sets
from tests.evaluation_sets import SEGMENT, SEGMENTS
from tests.presets import preset_for, scores, settle
from tests.training_sets import RATE, TAGS

CLIPS = 14
FEW = Rules(draws=50)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return sets.prepared(tmp_path_factory.mktemp("sets") / "tones", clips=CLIPS)


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("presets") / "tiny"
    sets.preset(folder)
    return str(folder)


@pytest.fixture(scope="module")
def evaluation(preset: str, prepared: Prepared) -> Evaluation:
    return evaluate(preset, prepared, rules=FEW)


def by_hand(model: keras.Model, prepared: Prepared) -> np.ndarray:
    """Clip after clip: the mean of what the model gives for the segments that are the clip's own sound."""
    rows = []
    for index in range(CLIPS):
        count = SEGMENTS[index % len(SEGMENTS)]
        samples = prepared.pcm("test")[index][: count * SEGMENT].astype(np.float64) / 32768
        rows.append(scores(model, samples.reshape(count, SEGMENT, 1).astype(np.float32)).mean(axis=0))
    return np.stack(rows)


def test_a_clips_score_is_the_mean_over_its_own_segments(
    evaluation: Evaluation, preset: str, prepared: Prepared
) -> None:
    assert evaluation.scores == pytest.approx(by_hand(load_pretrained(preset), prepared), abs=1e-4)
    assert evaluation.keys == tuple(f"clip{index + 2}" for index in range(CLIPS))
    assert np.array_equal(evaluation.truth, prepared.labels("test") > 0)
    assert evaluation.subject.segments_a_clip == 3
    assert (evaluation.subject.dataset, evaluation.subject.split) == ("tones", "test")


@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_any_tagger_and_any_model_can_be_evaluated(engine: str, preset: str, prepared: Prepared) -> None:
    wanted = evaluate(Tagger(preset, engine=engine), prepared, rules=FEW)
    assert wanted.subject.engine == engine
    model = load_pretrained(preset)
    assert evaluate(model, prepared, rules=FEW).scores == pytest.approx(wanted.scores, abs=1e-4)


def test_normalization_is_that_of_the_preset(tmp_path: Path, prepared: Prepared) -> None:
    model = sets.preset(tmp_path / "plain")
    record = preset_for(model, tags=TAGS, normalization=Normalization(0.1, 0.5))
    save_pretrained(model, tmp_path / "normal", preset=record)
    found = evaluate(tmp_path / "normal", prepared, rules=FEW)

    class Normalized:
        def __call__(self, x: Any, training: bool) -> Any:
            return model((x - 0.1) / 0.5, training=training)

    assert found.scores == pytest.approx(by_hand(Normalized(), prepared), abs=1e-4)


def test_figures_are_those_of_the_scores(evaluation: Evaluation) -> None:
    truth, found = evaluation.truth, evaluation.scores
    figures = evaluation.figures
    assert [item.tag for item in figures.by_tag] == ["low", "high", "loud"]
    for metric, judge in (("roc_auc", metrics.roc_auc), ("pr_auc", metrics.average_precision)):
        wanted = judge(truth, found)[0]
        values = [getattr(item, metric).value for item in figures.by_tag]
        assert values == pytest.approx(wanted[:3])
        assert getattr(figures.groups[0], metric).value == pytest.approx(np.mean(values))
    assert [item.clips for item in figures.by_tag] == truth.sum(axis=0)[:3].tolist()


def test_tags_without_clips_are_named_and_in_no_mean(evaluation: Evaluation) -> None:
    assert evaluation.figures.left_out == {"never": "no clip has it"}
    assert evaluation.figures.groups[0].tags == ("low", "high", "loud")
    everywhere = measure(np.array([[True, True], [True, False]]), np.eye(2), ["sound", "horn"], FEW)
    assert everywhere.left_out == {"sound": "every clip has it"}


def test_tags_in_another_order_are_told_by_their_names(tmp_path: Path, prepared: Prepared) -> None:
    model = sets.preset(tmp_path / "a")
    order = [3, 0, 2, 1]
    other = tuple(TAGS[index] for index in order)
    sets.preset(tmp_path / "b", other, head=sets.permuted(model, order))
    first, second = (evaluate(tmp_path / name, prepared, rules=FEW) for name in "ab")
    assert second.scores == pytest.approx(first.scores, abs=1e-6)
    assert second.tags == TAGS


def test_what_cannot_be_evaluated_says_why(tmp_path: Path, preset: str, prepared: Prepared) -> None:
    sets.preset(tmp_path / "other", ("low", "high", "quiet", "piano"))
    with pytest.raises(
        EvaluationError, match="only the preset has 'piano', 'quiet'; only the set has 'loud', 'nev"
    ):
        evaluate(tmp_path / "other", prepared)
    with pytest.raises(EvaluationError, match="no clips in 'valid'; it has train 2, valid 0, test 14"):
        evaluate(preset, prepared, "valid")
    with pytest.raises(PreparedError, match="split is one of"):
        evaluate(preset, prepared, "tset")
    with pytest.raises(EvaluationError, match="model in memory, whose scores can't be kept"):
        model = load_pretrained(preset)
        del model.preset
        unsaved = preset_for(model, tags=TAGS)
        evaluate(Tagger(model, preset=unsaved), prepared, keep=tmp_path / "scores")
    with pytest.raises(EvaluationError, match="no tag can be scored: in 1 clips"):
        evaluate(preset, prepared, limit=1)


def test_rate_and_segment_must_fit(tmp_path: Path, preset: str) -> None:
    made = sets.prepared(tmp_path / "set")
    with pytest.raises(
        EvaluationError, match=f"hears {RATE} Hz, .* holds 200 Hz: prepare the set with --rate {RATE}"
    ):
        evaluate(preset, sets.describe(made, sample_rate=200))
    sets.describe(made, sample_rate=RATE)
    long = settle(SampleCNN((27, 3, 3, 3, 3, 3), widths=[4] * 5, num_tags=len(TAGS), sr=RATE))
    record = preset_for(long, tags=TAGS, segment_samples=3**8)
    with pytest.raises(EvaluationError, match=r"hears 6561 samples at a time, a clip of .* has 2910"):
        evaluate(Tagger(long, preset=record), made)


def test_single_label_sets_have_an_accuracy(tmp_path: Path) -> None:
    made = sets.prepared(tmp_path / "set", single_label=True)
    sets.preset(tmp_path / "preset", TAGS[:2], classifier_activation="softmax")
    found = evaluate(tmp_path / "preset", made, rules=FEW)
    right = found.scores.argmax(axis=1) == found.truth.argmax(axis=1)
    assert found.figures.accuracy is not None and found.figures.confusion is not None
    assert found.figures.accuracy.value == pytest.approx(right.mean())
    assert found.figures.confusion.sum(axis=1).tolist() == [7, 7]
    assert np.trace(found.figures.confusion) == right.sum()


def test_the_record_is_plain_json(evaluation: Evaluation) -> None:
    record = json.loads(evaluation.to_json())
    assert record["clips"] == CLIPS
    assert record["accuracy"] is None and record["confusion"] is None
    assert record["tags"] == list(TAGS)
    assert [item["tag"] for item in record["by_tag"]] == ["low", "high", "loud"]
    assert set(record["groups"][0]["roc_auc"]) == {"value", "low", "high"}
    assert record["left_out"] == {"never": "no clip has it"}
    assert len(record["weights_sha256"]) == 64
    assert "50 bootstrap draws of clips (seed 0)" in record["interval"]


def test_groups_of_tags_have_means_of_their_own(preset: str, prepared: Prepared) -> None:
    rules = Rules(tag_groups={"pitch": ["low", "high"], "some": ["loud", "never"]}, draws=50)
    groups = {group.name: group for group in evaluate(preset, prepared, rules=rules).figures.groups}
    assert list(groups) == ["all tags", "pitch", "some"]
    assert groups["some"].tags == ("loud",)
    for wrong, why in (
        ({"x": ["lwo"]}, "names unknown tags: lwo"),
        ({"x": ["never"]}, "none of its tags can be"),
    ):
        with pytest.raises(EvaluationError, match=why):
            evaluate(preset, prepared, rules=Rules(tag_groups=wrong, draws=5))


def test_groups_of_clips_are_drawn_together(preset: str, prepared: Prepared) -> None:
    rules = Rules(clip_groups=["a", "b"] * (CLIPS // 2), draws=50)
    assert (
        "50 bootstrap draws of 2 groups of clips" in evaluate(preset, prepared, rules=rules).figures.interval
    )
    assert evaluate(preset, prepared, rules=rules, limit=8).figures.clips == 8
    with pytest.raises(EvaluationError, match="every clip needs a group: 3 are given for 14 clips"):
        evaluate(preset, prepared, rules=Rules(clip_groups=["a", "b", "c"]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"scores": np.zeros((0, 2)), "truth": np.zeros((0, 2), bool)}, "there are no clips"),
        ({"scores": np.zeros((2, 3))}, "scores, labels and tags must fit"),
        ({"scores": np.array([[0.1, np.nan], [0.2, 0.3]])}, "scores must be finite"),
        ({"truth": np.ones((2, 2), bool), "rules": Rules(single_label=True)}, "single-label set has one tag"),
    ],
)
def test_scores_that_tell_nothing_are_refused(change: dict[str, Any], why: str) -> None:
    plain: dict[str, Any] = {"truth": np.eye(2, dtype=bool), "scores": np.eye(2), "tags": ["a", "b"]}
    with pytest.raises(EvaluationError, match=why):
        measure(**plain | change)


def test_where_few_clips_have_a_tag_nothing_is_sure() -> None:
    truth = np.arange(40)[:, None] < [4, 5, 36]
    figures = measure(truth, truth * 1.0, ["four", "five", "all but four"], FEW)
    spans = [(item.roc_auc.low, item.roc_auc.high) for item in figures.by_tag]
    assert spans == [(0, 1), (1, 1), (0, 1)]


class Killed(Exception):
    """What stops an evaluation in a test."""


def test_a_stopped_evaluation_goes_on(
    tmp_path: Path, preset: str, prepared: Prepared, evaluation: Evaluation
) -> None:
    keep = tmp_path / "new" / "scores"
    heard: list[int] = []

    def dies_after_nine(rows: Iterable[Any], total: int) -> Iterable[Any]:
        heard.append(total)
        for index, row in enumerate(rows):
            if index == 9:
                raise Killed
            yield row

    with pytest.raises(Killed):
        evaluate(preset, prepared, rules=FEW, keep=keep, progress=dies_after_nine)
    with open(keep, "ab") as file:
        file.write(b"half")  # of a row that was being written
    found = evaluate(preset, prepared, rules=FEW, keep=keep, progress=dies_after_nine)
    assert heard == [CLIPS, CLIPS - 9]
    assert np.array_equal(found.scores, evaluation.scores)
    assert found.to_json() == evaluation.to_json()
    assert evaluate(preset, prepared, rules=FEW, keep=keep, limit=8).figures.clips == 8


def test_kept_scores_of_something_else_are_not_taken(tmp_path: Path, preset: str, prepared: Prepared) -> None:
    keep = tmp_path / "scores"
    score_clips(Tagger(preset), prepared, keep=keep)
    sets.preset(tmp_path / "other", seed=1)
    other = score_clips(Tagger(tmp_path / "other"), prepared, keep=keep)
    assert np.array_equal(other, score_clips(Tagger(tmp_path / "other"), prepared))


@pytest.mark.parametrize("content", [b"", b"{", b'{"of": "other"}\n1234', b'{"of": "this"}\n12345678123'])
def test_a_damaged_score_file_is_mended(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores"
    path.write_bytes(content)
    with ScoreFile(path, {"of": "this"}, 2) as file:
        there = len(file)
        file.append(np.ones((1, 2), np.float32))
        assert file.read()[-1].tolist() == [1, 1]
    assert there == (1 if b"this" in content else 0)
    with ScoreFile(path, {"of": "this"}, 2) as file:
        assert len(file) == there + 1


def test_scores_go_into_a_preset_in_the_place_of_older_ones(evaluation: Evaluation, preset: str) -> None:
    elsewhere = Score("roc_auc", 0.9, dataset="msd", split="test, 5 clips")
    older = Score("roc_auc", 0.1, dataset="tones", split="test, 3 clips")
    record = with_scores(preset_info(preset), evaluation)
    assert [score.metric for score in record.scores] == ["roc_auc", "pr_auc"]
    assert record.scores[0].note == "macro over 3 tags: all tags"
    again = with_scores(replace(record, scores=(older, elsewhere)), evaluation)
    assert again.scores == (*record.scores, elsewhere)
    assert Preset.from_json(again.to_json()) == again


def test_the_python_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.prepared(tmp_path / "runs" / "shards")
    sets.preset(tmp_path / "runs" / "preset")
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/evaluation.md", "exec"), {})
    assert (tmp_path / "runs" / "report" / "report.md").is_file()


def test_evaluating_needs_no_framework(preset: str, prepared: Prepared) -> None:
    code = (
        "import sys; from samplecnn_zoo.datasets.prepared import Prepared; "
        "from samplecnn_zoo.training.evaluate import evaluate; "
        f"evaluate({preset!r}, Prepared.open({str(prepared.directory)!r})); "
        "print({'keras', 'tensorflow', 'jax', 'torch', 'sklearn', 'matplotlib'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")
