"""The commands `samplecnn visualize …`: pictures of what a preset has learned, a module for each kind."""

import typer

from samplecnn_zoo.cli.visualize.filters import filters, rates, spectra
from samplecnn_zoo.cli.visualize.maps import song_map
from samplecnn_zoo.cli.visualize.saliency import saliency
from samplecnn_zoo.cli.visualize.taggram import taggram

app = typer.Typer(no_args_is_help=True)


@app.callback()
def about() -> None:
    """Draw what a preset has learned and what it hears: png, svg or pdf, and the numbers behind it."""


app.command()(filters)
app.command()(spectra)
app.command()(rates)
app.command("map")(song_map)
app.command()(saliency)
app.command()(taggram)

__all__ = ["app"]
