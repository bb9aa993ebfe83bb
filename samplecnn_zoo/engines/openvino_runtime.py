"""OpenVINO as this package imports it: without its telemetry.

`import openvino` by itself writes an id below the home directory and sends an event to an analytics service,
unasked. Its own code does without where the package openvino_telemetry is absent, so it is hidden meanwhile.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """Let imports of `name` fail as if it were not installed; what is imported already stays as it is."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def load() -> ModuleType:
    """Import openvino.

    Raises:
        ImportError: if it is not installed; the message names the way out.
    """
    try:
        with hidden("openvino_telemetry"):
            return import_module("openvino")
    except ImportError as error:
        raise ImportError(
            f"the OpenVINO engine needs openvino ({error}): pip install openvino, or use engine='keras'"
        ) from error


ov: Any = load()
op: Any = ov.opset13
"""The operations, of an old set that every OpenVINO since 2024 holds."""

Node = Any  # openvino publishes no types
"""A node of a graph, or one of its outputs."""
