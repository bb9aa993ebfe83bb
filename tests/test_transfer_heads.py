"""Classifiers on features, the file they are kept in, and what listens with them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from samplecnn_zoo.audio import AudioError
from samplecnn_zoo.transfer import (
    KINDS,
    Classifier,
    Head,
    HeadTagger,
    Scale,
    TransferError,
    extract,
    read_head,
    save_head,
)
from samplecnn_zoo.zoo import save_pretrained
from tests.presets import edit, preset_for, save_tiny, tiny_model
from tests.sounds import noise, tone, write

TAGS = ("low", "high", "odd", "never")
Data = tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]


def classifier(kind: str, **options: Any) -> Classifier:
    """As it is, but for networks of a size for tests."""
    small: dict[str, Any] = {"hidden": 24, "learning_rate": 1e-2} if "mlp" in kind else {}
    small |= {"epochs": 20} if kind == "mlp4096" else {}
    return Classifier(kind=kind, **(small | options))


def classes(clips: int = 60, seed: int = 0) -> Data:
    """Three of four classes, told apart by three of eleven features that have scales of their own."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, 3, clips)
    x = rng.normal(size=(clips, 11))
    x[np.arange(clips), own] += 5
    return x * np.arange(1, 12) + 100, np.eye(4, dtype=bool)[own]


