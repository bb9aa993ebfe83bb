"""Stage tables, their published values and everything that they refuse; no Keras."""

import re
import subprocess
import sys
from typing import Any

import pytest

from samplecnn_zoo import models
from samplecnn_zoo.models.design import BLOCKS, Design
from samplecnn_zoo.models.plans import (
    FRAME_LEVEL_RAW_PLANS,
    MAX_SEGMENT_SAMPLES,
    MULTI_SCALE_PLANS,
    SAMPLING_RATE_PLANS,
    Stage,
    frame_plan,
    same_padding,
    sample_plan,
)

PLAN_SAMPLES = {2000: 5184, 4000: 10368, 8000: 20736, 12000: 31104, 16000: 43740, 20000: 52488, 22050: 59049}
SCALE_SAMPLES = (16384, 32768, 19683, 59049, 16384, 65536, 15625, 78125)


def test_the_table_of_3_to_the_9_is_the_papers_table_1() -> None:
    plan = sample_plan(3, 9)
    widths = [128, 128, 128, 256, 256, 256, 256, 256, 512, 512]
    assert plan.stages[0] == Stage("stage1", 3, 3, 1, 128, (0, 0), (1, 1))
    assert plan.stages[1:] == tuple(
        Stage(f"stage{row}", 3, 1, 3, width, (1, 1), (1, 1)) for row, width in enumerate(widths[1:], start=2)
    )
    assert plan.top == Stage("top", 1, 1, 1, 512, (0, 0), (0, 0))
    assert (plan.segment_samples, plan.label) == (59049, "3x9")


def test_published_plans_have_the_published_segments() -> None:
    assert {rate: sample_plan(m).segment_samples for rate, m in SAMPLING_RATE_PLANS.items()} == PLAN_SAMPLES
    assert tuple(sample_plan(m, n).segment_samples for m, n in MULTI_SCALE_PLANS) == SCALE_SAMPLES
    assert {frame_plan(*sizes).segment_samples for sizes in FRAME_LEVEL_RAW_PLANS} == {59049}


def test_released_widths_have_one_512_less() -> None:
    assert [stage.width for stage in sample_plan(3, 9, "released").stages] == [128] * 3 + [256] * 6 + [512]


def test_the_smallest_named_plans_keep_both_ends() -> None:
    assert [stage.width for stage in sample_plan(2, 4).stages] == [128, 128, 128, 512, 512]
    assert [stage.width for stage in sample_plan(2, 3, "released").stages] == [128, 128, 128, 512]


def test_widths_as_numbers_are_one_a_module_or_one_a_stage() -> None:
    assert [stage.width for stage in sample_plan(2, 2, (5, 7)).stages] == [128, 5, 7]
    assert [stage.width for stage in sample_plan(2, 2, [4, 5, 7]).stages] == [4, 5, 7]


def test_a_sequence_gives_the_first_convolution_and_one_module_a_further_size() -> None:
    plan = sample_plan((5, 3, 2, 4), widths=(6, 7, 8))
    assert [(stage.kernel, stage.stride, stage.pool) for stage in plan.stages] == [
        (5, 5, 1),
        (3, 1, 3),
        (2, 1, 2),
        (4, 1, 4),
    ]
    assert (plan.segment_samples, plan.label) == (120, "5-3-2-4")
    assert plan == sample_plan([5, 3, 2, 4], 3, (6, 7, 8))


def test_frame_level_modules_are_the_upper_ones_of_3_to_the_9() -> None:
    plan = frame_plan(729, 243, 5)
    assert plan.stages[0] == Stage("stage1", 729, 243, 1, 128, (243, 243), (364, 364))
    assert [stage.width for stage in plan.stages] == [128, 256, 256, 256, 512, 512]
    assert [stage.width for stage in frame_plan(9, 9, 2, "released").stages] == [128, 256, 512]
    assert frame_plan(3, 3, 9).stages == sample_plan(3, 9).stages


