"""Bundled weights are found in a wheel, an sdist, an editable install and an uninstalled checkout alike."""

import os
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import samplecnn_zoo

ROOT = Path(__file__).resolve().parent.parent
NO_CHECKOUT = "the tests run from an installed copy, without the project's files"
pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason=NO_CHECKOUT)

PRESET = "tiny.test"
PROJECT_FILES = ["pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "CITATION.cff"]
ASK = """
import sys
from samplecnn_zoo.zoo import weights_dir
print(weights_dir(), *sorted(file.name for file in (weights_dir() / "tiny.test").iterdir()), sep="\\n")
assert not {"keras", "tensorflow"} & {*sys.modules}
"""
GRAFTED = ("tests", "examples", "benchmarks", "docs")
FILES = ["README.md", "config.json", "metadata.json", "model.weights.h5", "preset.json"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with one small preset in weights/ and no past builds."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in PROJECT_FILES:
        shutil.copy(ROOT / name, copy)
    caches = shutil.ignore_patterns("__pycache__")
    for folder in ("samplecnn_zoo", *GRAFTED):
        shutil.copytree(ROOT / folder, copy / folder, ignore=caches)
    (copy / "README.md").write_text("# samplecnn_zoo\n")
    preset = copy / "weights" / PRESET
    preset.mkdir(parents=True)
    for name in FILES:
        (preset / name).write_text("{}")
    return copy


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    quietly([sys.executable, "-c", code, str(folder)], cwd=checkout)
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, as an index would have it: so the sdist holds all that a wheel needs."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(sdist))
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of a fresh environment with everything that this one has, except the package itself."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    rest = tmp_path / "dependencies"
    rest.mkdir()
    for folder in map(Path, site.getsitepackages()):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if "samplecnn" not in entry.name and not (rest / entry.name).exists():
                (rest / entry.name).symlink_to(entry)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{rest}\n")
    return home / "bin" / "python"


def quietly(command: list[str], *, cwd: Path) -> str:
    """Run a command outside of the checkout, with no other package to be found by accident."""
    blank = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(command, cwd=cwd, env=blank, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def pip(*arguments: str) -> None:
    quietly([sys.executable, "-m", "pip", "--no-input", *arguments], cwd=Path.home())


def install(python: Path, *arguments: str) -> None:
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed", "--quiet"]
    pip("--python", str(python), "install", *offline, *arguments)


def check(python: Path, weights: Path, cwd: Path) -> None:
    """The package that this Python finds has the preset, in this folder."""
    found, *files = quietly([str(python), "-c", ASK], cwd=cwd).splitlines()
    assert Path(found).resolve() == weights.resolve()
    assert files == FILES


def test_weights_from_a_wheel(wheel: Path, environment: Path, tmp_path: Path) -> None:
    install(environment, str(wheel))
    (package,) = environment.parent.parent.glob("lib/python*/site-packages/samplecnn_zoo")
    check(environment, package / "weights", tmp_path)
    version = quietly([str(environment.parent / "samplecnn"), "--version"], cwd=tmp_path)
    assert version == f"samplecnn_zoo {samplecnn_zoo.__version__}\n"


def test_weights_from_an_sdist(sdist: Path, environment: Path, tmp_path: Path) -> None:
    install(environment, str(sdist))
    (package,) = environment.parent.parent.glob("lib/python*/site-packages/samplecnn_zoo")
    check(environment, package / "weights", tmp_path)


def test_weights_from_an_editable_install(checkout: Path, environment: Path, tmp_path: Path) -> None:
    install(environment, "--editable", str(checkout))
    check(environment, checkout / "weights", tmp_path)


def test_weights_from_an_uninstalled_checkout(checkout: Path, environment: Path) -> None:
    check(environment, checkout / "weights", checkout)


def test_the_wheel_holds_the_package_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert {name.partition("/")[0] for name in names} == {
        "samplecnn_zoo",
        f"samplecnn_zoo-{samplecnn_zoo.__version__}.dist-info",
    }
    assert "samplecnn_zoo/py.typed" in names
    assert "samplecnn_zoo/datasets/splits/gtzan_filtered.tsv" in names
    assert {
        "samplecnn_zoo/demo/page.css",
        "samplecnn_zoo/demo/page.js",
        "samplecnn_zoo/clips/saints.ogg",
    } <= {*names}
    assert "samplecnn_zoo/visualize/map_page.html" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert f"Version: {samplecnn_zoo.__version__}\n" in metadata
    sources = {file.relative_to(ROOT).as_posix() for file in (ROOT / "samplecnn_zoo").rglob("*.py")}
    assert sources <= set(names)


def test_the_sdist_holds_what_the_tests_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "tests/conftest.py", f"weights/{PRESET}/model.weights.h5"} <= names
    files = [file for folder in GRAFTED for file in (ROOT / folder).rglob("*") if file.is_file()]
    wanted = {str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts}
    assert len(wanted) > 40 and wanted <= names


def test_versions_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {samplecnn_zoo.__version__}\n" in citation


def test_no_upper_pins_but_for_tensorflow_io() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = [need for need in project["dependencies"] if not need.split(">=")[1:] or "," in need]
    assert not pinned
    extras = {name: needs for name, needs in project["optional-dependencies"].items() if name != "tfio"}
    assert not [need for needs in extras.values() for need in needs if "<" in need or "==" in need]
