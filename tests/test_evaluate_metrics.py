"""Figures against scikit-learn and slow direct computation; intervals against what is known of them."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, confusion_matrix, roc_auc_score

from samplecnn_zoo.training import metrics
from samplecnn_zoo.training.metrics import Counts, Estimate, Truth

CLIPS, TAGS, DRAWS = 157, 5, 11


@pytest.fixture(scope="module")
def truth() -> Truth:
    shares = [0.5, 0.2, 0.9, 0.03, 0.3]
    labels = np.random.default_rng(0).random((CLIPS, TAGS)) < shares
    labels[0], labels[1] = True, False  # every tag has both kinds
    return labels


@pytest.fixture(scope="module")
def scores(truth: Truth) -> np.ndarray:
    """Better than chance, float32, and rounded so that many are equal."""
    noise = np.random.default_rng(1).normal(size=truth.shape)
    return np.round(truth + 1.5 * noise, 1).astype(np.float32)


@pytest.fixture(scope="module")
def counts() -> Counts:
    rng = np.random.default_rng(2)
    drawn = [np.bincount(rng.integers(0, CLIPS, CLIPS), minlength=CLIPS) for _ in range(DRAWS)]
    return np.stack(drawn).astype(np.int32)


def repeated(rows: np.ndarray, counts: Counts) -> np.ndarray:
    return np.repeat(rows, counts, axis=0)


PAIRS = [(metrics.roc_auc, roc_auc_score), (metrics.average_precision, average_precision_score)]


@pytest.mark.parametrize(("metric", "judge"), PAIRS)
def test_figures_are_scikit_learns(
    metric: metrics.Metric, judge: object, truth: Truth, scores: np.ndarray
) -> None:
    assert callable(judge)
    assert metric(truth, scores, None)[0] == pytest.approx(judge(truth, scores, average=None), abs=1e-12)


@pytest.mark.parametrize(("metric", "judge"), PAIRS)
def test_a_draw_is_as_good_as_repeated_clips(
    metric: metrics.Metric, judge: object, truth: Truth, scores: np.ndarray, counts: Counts
) -> None:
    assert callable(judge)
    found = metric(truth, scores, counts)
    assert found.shape == (DRAWS, TAGS)
    for row, draw in zip(found, counts, strict=True):
        drawn = repeated(truth, draw)
        for tag in np.flatnonzero(metrics.scorable(drawn)):
            wanted = judge(drawn[:, tag], repeated(scores, draw)[:, tag])
            assert row[tag] == pytest.approx(wanted, abs=1e-12)


def test_roc_auc_is_the_share_of_pairs_in_order(truth: Truth, scores: np.ndarray) -> None:
    for tag in range(TAGS):
        has, lacks = scores[truth[:, tag], tag], scores[~truth[:, tag], tag]
        pairs = [1.0 if high > low else 0.5 if high == low else 0.0 for high in has for low in lacks]
        assert metrics.roc_auc(truth, scores)[0, tag] == pytest.approx(np.mean(pairs), abs=1e-12)


@pytest.mark.parametrize("metric", [metrics.roc_auc, metrics.average_precision])
def test_without_both_kinds_there_is_no_figure(metric: metrics.Metric) -> None:
    truth = np.array([[False, True, True], [False, True, False], [False, True, True]])
    found = metric(truth, np.random.default_rng(0).random((3, 3)), None)
    assert np.isnan(found[0, :2]).all() and np.isfinite(found[0, 2])
    one_kind = np.array([[2, 0, 1]], np.int32)  # a draw may leave no clip without the third tag
    assert np.isnan(metric(truth, np.random.default_rng(0).random((3, 3)), one_kind)[0]).all()


def test_the_curve_encloses_the_area(truth: Truth, scores: np.ndarray) -> None:
    for tag in range(TAGS):
        false, true = metrics.roc_curve(truth[:, tag], scores[:, tag])
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
        area = np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)
        assert area == pytest.approx(metrics.roc_auc(truth, scores)[0, tag], abs=1e-12)


def test_accuracy_and_confusion_are_scikit_learns(counts: Counts) -> None:
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, TAGS, CLIPS), rng.random((CLIPS, TAGS))
    truth = np.eye(TAGS, dtype=bool)[labels]
    heard = scores.argmax(axis=1)
    assert metrics.accuracy(truth, scores)[0, 0] == accuracy_score(labels, heard)
    assert (metrics.confusion(truth, scores) == confusion_matrix(labels, heard)).all()
    for found, draw in zip(metrics.accuracy(truth, scores, counts)[:, 0], counts, strict=True):
        assert found == pytest.approx(accuracy_score(repeated(labels, draw), repeated(heard, draw)))


def test_the_mean_passes_over_tags_without_a_figure() -> None:
    values = np.array([[0.5, np.nan, 0.9], [np.nan, np.nan, np.nan]])
    assert metrics.macro(values) == pytest.approx([0.7, np.nan], nan_ok=True)


def test_the_spread_of_an_accuracy_is_that_of_a_share() -> None:
    clips, share = 400, 0.3
    truth = np.eye(2, dtype=bool)[np.zeros(clips, int)]
    scores = np.where(np.arange(clips)[:, None] < share * clips, [[0.9, 0.1]], [[0.1, 0.9]])
    found = metrics.estimate(metrics.bootstrap(metrics.accuracy, truth, scores, draws=4000)[:, 0])
    reach = metrics.REACH * np.sqrt(share * (1 - share) / clips)
    assert found.value == share
    assert (found.low, found.high) == pytest.approx((share - reach, share + reach), rel=0.05)


def test_clips_that_are_drawn_together_tell_less(truth: Truth, scores: np.ndarray) -> None:
    """Every clip four times: alone they would look like four times the evidence, in groups they don't."""

    def reach(copies: int, groups: np.ndarray | None) -> float:
        values = metrics.bootstrap(
            metrics.roc_auc,
            np.tile(truth, (copies, 1)),
            np.tile(scores, (copies, 1)),
            groups=groups,
            draws=800,
        )
        found = metrics.estimate(metrics.macro(values))
        return found.high - found.low

    once, together = reach(1, None), reach(4, np.tile(np.arange(CLIPS), 4))
    assert together == pytest.approx(once, rel=1e-6)
    assert reach(4, None) == pytest.approx(once / 2, rel=0.15)


def test_draws_depend_on_the_seed_alone(
    truth: Truth, scores: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = metrics.bootstrap(metrics.roc_auc, truth, scores, draws=20, seed=1)
    assert (plain[0] == metrics.roc_auc(truth, scores)[0]).all()
    assert not np.array_equal(plain, metrics.bootstrap(metrics.roc_auc, truth, scores, draws=20, seed=2))
    monkeypatch.setattr(metrics, "_CELLS", 3 * CLIPS)  # a few draws at a time
    blocks = metrics.bootstrap(metrics.roc_auc, truth, scores, draws=20, seed=1)
    assert np.array_equal(plain, blocks, equal_nan=True)


def test_an_interval_stays_within_0_and_1_and_knows_nothing_from_nothing() -> None:
    assert metrics.estimate(np.array([0.99, 0.9, 1.0, 0.95])).high == 1.0
    assert metrics.estimate(np.array([0.7])) == Estimate(0.7, 0.0, 1.0)
    assert metrics.estimate(np.array([0.7, np.nan, np.nan])) == Estimate(0.7, 0.0, 1.0)
    assert str(Estimate(0.12345, 0.1, 0.2)) == "0.123 (0.100 to 0.200)"
