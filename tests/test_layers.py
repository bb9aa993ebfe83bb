"""The directions of imports: who may know whom, no cycle, and nothing heavy before it is needed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import samplecnn_zoo

PACKAGE = Path(samplecnn_zoo.__file__).parent
NAME = PACKAGE.name

# Each part of the package, and the parts that it may import. Only the edges, at the end, know many.
ALLOWED: dict[str, set[str]] = {
    "audio": {"decoders", "finding"},
    "decoders": set(),
    "finding": set(),
    "models": set(),
    "zoo": {"files", "models"},
    "engines": {"zoo", "models"},
    "tagger": {"audio", "zoo", "engines"},
    "datasets": {"audio", "files", "finding"},
    "training": {"datasets", "files", "models", "tagger", "visualize", "zoo"},
    "visualize": {"audio", "files", "formats", "models", "tagger"},
    "formats": set(),
    "files": set(),
    "bulk": {"audio", "files", "formats", "tagger"},
    "demo": {"audio", "formats", "tagger", "visualize"},
    "hear": {"audio", "engines", "tagger", "transfer", "zoo"},
    "transfer": {"bulk", "datasets", "engines", "files", "tagger", "training", "zoo"},
    "cli": {
        "audio",
        "bulk",
        "datasets",
        "decoders",
        "demo",
        "engines",
        "files",
        "formats",
        "models",
        "tagger",
        "training",
        "transfer",
        "visualize",
        "zoo",
    },
    "__main__": {"cli"},
}
# The only modules that may name TensorFlow; all others reach it through Keras, and so any other backend too.
TENSORFLOW = {
    "datasets.pipeline",
    "decoders.tfio",
    "hear.tensorflow_module",
    "training.distribution",
    "visualize.gradients",
}
LIGHT = [
    "", ".audio", ".bulk", ".cli", ".datasets", ".demo", ".demo.server", ".engines", ".formats", ".hear",
    ".models", ".tagger",
    ".training", ".training.evaluate", ".training.report", ".transfer", ".transfer.experiments",
    ".transfer.listener", ".visualize", ".visualize.filter_figures", ".visualize.map_page", ".visualize.maps",
    ".visualize.report", ".visualize.saliency_figure", ".visualize.spectra", ".visualize.taggram", ".zoo",
]  # fmt: skip


def modules() -> dict[str, ast.Module]:
    """Dotted name within the package ("" is the package itself) to its syntax tree."""
    trees = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(file.read_text(encoding="utf-8"), str(file))
    return trees


TREES = modules()


def imported(tree: ast.AST) -> Iterator[str]:
    """Absolute names that a tree imports anywhere; of `from a import b` both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def without_typing(tree: ast.Module) -> ast.Module:
    """The tree without what only type checkers run."""

    class Strip(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            return node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    return Strip().visit(ast.parse(ast.unparse(tree)))  # type: ignore[no-any-return]


def ours(tree: ast.AST) -> set[str]:
    """Modules of the package that a tree imports, by their names within it."""
    names = {name.removeprefix(f"{NAME}.") for name in imported(tree) if name.startswith(f"{NAME}.")}
    return names & TREES.keys()


def part(module: str) -> str:
    return module.partition(".")[0]


def test_every_part_has_its_line() -> None:
    parts = {part(name) for name in TREES if name}
    assert parts <= ALLOWED.keys(), "a new part of the package needs a line in ALLOWED"


@pytest.mark.parametrize("module", [name for name in TREES if name])
def test_imports_go_one_way(module: str) -> None:
    known = {part(name) for name in ours(TREES[module])} - {part(module)}
    assert known <= ALLOWED[part(module)], f"{module} must not import {known - ALLOWED[part(module)]}"


def test_the_rules_themselves_have_no_cycle() -> None:
    TopologicalSorter(ALLOWED).prepare()  # raises CycleError and names it


def test_modules_have_no_cycle() -> None:
    graph = {name: ours(without_typing(tree)) - {name} for name, tree in TREES.items()}
    graph = {
        name: {other for other in others if not name.startswith(f"{other}.")}
        for name, others in graph.items()
    }
    TopologicalSorter(graph).prepare()


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    assert not ours(without_typing(TREES[""]))


@pytest.mark.parametrize("module", [name for name in TREES if name not in TENSORFLOW])
def test_only_some_modules_name_tensorflow(module: str) -> None:
    assert not {name for name in imported(TREES[module]) if part(name).startswith("tensorflow")}


def test_light_modules_import_no_framework() -> None:
    imports = "\n".join(f"import {NAME}{name}" for name in LIGHT)
    code = f"{imports}\nimport sys; print(*{{'keras', 'tensorflow', 'jax', 'torch'}} & {{*sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert run.stdout == "\n"
    assert run.stderr == ""


def test_public_names_are_there_and_unknown_ones_are_not() -> None:
    assert set(samplecnn_zoo.__all__) <= set(dir(samplecnn_zoo))
    for name in samplecnn_zoo.__all__:
        assert getattr(samplecnn_zoo, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'SampleRNN'"):
        samplecnn_zoo.SampleRNN  # noqa: B018
