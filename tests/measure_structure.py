"""What the package looks like: sizes, complexity, repeated text and annotations, of one checkout or of two.

    python tests/measure_structure.py [OTHER_CHECKOUT] [--cpu SECONDS [SECONDS ...]]

prints a Markdown table for the checkout that holds this file; with another checkout its column comes first, as the
state before. The limits that ``tests/test_structure.py`` holds are measured by the same functions.

How it is counted

lines
    Lines of every ``.py`` file below ``shiftfix/``, blank ones and comments too.
function lines
    Of every function and method, nested ones too. *Body*: from the first statement after the docstring to the end.
    *Whole*: from ``def`` to the end, signature and docstring included.
complexity
    Cyclomatic, by radon. The mean is that of ``radon cc -a``, over functions, methods and classes; the largest is that
    of a function or method.
repeated blocks
    Blank lines, comments, imports and docstrings are left out, and indentation is not compared. A block is an unbroken
    stretch of six or more such lines of a file that stand earlier too, in that file or in one before it: a passage that
    stands in two places counts once, in three twice.
annotated share
    Of all arguments but self and cls of the public functions, of the constructors of public classes, and of their
    public methods, inherited from the package or their own. Public is what ``__all__`` of a module without a leading
    underscore names. A function met twice counts once.
"""

import argparse
import ast
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

from radon.complexity import average_complexity, cc_visit

ROOT = Path(__file__).resolve().parents[1]
LARGEST_FILE = 450  # lines
LONG_FUNCTION = 40  # lines
BLOCK = 6  # lines


def package_files(root):
    """The package's files, as a dict of names such as ``label/_mlls.py`` to texts, sorted."""
    package = Path(root) / "shiftfix"
    return {str(path.relative_to(package)): path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}


def has_docstring(node):
    """Whether a module, class or function begins with a docstring."""
    return isinstance(node.body[0], ast.Expr) and isinstance(getattr(node.body[0].value, "value", None), str)


def function_lines(text):
    """Names, lines of the body and lines of the whole of every function."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = node.body[has_docstring(node) :]
            body = node.end_lineno - statements[0].lineno + 1 if statements else 0
            found.append((node.name, body, node.end_lineno - node.lineno + 1))
    return found


def complexities(text):
    """Names and cyclomatic complexities of every function and method."""
    blocks = cc_visit(text)
    return [(block.fullname, block.complexity) for block in blocks if block.letter in "FM"]


def mean_complexity(texts):
    return average_complexity([block for text in texts for block in cc_visit(text)])


def compared_lines(text):
    """Line numbers and stripped lines that are neither blank nor comments, imports or docstrings."""
    left_out = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, node.end_lineno + 1))
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and has_docstring(node):
            left_out.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if number not in left_out]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def repeated_blocks(files):
    """Names, first lines and lengths of the blocks that stand earlier too."""
    first_seen = {}
    blocks = []
    for name, text in files.items():
        lines = compared_lines(text)
        repeated = set()
        for start in range(len(lines) - BLOCK + 1):
            window = tuple(line for _, line in lines[start : start + BLOCK])
            where = first_seen.setdefault(window, (name, start))
            # A window that overlaps its own first place is a run of like lines, not a repeated passage.
            if where[0] != name or start - where[1] >= BLOCK:
                repeated.update(range(start, start + BLOCK))
        for start in sorted(repeated):
            if start - 1 in repeated:
                blocks[-1][2] += 1
            else:
                blocks.append([name, lines[start][0], 1])
    return [tuple(block) for block in blocks]


def public_names(module):
    """What a module offers: ``__all__``, or the public functions and classes that it defines."""
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]


def function_of(attribute):
    """The package's function behind a class attribute, or None."""
    for inner in ("__func__", "fget", "fn"):  # class and static methods, properties, available_if
        attribute = getattr(attribute, inner, attribute)
    attribute = inspect.unwrap(attribute) if callable(attribute) else attribute
    # A dataclass's constructor has no module of its own: it is told by its globals.
    ours = inspect.isfunction(attribute) and attribute.__globals__.get("__name__", "").startswith("shiftfix")
    return attribute if ours else None


