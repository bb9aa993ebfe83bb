"""The peaks of filters in numbers, as a table or JSON: what stands in the pictures of spectra."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from samplecnn_zoo.cli.options import ListFormat

if TYPE_CHECKING:
    from rich.table import Table

    from samplecnn_zoo.visualize import Curve, Spectra

COLUMNS = ("stage", "filters", "25 %", "50 %", "75 %", "to linear", "to mel", "to Bark", "R²", "bend")
NOTE = (
    "25 % to 75 %: of the peaks, Hz. to ...: mean distance in Hz from filters spread evenly over that scale. "
    "R²: how straight the lower half is. bend: slope of the upper half over the lower half's"
)


def show(found: Mapping[str, Sequence["Spectra"]], form: ListFormat) -> None:
    """Print the peaks of every stage of every preset, by its name."""
    if form == ListFormat.json:
        typer.echo(json.dumps([_facts(name, stages) for name, stages in found.items()], indent=1))
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    for name, stages in found.items():
        console.print(f"{name}, peaks of filters from 0 to {stages[0].highest_hz:g} Hz")
        console.print(_table(stages))
        bends = ", ".join(f"{scale} {value:.1f}" for scale, value in _bends(stages).items())
        console.print(f"{NOTE}; evenly over the scales it is {bends}.")


def _bends(stages: Sequence["Spectra"]) -> dict[str, float]:
    from samplecnn_zoo.visualize import reference_bends

    return reference_bends(stages[0].highest_hz)


def _facts(name: str, stages: Sequence["Spectra"]) -> dict[str, Any]:
    from samplecnn_zoo.visualize import curve

    return {
        "preset": name,
        "sample_rate_hz": stages[0].sample_rate,
        "bend_of_scales": _bends(stages),
        "stages": [asdict(curve(stage)) for stage in stages],
    }


def _table(stages: Sequence["Spectra"]) -> "Table":
    from rich.table import Table

    from samplecnn_zoo.visualize import curve

    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in stages:
        table.add_row(*_cells(curve(stage)))
    return table


def _cells(curve: "Curve") -> list[str]:
    risen = f"{curve.risen}" if curve.risen == curve.filters else f"{curve.risen} of {curve.filters}"
    peaks = [f"{value:.0f}" for value in (curve.low_hz, curve.mid_hz, curve.high_hz)]
    distances = [
        f"{value:.0f}{'*' if scale == curve.nearest else ''}" for scale, value in curve.distance_hz.items()
    ]
    shape = [
        "-" if value is None else f"{value:.{digits}f}"
        for value, digits in ((curve.straight, 2), (curve.bend, 1))
    ]
    return [curve.stage, risen, *peaks, *distances, *shape]
