"""Every published network: trainable parameters, input lengths, and the shapes of all stages."""

from math import prod
from typing import Any

import keras
import pytest

from samplecnn_zoo.models import (
    FRAME_LEVEL_MEL_PLANS,
    FRAME_LEVEL_RAW_PLANS,
    MULTI_SCALE_PLANS,
    SAMPLING_RATE_PLANS,
    SUCCESSORS,
    FrameLevelMel,
    FrameLevelRaw,
    SampleCNN,
    feature_model,
    stage_outputs,
)

# Parameters of the papers and of the authors' code, BatchNorm's gamma and beta included.
RATES = dict(
    zip(
        SAMPLING_RATE_PLANS,
        (1_805_106, 1_936_178, 2_067_250, 2_132_786, 2_198_322, 2_329_394, 2_460_466),
        strict=True,
    )
)
SCALES = {
    "paper": (2_266_802, 2_398_642, 2_263_090, 2_460_466, 2_392_754, 2_655_666, 2_588_722, 2_917_170),
    "released": (1_872_818, 2_004_658, 1_672_498, 1_869_874, 1_605_554, 1_868_466, 1_604_914, 1_933_362),
}
RAW = (1_862_194, 2_059_570, 1_997_362, 2_194_738, 2_174_002, 2_364_466, 2_411_698, 2_460_466)
MEL = (1_768_498, 1_965_874, 1_965_874, 2_163_250, 2_163_250)
SUCCESSOR_PARAMETERS = {
    "kim_basic": 1_869_874,
    "kim_basic_multi": 2_683_442,
    "kim_se": 23_929_138,
    "kim_se_multi": 24_742_706,
    "kim_res1": 2_036_018,
    "kim_res1_multi": 2_849_586,
    "kim_res2": 4_107_314,
    "kim_res2_multi": 4_920_882,
    "kim_rese1": 24_095_282,
    "kim_rese1_multi": 24_908_850,
    "kim_rese2": 26_166_578,
    "kim_rese2_multi": 26_980_146,
    "won_sample": 1_869_874,
    "won_se": 6_951_858,
}
TABLE_1 = {
    "stage1": (19683, 128),
    "stage2": (6561, 128),
    "stage3": (2187, 128),
    "stage4": (729, 256),
    "stage5": (243, 256),
    "stage6": (81, 256),
    "stage7": (27, 256),
    "stage8": (9, 256),
    "stage9": (3, 512),
    "stage10": (1, 512),
    "top": (1, 512),
}


def trainable(model: keras.Model) -> int:
    return sum(prod(weight.shape) for weight in model.trainable_weights)


def shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {stage: output.shape[1:] for stage, output in stage_outputs(model).items()}


def test_3_to_the_9_is_table_1() -> None:
    model = SampleCNN(3, 9)
    assert model.input_shape == (None, 59049, 1)
    assert model.output_shape == (None, 50)
    assert shapes(model) == TABLE_1
    assert model.get_layer("stage9_relu").output.shape == (None, 9, 512)  # before its pool
    weights_and_biases = [
        prod(layer.kernel.shape) + prod(layer.bias.shape)
        for layer in model.layers
        if hasattr(layer, "kernel")
    ]
    assert weights_and_biases == [
        *(512, 49_280, 49_280, 98_560, 196_864, 196_864, 196_864, 196_864, 393_728, 786_944),
        *(262_656, 25_650),
    ]


@pytest.mark.parametrize("rate", SAMPLING_RATE_PLANS)
def test_sampling_rates(rate: int) -> None:
    model = SampleCNN(SAMPLING_RATE_PLANS[rate], sr=rate)
    assert trainable(model) == RATES[rate]
    assert model.input_shape == (None, prod(SAMPLING_RATE_PLANS[rate]), 1)
    assert shapes(model)["stage10"] == (1, 512)


@pytest.mark.parametrize("widths", ["paper", "released"])
@pytest.mark.parametrize("scale", range(8))
def test_multi_scale(scale: int, widths: str) -> None:
    m, n = MULTI_SCALE_PLANS[scale]
    model = SampleCNN(m, n, widths=widths)
    assert trainable(model) == SCALES[widths][scale]
    assert model.input_shape == (None, m ** (n + 1), 1)
    assert shapes(model)[f"stage{n + 1}"] == (1, 512)


