"""The lists that this package holds itself: names of clips and tags, no audio."""

from importlib.resources import files


def lines(name: str) -> list[str]:
    """The lines of a file in `datasets/splits/`, without the comments at its head."""
    text = files("samplecnn_zoo.datasets").joinpath("splits", name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
