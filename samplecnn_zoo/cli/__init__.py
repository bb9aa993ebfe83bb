"""The command `samplecnn`: a function a command, their options, and what they do alike with many files."""

from samplecnn_zoo.cli.commands import app, main
from samplecnn_zoo.cli.evaluate import evaluate

app.command()(evaluate)

__all__ = ["app", "main"]