@pytest.mark.parametrize("row", range(8))
def test_frame_level_raw(row: int) -> None:
    window, hop, n = FRAME_LEVEL_RAW_PLANS[row]
    model = FrameLevelRaw(window, hop, n)
    assert trainable(model) == RAW[row]
    assert model.input_shape == (None, 59049, 1)
    assert shapes(model)["stage1"] == (59049 // hop, 128)
    assert list(shapes(model).values())[1:] == list(TABLE_1.values())[10 - n :]


@pytest.mark.parametrize("row", range(5))
def test_frame_level_mel(row: int) -> None:
    window, hop, n = FRAME_LEVEL_MEL_PLANS[row]
    model = FrameLevelMel(window, hop, n)
    assert trainable(model) == MEL[row]
    assert model.input_shape == (None, 59049, 1)
    assert shapes(model)["stage1"] == (59049 // hop, 128)
    assert list(shapes(model).values())[1:] == list(TABLE_1.values())[10 - n :]


@pytest.mark.parametrize("successor", SUCCESSORS)
def test_successors(successor: str) -> None:
    model = SampleCNN(**SUCCESSORS[successor])
    assert trainable(model) == SUCCESSOR_PARAMETERS[successor]
    assert model.input_shape == (None, 59049, 1)
    released = TABLE_1 | {"stage9": (3, 256)}
    if successor.startswith("kim"):
        del released["top"]  # no 1x1 convolution
    assert shapes(model) == released


def test_every_successor_is_counted() -> None:
    assert set(SUCCESSORS) == set(SUCCESSOR_PARAMETERS)


def names(**keywords: Any) -> list[str]:
    """Names of the layers of a small model but its input."""
    return [layer.name for layer in SampleCNN((4, 3, 2), num_tags=5, **keywords).layers][1:]


def test_layers_of_the_paper() -> None:
    assert names(widths=(6, 7)) == [
        *("stage1_conv", "stage1_bn", "stage1_relu"),
        *("stage2_conv", "stage2_bn", "stage2_relu", "stage2_pool"),
        *("stage3_conv", "stage3_bn", "stage3_relu", "stage3_pool"),
        *("top_conv", "top_bn", "top_relu", "head_pool1", "head_dropout", "tags"),
    ]


def test_layers_of_a_residual_stage() -> None:
    of_stage_2 = {name for name in names(widths=(6, 6, 7), block="rese2") if name.startswith("stage2")}
    assert of_stage_2 == {
        *("stage2_conv1", "stage2_bn1", "stage2_relu1", "stage2_dropout", "stage2_conv2", "stage2_bn2"),
        *("stage2_se_squeeze", "stage2_se_hidden", "stage2_se_gate", "stage2_se_scale"),
        *("stage2_add", "stage2_relu", "stage2_pool"),
    }
    assert "stage3_shortcut_conv" in names(widths=(6, 6, 7), block="res1")


def test_explicit_zeros_only_where_the_stock_padding_differs() -> None:
    assert [name for name in names(widths=(6, 7), alignment="theano") if "pad" in name] == ["stage3_pad"]
    assert [name for name in names(widths=(6, 7), input_padding=1) if "pad" in name] == ["stage1_pad"]


def test_heads() -> None:
    assert "top_conv" in names(widths=(6, 7), multi_level=True, head="conv1x1+dense")
    assert "head_dense" in names(widths=(6, 7), head="dense")
    assert "head_dense" not in names(widths=(6, 7))
    assert not [name for name in names(widths=(6, 7), head="dense") if name.startswith("top")]
    assert "head_dropout" not in names(widths=(6, 7), dropout=0)


def test_multi_level_feeds_the_head_with_three_stages() -> None:
    model = SampleCNN(2, 3, widths=(5, 6, 7), block="se", multi_level=True, include_top=False)
    assert model.output_shape == (None, 5 + 6 + 7)
    with pytest.raises(ValueError, match="three stages above the first; 2x2 has 2: add modules or leave"):
        SampleCNN(2, 2, widths=(5, 6), block="se", multi_level=True)


def test_without_top_the_output_is_what_the_tags_are_fed() -> None:
    model = SampleCNN(2, 2, widths=(5, 6), include_top=False)
    assert model.output_shape == (None, 6)
    assert model.layers[-1].name == "head_pool1"


def test_the_tags_layer() -> None:
    tags = SampleCNN(2, 2, 8000, 7, widths=(5, 6), classifier_activation="softmax").get_layer("tags")
    assert tags.units == 7
    assert tags.activation is keras.activations.softmax
    logits = SampleCNN(2, 2, widths=(5, 6), classifier_activation=None).get_layer("tags")
    assert logits.activation is keras.activations.linear


def test_default_names_tell_block_and_plan() -> None:
    assert SampleCNN((4, 3, 2), widths=(5, 6)).name == "samplecnn_4-3-2"
    assert SampleCNN(2, 3, widths=(5, 6, 7), block="se", multi_level=True).name == "samplecnn_se_multi_2x3"
    assert FrameLevelRaw(9, 3, 2, widths=(5, 6)).name == "framelevel_raw_9-3-2"
    assert SampleCNN(2, 2, widths=(5, 6), name="mine").name == "mine"


def test_batchnorm_epsilon_reaches_every_layer() -> None:
    model = SampleCNN(2, 2, widths=(5, 6), block="res2", head="conv1x1+dense", bn_epsilon=3e-4)
    epsilons = [layer.epsilon for layer in model.layers if hasattr(layer, "epsilon")]
    assert len(epsilons) == 1 + 3 + 3 + 1 + 1  # stages 1 to 3, the 1x1 and the hidden layer
    assert set(epsilons) == {3e-4}


def test_unknown_keywords_of_frame_level_nets_are_type_errors() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'alignment'"):
        FrameLevelRaw(9, 3, 2, widths=(5, 6), alignment="theano")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"window": 2187}, "window must be at most the FFT size, 729; got 2187: take 729, 243 or 81"),
        ({"std": 0.0}, "mean and std must be finite and std more than 0; got mean 0.0 and std 0.0"),
        ({"mean": float("nan")}, "mean and std must be finite"),
        ({"sr": 0}, "sr must be a whole number of 1 or more; got 0"),
    ],
)
def test_the_mel_front_end_refuses(keywords: dict[str, Any], message: str) -> None:
    small: dict[str, Any] = {"window": 9, "hop": 3, "n": 2, "widths": (5, 6)}
    with pytest.raises(ValueError, match=message):
        FrameLevelMel(**small | keywords)


def test_whole_models_refuse_what_plans_and_designs_refuse() -> None:
    with pytest.raises(ValueError, match="m must be a whole number of 2 or more"):
        SampleCNN(1, 9)
    with pytest.raises(ValueError, match="num_tags must be a whole number of 1 or more"):
        SampleCNN(2, 2, widths=(5, 6), num_tags=0)


def test_feature_models_do_not_count_again() -> None:
    model = SampleCNN(2, 2, widths=(5, 6))
    assert feature_model(model, include_scores=True).count_params() == model.count_params()
