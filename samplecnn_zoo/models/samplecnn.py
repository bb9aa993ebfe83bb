"""SampleCNN: tags from raw waveforms through very small filters (Lee, Park, Kim, Nam 2018)."""

from collections.abc import Callable, Sequence

import keras

from samplecnn_zoo.models import blocks
from samplecnn_zoo.models.blocks import Tensor
from samplecnn_zoo.models.design import Design
from samplecnn_zoo.models.names import input_name
from samplecnn_zoo.models.plans import Plan, Stage, sample_plan


def SampleCNN(
    m: int | Sequence[int] = 3,
    n: int | None = None,
    sr: int = 22050,
    num_tags: int = 50,
    *,
    widths: str | Sequence[int] = "paper",
    block: str = "basic",
    multi_level: bool = False,
    head: str | None = None,
    alignment: str = "tensorflow",
    input_padding: int = 0,
    se_ratio: float | None = None,
    include_top: bool = True,
    classifier_activation: str | None = "sigmoid",
    dropout: float = 0.5,
    bn_epsilon: float = 1e-5,
    flexible: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Build m^n-SampleCNN (paper, Table 1): waveform (m^(n+1), 1) in −1..1 -> scores (num_tags,).

    Weights are random (`load_pretrained` gives trained ones). The model holds stock Keras layers only
    and takes raw samples: a normalization that a preset asks for happens before it.

    Args:
        m: filter and pool size of every stage; or one size a stage, the strided first convolution's in
            front (Table 3): the segment is the product of the sizes.
        n: modules above the first convolution; None is 9 for one `m`, and what follows from a sequence.
        sr: sample rate in Hz that the model states, in its input's name; it shapes nothing.
        num_tags: scores.
        widths: channels of the n modules: `"paper"` (128, 128, 256 …, 512, 512; Table 1), `"released"`
            (one 512 less; the authors' weights and all successors), or numbers, one a module, or one a
            stage with the first convolution's in front (else 128).
        block: what the modules are made of: `"basic"`; `"se"`, `"res1"`, `"res2"`, `"rese1"`, `"rese2"`
            (Kim, Lee, Nam 2018); `"rese_won"` (Won et al. 2020).
        multi_level: feed the head with the last three stages, not the last alone (Kim, "-multi").
        head: `"conv1x1"` (Table 1: a 1x1 convolution), `"dense"` (Kim: a hidden Dense layer after max-pooling
            in time), `"conv1x1+dense"` (Won: both); None is the one that the block's authors have.
        alignment: where filters of even size stand: `"tensorflow"`, or `"theano"` for weights from there.
        input_padding: zeros on both sides of the segment (1 in Won's nets).
        se_ratio: hidden channels of squeeze-and-excitation per channel; None is 16 (Kim) or 1 (Won).
        include_top: False leaves out dropout and tags: the output is the vector that they are fed.
        classifier_activation: `"sigmoid"` for tags, `"softmax"` for genres, None for logits.
        dropout: rate before the tags; 0 is none.
        bn_epsilon: of every BatchNorm.
        flexible: take any input of one segment or more and max-pool over all of it; what is left after
            the last whole segment is dropped. Costs nothing: layers and weights are the same.
        name: of the model; None makes one of the block and the plan.

    Returns:
        A functional model whose layers are named `stage1_conv`, …, `top_relu`, `tags`; see `features`.

    Raises:
        ValueError: an argument out of its range, unknown, or in contradiction to another.

    >>> SampleCNN(3, 9).input_shape
    (None, 59049, 1)
    """
    plan = sample_plan(m, n, widths, alignment=alignment, input_padding=input_padding)
    design = Design(
        sr=sr,
        num_tags=num_tags,
        block=block,
        multi_level=multi_level,
        head=head,
        se_ratio=se_ratio,
        include_top=include_top,
        classifier_activation=classifier_activation,
        dropout=dropout,
        bn_epsilon=bn_epsilon,
        flexible=flexible,
    )
    return build(plan, design, name)


def build(
    plan: Plan,
    design: Design,
    name: str | None = None,
    front: Callable[[Tensor, Stage], Tensor] | None = None,
) -> keras.Model:
    """Walk the table of stages, bottom to top, and put the head on.

    Args:
        plan: the stages.
        design: blocks, head and input.
        name: of the model; None makes one of the block and the plan.
        front: builds the first stage (the mel front end); None is the strided convolution.

    Raises:
        ValueError: a multi-level head over fewer than three stages.
    """
    first, *rows = plan.stages
    if design.multi_level and len(rows) + design.has_top < 3:
        raise ValueError(
            f"multi_level feeds the head with three stages above the first; {plan.label} has "
            f"{len(rows) + design.has_top}: add modules or leave multi_level out"
        )
    samples = None if design.flexible else plan.segment_samples
    waveform = keras.Input((samples, 1), name=input_name(design.sr))  # (samples, 1)
    x = front(waveform, first) if front else blocks.stage(waveform, first, design.end)
    stages = []
    for row in rows:
        x = blocks.stage(x, row, design.module)  # (time / pool, width)
        stages.append(x)
    if design.has_top:
        stages.append(blocks.stage(x, plan.top, design.end))  # (1, width)
    x = blocks.head(stages, design)  # (channels,)
    if design.include_top:
        x = blocks.classifier(x, design)  # (num_tags,)
    return keras.Model(waveform, x, name=name or default_name(plan, design))


def default_name(plan: Plan, design: Design) -> str:
    """Name a model: `samplecnn_3x9`, `samplecnn_se_multi_3x9`."""
    block = "" if design.block == "basic" else f"_{design.block}"
    return f"samplecnn{block}{'_multi' if design.multi_level else ''}_{plan.label}"
