"""Stage tables: every architecture as data, checked here, without Keras.

A network is a table of stages, bottom to top, as the paper prints it (Table 1); the builders in
`samplecnn` and `frame_level` only walk it. Everything that a caller can get wrong is refused here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, prod
from operator import index

FIRST_WIDTH = 128
"""Channels of the strided first convolution, and mel bands of the mel front end (Tables 1 and 2)."""

MAX_SEGMENT_SAMPLES = 2**24
"""Longest segment: twelve minutes at 22,050 Hz, whose first layer alone takes gigabytes a clip."""

SAMPLING_RATE_PLANS = {
    2000: (3, 3, 3, 3, 2, 2, 2, 2, 2, 2),
    4000: (3, 3, 3, 3, 2, 2, 2, 4, 2, 2),
    8000: (3, 3, 3, 3, 2, 2, 4, 4, 2, 2),
    12000: (3, 3, 3, 3, 3, 2, 4, 4, 2, 2),
    16000: (3, 3, 3, 3, 3, 3, 3, 5, 2, 2),
    20000: (3, 3, 3, 3, 3, 3, 3, 3, 4, 2),
    22050: (3, 3, 3, 3, 3, 3, 3, 3, 3, 3),
}
"""Sample rate in Hz → m for `SampleCNN(m, sr=rate)`: segments of about 2.6 s (Table 3)."""

MULTI_SCALE_PLANS = ((2, 13), (2, 14), (3, 8), (3, 9), (4, 6), (4, 7), (5, 5), (5, 6))
"""(m, n) of the eight networks of the multi-scale experiment (Table 4)."""

FRAME_LEVEL_MEL_PLANS = ((729, 729, 4), (729, 243, 5), (243, 243, 5), (243, 81, 6), (81, 81, 6))
"""(window, hop, n) for `FrameLevelMel` (Table 2)."""

FRAME_LEVEL_RAW_PLANS = (*FRAME_LEVEL_MEL_PLANS, (27, 27, 7), (9, 9, 8), (3, 3, 9))
"""(window, hop, n) for `FrameLevelRaw` (Table 2)."""

WIDTH_PLANS = ("paper", "released")
ALIGNMENTS = ("tensorflow", "theano")


@dataclass(frozen=True)
class Stage:
    """One row of the paper's Table 1: a convolution and the max-pooling after it.

    Attributes:
        name: prefix of the names of its layers.
        kernel: filter size in frames of the row below.
        stride: of the convolution; 1 except in the first row.
        pool: size and stride of the max-pooling; 1 is none.
        width: channels that leave the stage.
        pad: zeros before and after the input of its (first) convolution.
        same: zeros before and after that keep the length at stride 1.
    """

    name: str
    kernel: int
    stride: int
    pool: int
    width: int
    pad: tuple[int, int]
    same: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """The stages of a network, bottom to top: the strided first one, then the modules.

    Attributes:
        label: short form of the plan, part of a model's name: `3x9`, `3-3-3-3-2-2-4-4-2-2`.
        stages: `stage1`, `stage2`, …
    """

    label: str
    stages: tuple[Stage, ...]

    @property
    def segment_samples(self) -> int:
        """Exact input length: the product of all strides and pool sizes."""
        return prod(stage.stride * stage.pool for stage in self.stages)

    @property
    def top(self) -> Stage:
        """The last row of Table 1: a 1x1 convolution as wide as the stage below it."""
        return Stage("top", 1, 1, 1, self.stages[-1].width, (0, 0), (0, 0))


def sample_plan(
    m: int | Sequence[int] = 3,
    n: int | None = None,
    widths: str | Sequence[int] = "paper",
    *,
    alignment: str = "tensorflow",
    input_padding: int = 0,
) -> Plan:
    """Lay out m^n-SampleCNN (Table 1) or a plan of one stage size a digit (Table 3).

    Args:
        m: filter and pool size of every stage, or one size a stage, of which the first is the
            strided first convolution.
        n: modules above the first convolution; None is 9 for one `m`, and what follows from a sequence.
        widths: `"paper"`, `"released"`, or numbers: one a module, or one a stage.
        alignment: where an even filter stands: `"tensorflow"` pads its larger half after, `"theano"`
            before.
        input_padding: zeros on both sides of the segment (1 in the nets of Won et al.).

    Raises:
        ValueError: a size under 2, fewer than one module, an `n` that contradicts the sequence, a
            segment over `MAX_SEGMENT_SAMPLES`, unknown or miscounted widths, unknown alignment, or
            padding that would add a frame.

    >>> plan = sample_plan(3, 9)
    >>> plan.segment_samples, [stage.width for stage in plan.stages]
    (59049, [128, 128, 128, 256, 256, 256, 256, 256, 512, 512])
    """
    sizes = stage_sizes(m, n)
    check_choice("alignment", alignment, ALIGNMENTS)
    pad = whole("input_padding", input_padding, at_least=0)
    if 2 * pad >= sizes[0]:
        raise ValueError(
            f"input_padding must be less than half the first stage's size, or it adds a frame; "
            f"got {pad} for size {sizes[0]}: take at most {(sizes[0] - 1) // 2}"
        )
    first_width, *module_widths = stage_widths(widths, len(sizes) - 1)
    first = Stage("stage1", sizes[0], sizes[0], 1, first_width, (pad, pad), same_padding(sizes[0], alignment))
    label = f"{sizes[0]}x{len(sizes) - 1}" if len(set(sizes)) == 1 else "-".join(map(str, sizes))
    return Plan(label, (first, *_modules(sizes[1:], module_widths, alignment)))


def frame_plan(window: int, hop: int, n: int, widths: str | Sequence[int] = "paper") -> Plan:
    """Lay out a frame-level baseline: a front end of `window` and `hop` under n modules of size 3 (Table 2).

    The modules are the upper ones of 3^9 unchanged (section 3.3), so a named width plan gives its
    last n widths. Zeros on both sides of the segment make exactly 3^n frames.

    Args:
        window: samples that a frame sees.
        hop: samples from frame to frame.
        n: modules.
        widths: `"paper"`, `"released"`, or numbers: one a module, or one a stage.

    Raises:
        ValueError: a hop or n under 1, a window shorter than the hop, a segment over
            `MAX_SEGMENT_SAMPLES`, unknown or miscounted widths.

    >>> frame_plan(729, 243, 5).segment_samples
    59049
    """
    n, hop = whole("n", n, at_least=1), whole("hop", hop, at_least=1)
    window = whole("window", window, at_least=1)
    if window < hop:
        raise ValueError(
            f"window must be at least hop, or samples between frames go unheard; got window {window} "
            f"and hop {hop}: take a window of {hop} or more"
        )
    check_length(f"{hop}·3^{n}", log2(hop) + n * log2(3))
    first_width, *module_widths = stage_widths(widths, n, modules_in_full=9)
    before, after = (window - hop) // 2, (window - hop + 1) // 2
    first = Stage("stage1", window, hop, 1, first_width, (before, after), same_padding(window, "tensorflow"))
    return Plan(f"{window}-{hop}-{n}", (first, *_modules([3] * n, module_widths, "tensorflow")))


def _modules(sizes: Sequence[int], widths: Sequence[int], alignment: str) -> list[Stage]:
    rows = []
    for row, (size, width) in enumerate(zip(sizes, widths, strict=True), start=2):
        same = same_padding(size, alignment)
        rows.append(Stage(f"stage{row}", size, 1, size, width, same, same))
    return rows


def stage_sizes(m: int | Sequence[int], n: int | None = None) -> tuple[int, ...]:
    """Return one size a stage, the first convolution's in front; see `sample_plan`."""
    if not isinstance(m, Sequence):
        size, modules = whole("m", m, at_least=2), whole("n", 9 if n is None else n, at_least=1)
        check_length(f"{size}^{modules + 1}", (modules + 1) * log2(size))
        return (size,) * (modules + 1)
    sizes = tuple(whole("every stage size in m", size, at_least=2) for size in m)
    if len(sizes) < 2:
        raise ValueError(f"m has a size for the first convolution and one a module; got {list(m)}: add sizes")
    if n not in (None, len(sizes) - 1):
        raise ValueError(
            f"m of {len(sizes)} stage sizes has {len(sizes) - 1} modules; got n={n}: leave n out"
        )
    check_length("·".join(map(str, sizes)), sum(map(log2, sizes)))
    return sizes