@pytest.mark.parametrize(
    ("kernel", "tensorflow", "theano"),
    [(1, (0, 0), (0, 0)), (2, (0, 1), (1, 0)), (3, (1, 1), (1, 1)), (4, (1, 2), (2, 1)), (5, (2, 2), (2, 2))],
)
def test_even_filters_stand_to_the_right_or_to_the_left(
    kernel: int, tensorflow: tuple[int, int], theano: tuple[int, int]
) -> None:
    assert same_padding(kernel, "tensorflow") == tensorflow
    assert same_padding(kernel, "theano") == theano


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"m": 1}, "m must be a whole number of 2 or more; got 1"),
        ({"m": 3.0}, "m must be a whole number of 2 or more; got 3.0"),
        ({"m": True}, "m must be a whole number of 2 or more; got True"),
        ({"m": (3, 1, 3)}, "every stage size in m must be a whole number of 2 or more; got 1"),
        ({"m": "333"}, "every stage size in m must be a whole number of 2 or more; got '3'"),
        ({"m": (3,)}, "m has a size for the first convolution and one a module; got [3]: add sizes"),
        ({"m": (3, 3, 3), "n": 9}, "m of 3 stage sizes has 2 modules; got n=9: leave n out"),
        ({"n": 0}, "n must be a whole number of 1 or more; got 0"),
        (
            {"m": 10, "n": 9},
            "at most 16,777,216 samples, or no memory holds its layers; got 10^10, about 2^33.2",
        ),
        ({"m": 10**400, "n": 10**9}, "take fewer or smaller stages"),
        ({"m": (2**12, 2**13)}, "got 4096·8192, about 2^25.0: take fewer or smaller stages"),
        ({"widths": "wide"}, "unknown widths 'wide': take 'paper', 'released', or numbers, one a module"),
        ({"widths": None}, "unknown widths None: take 'paper', 'released', or numbers, one a module"),
        ({"widths": (8, 8)}, "widths are one number a module (9) or one a stage (10); got 2"),
        ({"n": 2, "widths": (8, 0)}, "every width must be a whole number of 1 or more; got 0"),
        ({"n": 3}, "widths='paper' needs n of 4 or more; got n=3: give 3 numbers instead"),
        ({"n": 2, "widths": "released"}, "widths='released' needs n of 3 or more; got n=2"),
        ({"alignment": "torch"}, "unknown alignment 'torch': take 'tensorflow', 'theano'"),
        ({"input_padding": -1}, "input_padding must be a whole number of 0 or more; got -1"),
        ({"input_padding": 2}, "less than half the first stage's size, or it adds a frame; got 2 for size 3"),
    ],
)
def test_sample_plan_refuses(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        sample_plan(**keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"window": 81, "hop": 243, "n": 5}, "window must be at least hop"),
        ({"window": 9, "hop": 0, "n": 5}, "hop must be a whole number of 1 or more; got 0"),
        ({"window": 9, "hop": 9, "n": 0}, "n must be a whole number of 1 or more; got 0"),
        ({"window": 9, "hop": 9, "n": 10**9}, "got 9·3^1000000000, about 2^158496250"),
        ({"window": 3, "hop": 3, "n": 10}, "widths='paper' here has 9 modules; got n=10: give 10 numbers"),
        (
            {"window": 3, "hop": 3, "n": 2, "widths": (1,)},
            "one number a module (2) or one a stage (3); got 1",
        ),
    ],
)
def test_frame_plan_refuses(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        frame_plan(**keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sr": 0}, "sr must be a whole number of 1 or more; got 0"),
        ({"sr": 22050.5}, "sr must be a whole number of 1 or more; got 22050.5"),
        ({"num_tags": 0}, "num_tags must be a whole number of 1 or more; got 0"),
        ({"block": "dense"}, "unknown block 'dense': take 'basic', 'se', 'res1', 'res2', 'rese1', 'rese2'"),
        ({"head": "mean"}, "unknown head 'mean': take 'conv1x1', 'dense', 'conv1x1+dense', or None for"),
        ({"se_ratio": 0}, "se_ratio must be finite and more than 0; got 0: None is the block's own"),
        ({"dropout": 1}, "dropout must be at least 0 and less than 1; got 1"),
        ({"bn_epsilon": 0}, "bn_epsilon must be more than 0; got 0: the nets have 1e-5"),
    ],
)
def test_design_refuses(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Design(**keywords)


def test_the_longest_segment_is_allowed() -> None:
    assert sample_plan(2, 23).segment_samples == MAX_SEGMENT_SAMPLES


def test_the_se_ratio_is_the_blocks_own_unless_given() -> None:
    own = {name: Design(block=name).module.se_ratio for name in BLOCKS}
    assert own == {"basic": 0, "se": 16, "res1": 0, "res2": 0, "rese1": 16, "rese2": 16, "rese_won": 1}
    assert Design(block="se", se_ratio=0.25).module.se_ratio == 0.25
    assert Design(block="res2", se_ratio=16).module.se_ratio == 0


def test_stages_and_levels_are_found_by_name() -> None:
    names = ["waveform_8000hz", "stage1_conv", "stage1_bn", "stage2_conv1", "stage2_add", "stage2_pool"]
    assert models.stage_layers(names) == {"stage1": "stage1_bn", "stage2": "stage2_pool"}
    assert models.level_layers([*names, "top_relu", "tags"]) == {
        -1: "top_relu",
        -2: "stage2_pool",
        -3: "stage1_bn",
    }
    assert models.stated_rate(names) == 8000
    assert models.stated_rate(["input_1"]) is None


def test_stages_count_in_numbers_not_letters() -> None:
    names = ["top_relu", "stage10_pool", "stage2_pool", "stage1_relu"]
    assert list(models.stage_layers(names)) == ["stage1", "stage2", "stage10", "top"]


def test_a_model_without_stages_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no layer is named after a stage.*got conv1d, dense: give a model"):
        models.stage_layers(["conv1d", "dense"])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SampelCNN'"):
        _ = models.SampelCNN


def test_importing_models_imports_neither_keras_nor_tensorflow() -> None:
    code = (
        "import sys, samplecnn_zoo.models as models; models.sample_plan(3, 9); "
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'jax', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
