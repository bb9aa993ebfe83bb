"""The page of `samplecnn demo` as a Space, with the presets named below and the bundled ones.

Any argument of the command may stand here, as --max-minutes or hf://org/name for a preset of the Hub.
"""

import os

from samplecnn_zoo.cli import app

PRESETS: list[str] = []

if __name__ == "__main__":
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    app(["demo", "--host", host, "--port", port, *PRESETS], prog_name="samplecnn")
