"""The guide as committed: run top to bottom, clean, and free of the machine it was run on."""

import ast
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# A slash that starts a word and is followed by a folder: "/tmp/x", "(/root/y", but not "hard / soft" or "q / p".
ABSOLUTE_PATH = re.compile(
    r"(?<![\w./~])(?:/(?:work|tmp|root|home|Users|usr|opt|var|mnt|etc|private)\b|[A-Za-z]:\\|~/)"
)
LARGEST_FILE = 1_000_000  # bytes

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path):
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def outputs(path):
    return [output for cell in code_cells(path) for output in cell["outputs"]]


def texts(path):
    """Every text a reader meets in an output: streams and the text forms of results."""
    for output in outputs(path):
        if output["output_type"] == "stream":
            yield "".join(output["text"])
        for kind, content in output.get("data", {}).items():
            if not kind.startswith("image/png"):
                yield "".join(content) if isinstance(content, list | str) else json.dumps(content)


def imported_modules(path):
    """Full names of what is imported, ``a.b.c`` for ``from a.b import c``."""
    for cell in code_cells(path):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.Import):
                yield from (name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{name.name}" for name in node.names)


def test_every_code_cell_ran_once_and_in_order(path):
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_errors_and_nothing_on_stderr(path):
    assert [output for output in outputs(path) if output["output_type"] == "error"] == []
    assert [output["text"] for output in outputs(path) if output.get("name") == "stderr"] == []


def test_no_output_tells_a_path_of_the_machine(path):
    assert [text for text in texts(path) if ABSOLUTE_PATH.search(text)] == []


def test_shows_at_least_one_picture(path):
    assert any("image/png" in output.get("data", {}) for output in outputs(path))


# Titles set by hand, and the pictures of ``display``, which have one by themselves.
TITLED = re.compile(r"title\(|title=|Display\.from_")


def cells_with_pictures(path):
    for cell in code_cells(path):
        if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            yield "".join(cell["source"])


def functions_that_set_titles(path):
    for source in map("".join, (cell["source"] for cell in code_cells(path))):
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and TITLED.search(ast.get_source_segment(source, node)):
                yield f"{node.name}("


def test_every_picture_has_a_title(path):
    drawing = tuple(functions_that_set_titles(path))
    untitled = [
        source
        for source in cells_with_pictures(path)
        if not TITLED.search(source) and not any(name in source for name in drawing)
    ]
    assert untitled == []


def test_no_legend_lies_on_the_data(path):
    legends = [call for source in cells_with_pictures(path) for call in re.findall(r"\.legend\(.*", source)]
    assert [call for call in legends if "outside" not in call and "bbox_to_anchor" not in call] == []


def test_metadata_hold_the_kernel_and_no_state(path):
    notebook = read(path)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    assert [cell["metadata"] for cell in notebook["cells"] if cell["metadata"]] == []


def test_code_is_plain_python(path):
    """No magics and no shell: the cells are what a script would hold."""
    for cell in code_cells(path):
        ast.parse("".join(cell["source"]))


def test_imports_only_the_public_modules(path):
    ours = [name for name in imported_modules(path) if name.split(".")[0] == "shiftfix"]
    assert ours
    assert [name for name in ours if any(part.startswith("_") for part in name.split("."))] == []


def test_every_import_is_used(path):
    trees = [ast.parse("".join(cell["source"])) for cell in code_cells(path)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    bound = {
        (name.asname or name.name).split(".")[0]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert bound - {node.id for node in nodes if isinstance(node, ast.Name)} == set()


def test_is_small(path):
    assert path.stat().st_size < LARGEST_FILE