def stage_widths(
    widths: str | Sequence[int], n: int, *, modules_in_full: int | None = None
) -> tuple[int, ...]:
    """Return the n + 1 widths of the first stage and its n modules.

    Args:
        widths: `"paper"` (Table 1: 2.46 M parameters), `"released"` (the authors' code: 1.87 M), or
            numbers: one a module (the first stage then has `FIRST_WIDTH`), or one a stage.
        n: modules.
        modules_in_full: of the network whose last n modules are meant; None is n.

    Raises:
        ValueError: an unknown plan, one that doesn't fit n modules, or a wrong count of numbers.
    """
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        check_choice("widths", widths, WIDTH_PLANS, or_else="numbers, one a module")
        named = _named_widths(widths, modules_in_full or n)
        if n > len(named):
            raise ValueError(f"widths={widths!r} here has {len(named)} modules; got n={n}: give {n} numbers")
        return FIRST_WIDTH, *named[-n:]
    given = tuple(whole("every width", width, at_least=1) for width in widths)
    if len(given) not in (n, n + 1):
        raise ValueError(f"widths are one number a module ({n}) or one a stage ({n + 1}); got {len(given)}")
    return given if len(given) == n + 1 else (FIRST_WIDTH, *given)


def _named_widths(name: str, n: int) -> list[int]:
    widest = 2 if name == "paper" else 1  # modules of 512 channels
    if n < 2 + widest:
        raise ValueError(
            f"widths={name!r} needs n of {2 + widest} or more; got n={n}: give {n} numbers instead"
        )
    return [128] * 2 + [256] * (n - 2 - widest) + [512] * widest


def same_padding(kernel: int, alignment: str) -> tuple[int, int]:
    """Zeros before and after that keep the length: an even kernel's middle is between two samples."""
    short, long = (kernel - 1) // 2, kernel // 2
    return (long, short) if alignment == "theano" else (short, long)


def check_length(product: str, log2_samples: float) -> None:
    """Refuse a segment whose layers no memory holds, without ever computing its length."""
    if log2_samples > log2(MAX_SEGMENT_SAMPLES):
        raise ValueError(
            f"a segment has at most {MAX_SEGMENT_SAMPLES:,} samples, or no memory holds its layers; got "
            f"{product}, about 2^{log2_samples:.1f}: take fewer or smaller stages"
        )


def whole(name: str, value: object, *, at_least: int) -> int:
    """Return `value` as an int of `at_least` or more, or say what it must be."""
    try:
        number = None if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < at_least:
        raise ValueError(f"{name} must be a whole number of {at_least} or more; got {value!r}")
    return number


def check_choice(name: str, value: object, choices: Sequence[str], *, or_else: str = "") -> None:
    """Refuse a name that is not on the list, and print the list."""
    if value not in choices:
        listed = ", ".join(map(repr, choices)) + (f", or {or_else}" if or_else else "")
        raise ValueError(f"unknown {name} {value!r}: take {listed}")
