"""Pictures of what networks do: plain arrays in, files out. Needs matplotlib: the extra `plots`.

What filters listen to: `ascend` finds inputs, `sorted_spectra` and `curve` sum them up, `draw_spectra` and
its like draw them. Names load lazily: importing this package imports neither Keras nor matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samplecnn_zoo.visualize.ascent import Ascent, Found, ascend
    from samplecnn_zoo.visualize.filter_figures import draw_rates, draw_spectra, draw_waveforms
    from samplecnn_zoo.visualize.shorten import frame_samples, lowest_stages, stage_strides
    from samplecnn_zoo.visualize.spectra import (
        Curve,
        Spectra,
        curve,
        log_spectra,
        reference_bends,
        sorted_spectra,
        stacked,
        write_arrays,
    )

__all__ = [
    "Ascent",
    "Curve",
    "Found",
    "Spectra",
    "ascend",
    "curve",
    "draw_rates",
    "draw_spectra",
    "draw_waveforms",
    "frame_samples",
    "log_spectra",
    "lowest_stages",
    "reference_bends",
    "sorted_spectra",
    "stacked",
    "stage_strides",
    "write_arrays",
]

_HOME = {
    "Ascent": "ascent",
    "Curve": "spectra",
    "Found": "ascent",
    "Spectra": "spectra",
    "ascend": "ascent",
    "curve": "spectra",
    "draw_rates": "filter_figures",
    "draw_spectra": "filter_figures",
    "draw_waveforms": "filter_figures",
    "frame_samples": "shorten",
    "log_spectra": "spectra",
    "lowest_stages": "shorten",
    "reference_bends": "spectra",
    "sorted_spectra": "spectra",
    "stacked": "spectra",
    "stage_strides": "shorten",
    "write_arrays": "spectra",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
