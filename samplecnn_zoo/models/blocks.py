"""Stages and heads as small functions from tensor to tensor; comments give (time, channels).

Stock Keras layers only, so that a saved model loads without this package. Layers are named
`<stage>_<role>` (`stage4_conv`, `stage4_pool`) and `head_<role>`; `names` finds stages by that.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from keras import layers

from samplecnn_zoo.models.design import Block, Design
from samplecnn_zoo.models.plans import Stage, same_padding

Tensor = Any  # a keras.KerasTensor: Keras publishes no types


def stage(x: Tensor, row: Stage, kind: Block) -> Tensor:
    """Build one row of the table out of `kind`: (time, channels) -> (time / stride / pool, width)."""
    return residual_stage(x, row, kind) if kind.residual else plain_stage(x, row, kind)


def plain_stage(x: Tensor, row: Stage, kind: Block) -> Tensor:
    """Convolve, normalize, rectify, pool (paper, Table 1), then squeeze and excite (Kim, SE)."""
    x = _conv_bn(x, row, kind)
    x = layers.ReLU(name=f"{row.name}_relu")(x)  # (time / stride, width)
    x = _pool(x, row)  # (time / stride / pool, width)
    return _squeeze_excite(x, row.name, kind)


def residual_stage(x: Tensor, row: Stage, kind: Block) -> Tensor:
    """Add one or two convolutions, excited or not, to the input, then rectify and pool (Kim; Won)."""
    y = _conv_bn(x, row, kind, "{}1")
    if kind.convs == 2:
        y = layers.ReLU(name=f"{row.name}_relu1")(y)  # (time / stride, width)
        if kind.dropout:
            y = layers.Dropout(kind.dropout, name=f"{row.name}_dropout")(y)
        y = _conv_bn(y, replace(row, stride=1, pad=row.same), kind, "{}2")
    y = _squeeze_excite(y, row.name, kind)
    y = layers.Add(name=f"{row.name}_add")([_shortcut(x, row, kind), y])
    y = layers.ReLU(name=f"{row.name}_relu")(y)  # (time / stride, width)
    return _pool(y, row)  # (time / stride / pool, width)


def _conv_bn(x: Tensor, row: Stage, kind: Block, names: str = "{}") -> Tensor:
    """Pad, convolve and normalize; `names` makes the layers' names out of their roles."""
    names = f"{row.name}_{names}"
    same = any(row.pad) and row.stride == 1 and row.pad == same_padding(row.kernel, "tensorflow")
    if any(row.pad) and not same:
        x = layers.ZeroPadding1D(row.pad, name=names.format("pad"))(x)
    x = layers.Conv1D(
        row.width,
        row.kernel,
        strides=row.stride,
        padding="same" if same else "valid",
        kernel_initializer="he_uniform",
        name=names.format("conv"),
    )(x)
    return layers.BatchNormalization(epsilon=kind.bn_epsilon, name=names.format("bn"))(x)


def _shortcut(x: Tensor, row: Stage, kind: Block) -> Tensor:
    if row.stride == 1 and x.shape[-1] == row.width:
        return x
    row = replace(row, kernel=1, pad=(0, 0)) if kind.shortcut_1x1 else row
    return _conv_bn(x, row, kind, "shortcut_{}")


def _squeeze_excite(x: Tensor, name: str, kind: Block) -> Tensor:
    """Scale each channel by a gate in 0..1 that sees the mean of all channels over time."""
    if not kind.se_ratio:
        return x
    channels = x.shape[-1]
    gate = layers.GlobalAveragePooling1D(keepdims=True, name=f"{name}_se_squeeze")(x)  # (1, channels)
    hidden = max(1, round(kind.se_ratio * channels))
    gate = layers.Dense(hidden, activation="relu", name=f"{name}_se_hidden")(gate)
    gate = layers.Dense(channels, activation="sigmoid", name=f"{name}_se_gate")(gate)
    return layers.Multiply(name=f"{name}_se_scale")([x, gate])  # (time, channels)


def _pool(x: Tensor, row: Stage) -> Tensor:
    return layers.MaxPooling1D(row.pool, name=f"{row.name}_pool")(x) if row.pool > 1 else x


def head(stages: Sequence[Tensor], design: Design) -> Tensor:
    """Reduce the last stage, or the last three (multi-level), to one vector a segment: (channels,).

    Args:
        stages: outputs of the modules and the 1x1 stage, bottom to top, each (time, channels).
        design: tells the levels and whether a hidden Dense layer follows.
    """
    tops = list(stages[-3:] if design.multi_level else stages[-1:])
    pooled = [
        layers.GlobalMaxPooling1D(name=f"head_pool{level}")(x)
        for level, x in zip(range(len(tops), 0, -1), tops, strict=True)
    ]
    x = layers.Concatenate(name="head_concat")(pooled) if len(pooled) > 1 else pooled[0]
    if not design.has_dense:
        return x
    x = layers.Dense(x.shape[-1], name="head_dense")(x)
    x = layers.BatchNormalization(epsilon=design.bn_epsilon, name="head_bn")(x)
    return layers.ReLU(name="head_relu")(x)


def classifier(x: Tensor, design: Design) -> Tensor:
    """Score the tags: (channels,) -> (num_tags,)."""
    if design.dropout:
        x = layers.Dropout(design.dropout, name="head_dropout")(x)
    # float32 whatever the precision policy: sigmoids and losses need the range.
    return layers.Dense(
        int(design.num_tags), activation=design.classifier_activation, dtype="float32", name="tags"
    )(x)
