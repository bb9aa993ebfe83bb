"""Take the pictures of the page that the documentation shows.

    python examples/screenshot_demo.py -o docs        # docs/demo.png in light, docs/demo-dark.png in dark

Needs the extras demo and browser, and a Chromium (apt-get install chromium, or playwright install chromium):
pip install 'samplecnn_zoo[demo,browser]'.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

LOOKS = {"demo.png": "light", "demo-dark.png": "dark"}


def main() -> None:
    """Serve the page, let it hear a clip, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("presets", nargs="*", help="as for samplecnn demo")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs"), help="the folder of the pictures")
    parser.add_argument("--clip", type=Path, help="a file to drop; else the last of the page's own is tried")
    parser.add_argument("--width", type=int, default=1160, help="of the window")
    parser.add_argument("--colours", type=int, default=128, help="in a picture: few make a small file")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with served(options.presets) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, scheme in LOOKS.items():
            size: Any = {"width": options.width, "height": 900}
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(url)
            listen(page, options.clip)
            page.screenshot(path=options.output / name, full_page=True)
            shrink(options.output / name, options.colours)
        browser.close()


@contextmanager
def served(presets: list[str]) -> Iterator[str]:
    """The address of a page that runs as long as the context."""
    command = [sys.executable, "-m", "samplecnn_zoo", "demo", *presets]
    with tempfile.TemporaryFile("w+") as rest:
        server = subprocess.Popen(command, stdout=rest, stderr=subprocess.PIPE, text=True)
        try:
            lines = iter(server.stderr or [])
            yield next(line.split(" at ")[1].split()[0] for line in lines if "the page is at" in line)
        finally:
            server.terminate()
            server.wait()


def listen(page: Page, clip: Path | None) -> None:
    """Drop or try a clip, wait for what is heard, and play it to somewhere in its first half."""
    if clip is None:
        page.locator("#zoo-examples button").last.click()
    else:
        page.set_input_files("#zoo-audio input[type=file]", clip)
    page.wait_for_selector(".zoo-taggram")
    page.wait_for_function("document.querySelector('#zoo-audio audio[src]').readyState > 0")
    strips = page.locator(".zoo-strips")
    box = strips.bounding_box() or {"width": 0, "height": 0}
    strips.click(position={"x": 0.4 * box["width"], "y": 0.5 * box["height"]})
    page.mouse.move(0, 0)
    page.wait_for_selector(".zoo-cursor:not([hidden])")
    page.wait_for_timeout(500)


def shrink(picture: Path, colours: int) -> None:
    """Write a picture again with few colours."""
    from PIL import Image

    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)


if __name__ == "__main__":
    main()
