"""The limits of the package's structure, and that the project's files agree with one another."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.measure_structure import (
    LARGEST_FILE,
    ROOT,
    argument_annotations,
    complexities,
    mean_complexity,
    package_files,
)

FILES = package_files(ROOT)
LARGEST_COMPLEXITY = 15
NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}  # private by name only


TOP_LEVEL = {
    "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "README.md", "constraints.txt", "datasets",
    "notebooks", "pyproject.toml", "shiftfix", "tests",
}  # fmt: skip


def test_nothing_else_lies_at_the_top():
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout of git: what is tracked is not known")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    top = {path.split("/")[0] for path in tracked.split("\0") if path}
    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL


def test_no_file_is_too_long():
    sizes = {name: len(text.splitlines()) for name, text in FILES.items()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE} == {}


@pytest.mark.slow
def test_no_function_is_too_complex():
    found = {f"{name}: {f}": value for name, text in FILES.items() for f, value in complexities(text)}
    assert {f: value for f, value in found.items() if value > LARGEST_COMPLEXITY} == {}


@pytest.mark.slow
def test_most_functions_are_simple():
    assert mean_complexity(FILES.values()) <= 3.0


def test_public_arguments_are_annotated():
    annotated = argument_annotations()
    missing = [argument for argument, there in annotated.items() if not there]
    assert len(annotated) > 300
    assert len(missing) <= 0.1 * len(annotated), missing


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def folder_of(module):
    """Folder of a module below ``shiftfix``: "label" of shiftfix.label._mlls, "" of shiftfix._validation."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and any(name.startswith(f"{parts[1]}/") for name in FILES) else ""


def imports(tree, package):
    """Every module or name that is imported, in full, and the name it is bound to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{module}.{alias.name}", alias.asname or alias.name


def private_parts_used(name, text):
    """Imports and attributes in a file that are private to another folder of the package."""
    package = ".".join(["shiftfix", *Path(name).parts[:-1]])
    here, tree = folder_of(f"{package}._"), ast.parse(text)
    foreign = set()
    for full, bound in imports(tree, package):
        if full.split(".")[0] != "shiftfix" or (folder_of(full) == here != ""):
            continue
        # A file at the top, such as shiftfix._validation, is shared; what is private in it is not.
        own = full.split(".")[2:]
        if any(map(is_private, own)):
            yield f"import {full}"
        foreign.add(bound)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in NAMED_TUPLE:
            owner = ast.unparse(node.value)
            if owner in foreign and not (owner == "shiftfix" and f"{node.attr}.py" in FILES):
                yield f"{owner}.{node.attr}"


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("label/_a.py", "from shiftfix.label._b import _c", []),
        ("label/_a.py", "from shiftfix.weights import clip_weights", []),
        ("label/_a.py", "from shiftfix import _validation\n_validation.check_matrix", []),
        ("label/_a.py", "from shiftfix._validation import check_matrix", []),
        ("label/_a.py", "from shiftfix._validation import _is_missing", ["import shiftfix._validation._is_missing"]),
        ("label/_a.py", "from shiftfix.weights._b import c", ["import shiftfix.weights._b.c"]),
        ("label/_a.py", "def f():\n    from shiftfix.weights import _b", ["import shiftfix.weights._b"]),
        ("label/_a.py", "import shiftfix.weights._b as b", ["import shiftfix.weights._b"]),
        ("label/_a.py", "from ..weights import _b", ["import shiftfix.weights._b"]),
        ("label/_a.py", "from ._b import _c", []),
        ("label/_a.py", "from shiftfix import weights as w\nw._b", ["w._b"]),
        ("label/_a.py", "from shiftfix.weights import Summary\nSummary._b, Summary._fields, self._c", ["Summary._b"]),
        ("mlp/_deep/_a.py", "from shiftfix.mlp._b import _c", []),
        ("_kernels.py", "from shiftfix.label._b import c", ["import shiftfix.label._b.c"]),
    ],
)
def test_what_counts_as_private(name, text, found):
    assert list(private_parts_used(name, text)) == found


@pytest.mark.slow
def test_private_names_stay_in_their_folder():
    found = {name: list(private_parts_used(name, text)) for name, text in FILES.items()}
    assert {name: parts for name, parts in found.items() if parts} == {}


@pytest.mark.slow
def test_a_function_or_class_has_a_name_of_its_own():
    """One name, one meaning: none stands at the top level of two files."""
    places = {}
    for name, text in FILES.items():
        for found in {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}:
            if not found.startswith("__"):
                places.setdefault(found, []).append(name)
    assert {found: files for found, files in places.items() if len(files) > 1} == {}


@pytest.mark.slow
def test_docstrings_are_written_out():
    """Nothing is assigned to ``__doc__``: what help() shows is what stands in the file."""
    found = [
        f"{name}:{node.lineno}"
        for name, text in FILES.items()
        for node in ast.walk(ast.parse(text))
        for target in getattr(node, "targets", [getattr(node, "target", None)])
        if target is not None and ast.unparse(target).endswith("__doc__")
    ]
    assert found == []


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(requirement):
    """The normalized name of a requirement."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_every_requirement_of_the_tests_has_an_exact_version():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line) for line in lines if "==" in line}
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *extras["cli"], *extras["plots"], *extras["tests"]]
    assert {normal(requirement) for requirement in needed} - {"shiftfix"} <= pinned


def test_the_hooks_run_the_tools_of_the_environment_as_ci_does():
    """No second list of versions: a hook has none, and what it runs is one of the commands of .ci/run."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    entries = re.findall(r"entry: (.*?)(?: --force-exclude)?$", hooks, flags=re.MULTILINE)
    assert {"ruff format", "ruff check", "mypy"} <= set(entries)
    assert all(any(command.startswith(entry) for command in commands) for entry in entries)
    assert hooks.count("language: system") == len(entries)
    assert "rev:" not in hooks


def test_every_python_version_claimed_is_tested():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    tested = re.findall(r'"(3\.\d+)"', re.search(r"python: (\[.*\])", workflow)[1])
    claimed = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert tested == claimed
    assert PROJECT["requires-python"] == f">={claimed[0]}"
    assert ".ci/run" in workflow


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    for key in ("version", "license"):
        assert re.search(rf"^{key}: (.*)$", citation, flags=re.MULTILINE)[1] == PROJECT[key]
    assert PROJECT["description"] in citation
