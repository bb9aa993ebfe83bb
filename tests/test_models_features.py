"""Stages and levels of models, and models cut at them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from samplecnn_zoo.models import FrameLevelMel, SampleCNN, feature_model, level_stages, stage_outputs

SMALL: dict[str, Any] = {"m": (4, 3, 2, 5), "num_tags": 7, "widths": (3, 5, 6, 8)}


def segments(samples: int, count: int = 3) -> Any:
    return np.random.default_rng(0).uniform(-1, 1, (count, samples, 1)).astype("float32")


def test_levels_count_down_from_the_top() -> None:
    assert level_stages(SampleCNN(**SMALL)) == {
        -1: "top",
        -2: "stage4",
        -3: "stage3",
        -4: "stage2",
        -5: "stage1",
    }


def test_without_a_1x1_convolution_level_1_is_the_last_module() -> None:
    model = SampleCNN(**SMALL, block="se")
    assert level_stages(model) == {-1: "stage4", -2: "stage3", -3: "stage2", -4: "stage1"}
    assert stage_outputs(model)["stage4"].shape == (None, 1, 8)


def test_the_top_of_won_se_is_its_block_of_size_1() -> None:
    model = SampleCNN(**SMALL, block="rese_won", input_padding=1)
    assert level_stages(model)[-1] == "top"
    assert model.get_layer("top_conv1").kernel.shape == (1, 8, 8)


def test_feature_models_give_levels_in_the_order_asked() -> None:
    model = SampleCNN(**SMALL)
    features = feature_model(model, (-2, "stage2", -1), include_scores=True)
    x = segments(120)
    second, low, first, scores = features.predict(x, verbose=0)
    assert [level.shape for level in (second, low, first)] == [(3, 1, 8), (3, 10, 5), (3, 1, 8)]
    np.testing.assert_array_equal(scores, model.predict(x, verbose=0))
    dense = model.get_layer("tags")
    kernel, bias = dense.get_weights()
    logits = first.max(axis=1) @ kernel + bias
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), scores, atol=1e-6)


def test_features_share_the_weights() -> None:
    model = SampleCNN(**SMALL)
    features = feature_model(model)
    model.get_layer("top_bn").set_weights([np.zeros(8), np.full(8, 2.0), np.zeros(8), np.ones(8)])
    np.testing.assert_array_equal(features.predict(segments(120), verbose=0)[0], np.full((3, 1, 8), 2.0))


def test_a_reloaded_model_has_the_same_features(tmp_path: Path) -> None:
    for model in (SampleCNN(**SMALL, block="rese2", multi_level=True), FrameLevelMel(9, 3, 2, widths=(5, 6))):
        model.save(tmp_path / "net.keras")
        reloaded = keras.saving.load_model(tmp_path / "net.keras")
        x = segments(model.input_shape[1])
        assert list(stage_outputs(reloaded)) == list(stage_outputs(model))
        for before, after in zip(
            feature_model(model).predict(x, verbose=0),
            feature_model(reloaded).predict(x, verbose=0),
            strict=True,
        ):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (
            (-6,),
            "no level or stage -6 in samplecnn_4-3-2-5: it has levels -5 to −1 and stages stage1, stage2",
        ),
        ((0,), "no level or stage 0"),
        (("stage5",), "no level or stage 'stage5'"),
        ((), "levels is empty"),
    ],
)
def test_unknown_levels_are_refused(levels: tuple[int | str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feature_model(SampleCNN(**SMALL), levels)


def test_a_foreign_model_is_refused() -> None:
    foreign = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no layer is named after a stage"):
        feature_model(foreign)


def test_a_flexible_model_takes_the_strongest_moment_of_longer_inputs() -> None:
    fixed, flexible = SampleCNN(**SMALL), SampleCNN(**SMALL, flexible=True)
    flexible.set_weights(fixed.get_weights())
    x = segments(120)
    np.testing.assert_array_equal(flexible.predict(x, verbose=0), fixed.predict(x, verbose=0))
    longer = np.concatenate([x, x, x[:, :50]], axis=1)  # 290 samples: two segments and a rest
    top = feature_model(flexible, (-1,)).predict(longer, verbose=0)
    assert top.shape == (3, 2, 8)
    logits = top.max(axis=1) @ fixed.get_layer("tags").get_weights()[0]  # biases start at 0
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), flexible.predict(longer, verbose=0), atol=1e-6)
