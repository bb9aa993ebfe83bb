"""What the README says is run: its Python, its commands, its links."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from samplecnn_zoo.visualize.style import can_draw
from tests import sounds

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("samplecnn ")
]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place like a user's: music/ with a song in it, genres/ with two classes, and the examples."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "music").mkdir()
    shutil.copy(ROOT / "examples" / "audio" / "saints.ogg", folder / "music")
    for number in range(24):
        genre = ("low", "high")[number % 2]
        (folder / "genres" / genre).mkdir(parents=True, exist_ok=True)
        hz = (110.0, 1760.0)[number % 2] + number
        sounds.write(folder / "genres" / genre / f"{number}.wav", sounds.tone(3.0, 8000, hz=hz), 8000)
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


def test_there_are_commands_to_run() -> None:
    assert {command.split()[1] for command in COMMANDS} == {
        "tag", "embed", "list", "info", "prepare", "train", "evaluate", "finetune", "visualize",
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command: str, folder: Path) -> None:
    if command.startswith("samplecnn visualize") and not can_draw():
        pytest.skip("matplotlib is not installed: pip install 'samplecnn_zoo[plots]'")
    shorter = ["--epochs", "1"] if command.startswith("samplecnn train") else []
    done = run(["-m", "samplecnn_zoo", *shlex.split(command)[1:], *shorter], folder)
    assert done.returncode == 0, done.stderr
    if "-o" in command:
        output = folder / shlex.split(command)[shlex.split(command).index("-o") + 1]
        assert any(output.iterdir()) if output.is_dir() else output.stat().st_size > 0
    else:
        assert done.stdout.strip()


def test_the_python_of_the_readme_runs(folder: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 3
    done = run(["-c", "\n".join(blocks)], folder)
    assert done.returncode == 0, done.stderr
    assert "saints.ogg" in done.stdout


@pytest.mark.parametrize("document", ["README.md", "MODEL_CARD.md", "CONTRIBUTING.md", "docs"])
def test_links_between_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    files = sorted(path.glob("*.md")) if path.is_dir() else [path]
    for file in files:
        for target in re.findall(r"\]\(([^)#]+)\)", file.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (file.parent / target).exists(), f"{file.name} links to {target}"
