"""The page, served: to this computer alone unless told otherwise, and with nothing left when it ends."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from samplecnn_zoo.demo.hearing import Limits
from samplecnn_zoo.demo.shelf import Shelf
from samplecnn_zoo.demo.uploads import Player, Uploads
from samplecnn_zoo.tagger import Tagger

INSTALL = "pip install 'samplecnn_zoo[demo]'"
TERMINATED = 143  # 128 + SIGTERM, as shells report it
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")


@dataclass(frozen=True)
class Address:
    """Where the page is served; without a port the first free one from 7860 on."""

    host: str = "127.0.0.1"
    port: int | None = None


USUAL_LIMITS = Limits()
THIS_COMPUTER = Address()


def can_serve() -> bool:
    """Tell whether gradio is installed, without importing it."""
    return find_spec("gradio") is not None


def check_free(address: Address) -> None:
    """See that the page can be served there, before there is work that could be in vain.

    Raises:
        OSError: The port is taken, or the host is not this computer's.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address.host, address.port or 0))


def serve(
    taggers: Sequence[Tagger],
    shelf: Shelf,
    *,
    limits: Limits = USUAL_LIMITS,
    address: Address = THIS_COMPUTER,
    ready: Callable[[str], object] | None = None,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; nothing that visitors brought is left then.

    Args:
        taggers: What visitors choose from, the first one to begin with; each is loaded once for all.
        shelf: Clips to try, and to find similar ones among.
        limits: On what visitors bring.
        address: Where to listen.
        ready: Gets the page's address when it can be opened.

    Raises:
        ImportError: gradio is not installed; the message says how to get it.
        OSError: The address is taken, or not this computer's.
        SystemExit: On SIGTERM.
    """
    if not can_serve():
        raise ImportError(f"the page needs gradio: {INSTALL}")
    signal.signal(signal.SIGTERM, _terminate)
    uploads = Uploads(shelf.paths)
    try:
        _serve(taggers, shelf, limits, address, uploads, ready)
    finally:
        uploads.close()


def _serve(
    taggers: Sequence[Tagger],
    shelf: Shelf,
    limits: Limits,
    address: Address,
    uploads: Uploads,
    ready: Callable[[str], object] | None,
) -> None:
    # Gradio looks at these when it is imported and when a page is built.
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from samplecnn_zoo.demo.page import Studio, build

    page = build(Studio({tagger.preset.name: tagger for tagger in taggers}, shelf, limits, uploads))
    try:
        _, url, _ = page.launch(**_options(address, limits, uploads))
        uploads.keep_swept()
        if ready is not None:
            ready(url)
        threading.Event().wait()
    finally:
        page.close(verbose=False)


def _options(address: Address, limits: Limits, uploads: Uploads) -> dict[str, object]:
    import gradio as gr
    from starlette.middleware import Middleware

    look = Path(__file__).parent
    return {
        "server_name": address.host,
        "server_port": address.port,
        "share": False,
        "max_file_size": limits.bytes,
        "app_kwargs": {"middleware": [Middleware(Player, uploads=uploads)]},
        # With fonts of the system, nothing is fetched for the look of the page either.
        "theme": gr.themes.Default(primary_hue="indigo", font=FONTS, font_mono=("ui-monospace", "monospace")),
        "css_paths": look / "page.css",
        "head": f"<script>{(look / 'page.js').read_text(encoding='utf-8')}</script>",
        "prevent_thread_lock": True,
        "quiet": True,
        "footer_links": [],
        "run_history": False,  # it would keep results in the visitor's browser
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
    }


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(TERMINATED)
