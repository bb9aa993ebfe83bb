"""The command `samplecnn`: a function a command, their options, and what they do alike with many files."""

from samplecnn_zoo.cli import visualize
from samplecnn_zoo.cli.commands import app, main
from samplecnn_zoo.cli.convert import convert
from samplecnn_zoo.cli.datasets import datasets
from samplecnn_zoo.cli.demo import demo
from samplecnn_zoo.cli.evaluate import evaluate
from samplecnn_zoo.cli.experiment import experiment
from samplecnn_zoo.cli.finetune import finetune
from samplecnn_zoo.cli.hub import card, push
from samplecnn_zoo.cli.prepare import prepare
from samplecnn_zoo.cli.train import train

app.command()(convert)
app.command()(datasets)
app.command()(prepare)
app.command()(evaluate)
app.command()(train)
app.command()(finetune)
app.command()(experiment)
app.command()(demo)
app.command()(card)
app.command()(push)
app.add_typer(visualize.app, name="visualize")

__all__ = ["app", "main"]