def several(clips: int = 60, seed: int = 0) -> Data:
    """Tags that hold together or alone, one that all clips have last."""
    x, truth = classes(clips, seed)
    own = truth.argmax(axis=1)
    return x, np.stack([own == 0, own != 1, np.zeros(clips, bool), np.ones(clips, bool)], axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_learns_classes(kind: str) -> None:
    x, truth = classes()
    head = classifier(kind).fit(x, truth, tags=TAGS, single_label=True)
    x, truth = classes(seed=1)
    scores = head.scores(x)
    assert scores.dtype == np.float32 and scores.shape == (60, 4)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (scores.argmax(axis=1) == truth.argmax(axis=1)).mean() > 0.9
    assert scores[:, 3].max() < 0.05  # no clip taught it


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_learns_tags(kind: str) -> None:
    x, truth = several()
    head = classifier(kind).fit(x, truth, tags=TAGS, single_label=False)
    x, truth = several(seed=1)
    scores = head.scores(x)
    assert ((scores > 0.5) == truth).mean(axis=0).min() > 0.9
    assert scores.min() >= 0 and scores.max() <= 1 and not np.allclose(scores.sum(axis=1), 1)


@pytest.mark.parametrize("kind", ["logreg", "svm", "mlp"])
def test_two_classes_and_one_tag(kind: str) -> None:
    x, truth = several()
    two = np.stack([truth[:, 0], ~truth[:, 0]], axis=1)
    scores = classifier(kind).fit(x, two, tags=("a", "b"), single_label=True).scores(x)
    assert (scores.argmax(axis=1) == two.argmax(axis=1)).mean() > 0.9
    scores = classifier(kind).fit(x, two[:, :1], tags=("a",), single_label=False).scores(x)
    assert ((scores > 0.5) == two[:, :1]).mean() > 0.9


def test_scores_are_those_of_scikit_learn() -> None:
    x, truth = classes()
    truth = truth[:, :3]
    z, own = (x - x.mean(axis=0)) / x.std(axis=0), truth.argmax(axis=1)
    facts: dict[str, Any] = {"tags": TAGS[:3], "single_label": True}
    theirs = LogisticRegression(C=0.3, class_weight="balanced", max_iter=5000).fit(z, own)
    ours = classifier("logreg", cost=0.3).fit(x, truth, **facts)
    np.testing.assert_allclose(ours.scores(x), theirs.predict_proba(z), atol=1e-5)
    network = MLPClassifier((24,), alpha=0.01, max_iter=400, random_state=4).fit(z, own)
    ours = classifier("mlp", seed=4, balanced=False).fit(x, truth, **facts)
    np.testing.assert_allclose(ours.scores(x), network.predict_proba(z), atol=1e-5)
    margin = SVC(C=3, gamma=1 / (11 * z.var()), class_weight="balanced").fit(z, truth[:, 1])
    ours = classifier("svm", cost=3).fit(x, truth, tags=TAGS[:3], single_label=False)
    wanted = 1 / (1 + np.exp(-margin.decision_function(z)))
    np.testing.assert_allclose(ours.scores(x)[:, 1], wanted, atol=1e-5)


@pytest.mark.parametrize("single_label", [True, False])
def test_scores_of_the_papers_classifier_are_those_of_keras(single_label: bool) -> None:
    from samplecnn_zoo.transfer import dense

    x, truth = classes() if single_label else several()
    head = classifier("mlp4096", epochs=2).fit(x, truth, tags=TAGS, single_label=single_label)
    model = dense.build(11, 4, 24, single_label)
    for name, arrays in zip(("dense_1", "dense_2", "tags"), head.layers, strict=True):
        model.get_layer(name).set_weights(arrays)
    z = ((x - head.mean) / head.std).astype(np.float32)
    theirs = np.asarray(keras.ops.convert_to_numpy(model(z, training=False))).reshape(60, 4)
    np.testing.assert_allclose(head.scores(x), theirs, atol=1e-5)
    assert Classifier(kind="mlp4096").hidden is None  # the paper's width stands until it is asked for
    assert [weights.shape for weights, _ in head.layers] == [(11, 24), (24, 24), (24, 4)]


def test_the_validation_part_ends_the_papers_classifier_and_teaches_the_others() -> None:
    x, truth = classes()
    facts: dict[str, Any] = {"tags": TAGS, "single_label": True}
    noise_part = np.random.default_rng(0).permutation(truth)  # labels by chance: the loss on them only climbs
    options: dict[str, Any] = {"epochs": 15, "patience": 1}
    early = classifier("mlp4096", **options).fit(x, truth, valid=(x, noise_part), **facts)
    late = classifier("mlp4096", **options).fit(x, truth, **facts)
    right = truth.argmax(axis=1)[:, None]

    def surety(head: Head) -> float:
        return float(np.take_along_axis(head.scores(x), right, 1).mean())

    assert surety(early) < surety(late) - 0.1
    only = truth[:, 0]  # a valid part may hold one class
    classifier("mlp4096", epochs=1).fit(x, truth, valid=(x[only], truth[only]), **facts)
    both = classifier("logreg").fit(x[:30], truth[:30], valid=(x[30:], truth[30:]), **facts)
    np.testing.assert_array_equal(both.scores(x), classifier("logreg").fit(x, truth, **facts).scores(x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_head(kind: str) -> None:
    x, truth = classes()
    facts: dict[str, Any] = {"tags": TAGS, "single_label": True}
    one, same, other = (classifier(kind, epochs=2, seed=s).fit(x, truth, **facts) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.scores(x), same.scores(x))
    if "mlp" in kind:
        assert not np.array_equal(one.scores(x), other.scores(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("single_label", [True, False])
def test_balanced_heads_find_the_rare(kind: str, single_label: bool) -> None:
    rng = np.random.default_rng(0)
    rare = np.arange(200) < 12
    x = rng.normal(size=(200, 4)) + 1.5 * rare[:, None]
    truth = np.stack([rare, ~rare], axis=1)
    options: dict[str, Any] = {"epochs": 20} if kind == "mlp" else {}
    if kind == "mlp4096":
        options = {"epochs": 5, "learning_rate": 1e-3}
    if kind == "svm":
        options["cost"] = 0.05  # softer than by default, which learns the few by heart
    found = []
    for balanced in (True, False):
        head = classifier(kind, balanced=balanced, **options)
        scores = head.fit(x, truth, tags=("a", "b"), single_label=single_label).scores(x)
        found.append(scores[rare, 0].mean())
    assert found[0] > found[1] + 0.05


def test_a_feature_that_never_varies_says_nothing() -> None:
    x, truth = classes()
    constant = np.full((60, 1), np.float32(0.1), np.float64)
    head = Classifier().fit(np.hstack([x, constant]), truth, tags=TAGS, single_label=True)
    one, other = (head.scores(np.hstack([x, constant + shift])) for shift in (0, 1e-6))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_cannot_be_learned_is_refused() -> None:
    x, truth = classes()
    facts: dict[str, Any] = {"tags": TAGS, "single_label": True}
    with pytest.raises(TransferError, match="a head is one of mlp4096, logreg, svm, mlp, got 'tree'"):
        Classifier(kind="tree")
    with pytest.raises(TransferError, match="cost must be more than 0, got -1"):
        Classifier(cost=-1)
    with pytest.raises(TransferError, match=r"labels \(clips, 4\), got \(60, 11\) and \(60, 3\)"):
        Classifier().fit(x, truth[:, :3], **facts)
    with pytest.raises(TransferError, match="features must be finite"):
        Classifier().fit(np.where(x > 110, np.nan, x), truth, **facts)
    with pytest.raises(TransferError, match="has one tag; some have none or several"):
        Classifier().fit(x, np.ones((60, 4)), **facts)
    with pytest.raises(TransferError, match="clips of two classes or of a tag are needed"):
        Classifier().fit(x, np.eye(4)[np.zeros(60, int)], **facts)
    head = Classifier().fit(x, truth, **facts)
    with pytest.raises(TransferError, match=r"the head wants \(clips, 11\) features, got \(60, 3\)"):
        head.scores(x[:, :3])


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presets") / "tiny"
    save_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("music")
    sounds = [tone(0.6, 8000), tone(0.6, 8000, hz=1500), noise(0.6, 8000)]
    return [write(folder / f"{i}.wav", sound, 8000) for i, sound in enumerate(sounds)]


def make_head(kind: str, folder: Path, scales: list[Scale], clips: list[Path], **options: Any) -> Head:
    values = extract(scales, clips).values
    head = classifier(kind).fit(values, np.eye(4)[[0, 1, 2]], tags=TAGS, single_label=True)
    save_head(folder, head, scales, **options)
    return head


def test_heads_give_the_same_bits_in_a_fresh_process(preset: Path, clips: list[Path], tmp_path: Path) -> None:
    scales = [Scale.of(preset)]
    heads = {kind: make_head(kind, tmp_path / kind, scales, clips) for kind in KINDS}
    values = extract(scales, clips).values
    np.save(tmp_path / "values.npy", values)
    script = (
        "import sys; from pathlib import Path; import numpy as np; from samplecnn_zoo.transfer import *\n"
        "folder, clip = Path(sys.argv[1]), sys.argv[2]\n"
        "values = np.load(folder / 'values.npy')\n"
        "for kind in KINDS:\n"
        "    np.save(folder / f'{kind}.npy', read_head(folder / kind).head.scores(values))\n"
        "tags = HeadTagger(folder / 'svm').tag_file(clip).tags\n"
        "np.save(folder / 'tags.npy', [tag.score for tag in tags])\n"
        "print(*{'keras', 'tensorflow', 'sklearn'} & {*sys.modules})\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(clips[0])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "\n"  # and needs neither library
    for kind, head in heads.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{kind}.npy"), head.scores(values))
    here = HeadTagger(tmp_path / "svm").tag_file(clips[0]).tags
    np.testing.assert_array_equal(np.load(tmp_path / "tags.npy"), [tag.score for tag in here])


def test_a_head_listens_like_a_tagger(preset: Path, clips: list[Path], tmp_path: Path) -> None:
    make_head("logreg", tmp_path / "h", [Scale.of(preset)], clips)
    tagger = HeadTagger(tmp_path / "h")
    found = tagger.tag(clips, top=1)
    assert [clip.tags[0].tag for clip in found] == ["low", "high", "odd"]
    assert found[0].duration_s == pytest.approx(0.6) and tagger.tags == TAGS
    told: list[AudioError] = []
    assert tagger.tag([clips[0], clips[0].with_name("none.wav")], on_error=told.append)
    assert len(told) == 1
    with pytest.raises(ValueError, match="top must be at least 1"):
        tagger.tag_file(clips[0], top=0)
    keras_scores = [tag.score for tag in HeadTagger(tmp_path / "h", engine="keras").tag_file(clips[0]).tags]
    np.testing.assert_allclose([tag.score for tag in tagger.tag_file(clips[0]).tags], keras_scores, atol=1e-4)


def test_a_taggram_has_a_row_for_each_of_the_longest_segments(
    preset: Path, clips: list[Path], tmp_path: Path
) -> None:
    keras.utils.set_random_seed(5)
    long = tiny_model(seed=5, sr=4000)
    save_pretrained(long, tmp_path / "long", preset=preset_for(long, name="tiny.long"))
    scales = [Scale.of(preset, statistics=("mean", "std")), Scale.of(tmp_path / "long", levels=("stage2",))]
    head = make_head("logreg", tmp_path / "h", scales, clips)
    found = HeadTagger(tmp_path / "h").taggram(clips[2])
    short, slow = scales[0].segments(clips[2]), scales[1].segments(clips[2])
    assert found.start_s.tolist() == slow.start_s.tolist() and found.segment_s == 729 / 4000
    middles = short.start_s + 729 / 8000 / 2
    inside = (middles >= found.start_s[1]) & (middles < found.start_s[1] + found.segment_s)
    assert inside.sum() == 2
    row = np.concatenate([scales[0].gather(short.values[inside]), scales[1].gather(slow.values[1:2])])
    np.testing.assert_allclose(found.scores[1], head.scores(row[np.newaxis])[0], atol=1e-6)


def test_a_changed_preset_is_refused(clips: list[Path], tmp_path: Path) -> None:
    save_tiny(tmp_path / "p")
    make_head("logreg", tmp_path / "h", [Scale.of(tmp_path / "p")], clips)
    edit(tmp_path / "p" / "preset.json", lambda value: value.update(description="other words, same network"))
    HeadTagger(tmp_path / "h")
    edit(tmp_path / "p" / "preset.json", lambda value: value.update(normalization={"mean": 0.1, "std": 1.0}))
    with pytest.raises(TransferError, match=r"normalization None, the preset has changed to"):
        HeadTagger(tmp_path / "h")
    changed = tiny_model(seed=3)
    save_pretrained(changed, tmp_path / "p", preset=preset_for(changed), overwrite=True)
    with pytest.raises(TransferError, match=r"with weights_sha256 .*…, the preset has changed to .*…; bring"):
        HeadTagger(tmp_path / "h")
    (tmp_path / "p").rename(tmp_path / "gone")
    with pytest.raises(TransferError, match=r"trained on tiny\.random, which is not there"):
        HeadTagger(tmp_path / "h")


def test_a_head_and_its_preset_move_together(clips: list[Path], tmp_path: Path) -> None:
    save_tiny(tmp_path / "one" / "p")
    make_head("logreg", tmp_path / "one" / "h", [Scale.of(tmp_path / "one" / "p")], clips)
    (tmp_path / "one").rename(tmp_path / "two")
    assert HeadTagger(tmp_path / "two" / "h").tag_file(clips[0], top=1).tags[0].tag == "low"


def test_damaged_and_foreign_heads_are_refused(preset: Path, clips: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "h"
    make_head("logreg", folder, [Scale.of(preset)], clips, about={"data": "three clips"})
    assert read_head(folder).about == {"data": "three clips"}
    with pytest.raises(TransferError, match="a head is there; pass overwrite=True"):
        make_head("svm", folder, [Scale.of(preset)], clips)
    make_head("svm", folder, [Scale.of(preset)], clips, overwrite=True)
    assert read_head(folder).head.kind == "svm"
    content = bytearray((folder / "classifier.npz").read_bytes())
    content[-40] ^= 1
    (folder / "classifier.npz").write_bytes(content)
    with pytest.raises(TransferError, match=r"its sha256 is .* it is damaged or of another head"):
        read_head(folder)
    (folder / "classifier.npz").unlink()
    with pytest.raises(TransferError, match="it is no whole head"):
        read_head(folder)
    (folder / "head.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(TransferError, match="format 2 is newer"):
        read_head(folder)
    (folder / "head.json").write_text("[]")
    with pytest.raises(TransferError, match=r"head\.json is no head's"):
        read_head(folder)
    with pytest.raises(TransferError, match="it is no whole head"):
        read_head(tmp_path)


def test_arrays_that_do_not_fit_make_no_head() -> None:
    x, truth = classes()
    head = Classifier().fit(x, truth, tags=TAGS, single_label=True)
    facts: dict[str, Any] = {"kind": "logreg", "tags": TAGS, "single_label": True}
    arrays = head.arrays()
    with pytest.raises(TransferError, match="make no head for 4 tags"):
        Head.from_arrays({**arrays, "biases_0": arrays["biases_0"][:3]}, **facts)
    with pytest.raises(TransferError, match="numbers must be finite"):
        Head.from_arrays({**arrays, "biases_0": arrays["biases_0"] * np.nan}, **facts)
    with pytest.raises(TransferError, match="the classifier lacks 'mean'"):
        Head.from_arrays({name: array for name, array in arrays.items() if name != "mean"}, **facts)