def public_functions():
    """Every public function and method of the package that is imported, by its full name."""
    package = importlib.import_module("shiftfix")
    found = {}
    for info in pkgutil.iter_modules(package.__path__, "shiftfix."):
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        module = importlib.import_module(info.name)
        for name in public_names(module):
            thing = getattr(module, name)
            members = {"": thing}
            if inspect.isclass(thing):
                names = [member for member in dir(thing) if not member.startswith("_") or member == "__init__"]
                members = {f".{member}": inspect.getattr_static(thing, member) for member in names}
            for member, attribute in members.items():
                function = function_of(attribute)
                if function is not None and function not in found.values():
                    found[f"{info.name}.{name}{member}"] = function
    return found


def argument_annotations():
    """Full names of the public arguments, and whether each is annotated."""
    return {
        f"{name}({argument.name})": argument.annotation is not argument.empty
        for name, function in public_functions().items()
        for argument in inspect.signature(function).parameters.values()
        if argument.name not in ("self", "cls")
    }


def annotated_share(checkout):
    """Share of the annotated public arguments of a checkout, and their number, from a process of its own."""
    command = [sys.executable, __file__, "--arguments"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    annotated = json.loads(found.stdout)
    return sum(annotated.values()) / len(annotated), len(annotated)


def measure(root):
    """The rows of the table, as a dict of names to texts."""
    files = package_files(root)
    sizes = {name: len(text.splitlines()) for name, text in files.items()}
    functions = [(name, *lines) for name, text in files.items() for lines in function_lines(text)]
    complex_functions = [(value, f"{name}: {f}") for name, text in files.items() for f, value in complexities(text)]
    blocks = repeated_blocks(files)
    share, n_arguments = annotated_share(root)
    largest = max(sizes, key=sizes.get)
    most, where = max(complex_functions)
    return {
        "files": f"{len(files)}",
        "lines of the package": f"{sum(sizes.values()):,}",
        "largest file (lines)": f"{sizes[largest]:,} ({largest})",
        f"files above {LARGEST_FILE} lines": f"{sum(size > LARGEST_FILE for size in sizes.values())}",
        "functions and methods": f"{len(functions):,}",
        f"with a body above {LONG_FUNCTION} lines": f"{sum(body > LONG_FUNCTION for *_, body, _ in functions)}",
        f"above {LONG_FUNCTION} lines as a whole": f"{sum(whole > LONG_FUNCTION for *_, whole in functions)}",
        "mean cyclomatic complexity": f"{mean_complexity(files.values()):.2f}",
        "largest cyclomatic complexity": f"{most} ({where})",
        "functions of complexity above 15": f"{sum(value > 15 for value, _ in complex_functions)}",
        f"repeated blocks of {BLOCK} or more lines": f"{len(blocks)} ({sum(length for *_, length in blocks)} lines)",
        "annotated public arguments": f"{100 * share:.1f}% of {n_arguments:,}",
    }


def table(columns):
    """A Markdown table from a dict of headings to dicts of rows."""
    rows = [["", *columns], ["---", *["---:"] * len(columns)]]
    rows += [[name, *(column[name] for column in columns.values())] for name in next(iter(columns.values()))]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", nargs="?", type=Path, help="another checkout, for a column before")
    parser.add_argument("--cpu", nargs="+", type=float, help="CPU seconds of the suite, one number per checkout")
    parser.add_argument("--list", action="store_true", help="list the repeated blocks and long bodies too")
    parser.add_argument(
        "--arguments", action="store_true", help="print the arguments of the package on the path as JSON"
    )
    arguments = parser.parse_args()
    if arguments.arguments:
        sys.stdout.write(json.dumps(argument_annotations()))
        return
    roots = {"now": ROOT} if arguments.before is None else {"before": arguments.before.resolve(), "after": ROOT}
    columns = {heading: measure(root) for heading, root in roots.items()}
    if arguments.cpu is not None:
        for column, seconds in zip(columns.values(), arguments.cpu, strict=True):
            column["CPU seconds of the suite"] = f"{seconds:.0f}"
    sys.stdout.write(table(columns) + "\n")
    if arguments.list:
        files = package_files(ROOT)
        for name, first, length in repeated_blocks(files):
            sys.stdout.write(f"repeated: {name}:{first} ({length} lines)\n")
        for name, text in files.items():
            for function, body, _ in function_lines(text):
                if body > LONG_FUNCTION:
                    sys.stdout.write(f"long: {name}: {function} ({body} lines)\n")


if __name__ == "__main__":
    main()
