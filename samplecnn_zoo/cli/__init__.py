"""The command `samplecnn`: a function a command, their options, and what they do alike with many files."""

from samplecnn_zoo.cli.commands import app, main

__all__ = ["app", "main"]
