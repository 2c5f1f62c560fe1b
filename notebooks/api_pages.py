"""Pages of the reference: one for each public name, and their list.

A page holds the docstring, and ahead of it the equation and the papers that stand in ``reference.toml``.
"""

import importlib
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import shiftfix

HERE = Path(__file__).parent
PACKAGE = Path(shiftfix.__file__).parent
ROOT_NAMES = ("load_model", "save_model")


def public_modules() -> list[str]:
    """Folders of the package that hold public names, and ``exceptions``."""
    return [name for name in shiftfix.__all__ if inspect.ismodule(getattr(shiftfix, name))]


def names_of(module: ModuleType) -> list[str]:
    """Public names of a folder, in the order of the alphabet; of a file without ``__all__``, its own classes."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        listed = [
            name
            for name, thing in vars(module).items()
            if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__
        ]
    return sorted(listed, key=str.lower)


def public_names() -> Iterator[tuple[str, str, Any]]:
    """Module, name and object of everything public."""
    for name in ROOT_NAMES:
        yield "shiftfix", name, getattr(shiftfix, name)
    for folder in public_modules():
        module = importlib.import_module(f"shiftfix.{folder}")
        for name in names_of(module):
            yield module.__name__, name, getattr(module, name)


def first_sentence(thing: Any) -> str:
    """What a thing does, in one line."""
    lines = (inspect.getdoc(thing) or "").split("\n\n")[0].split("\n")
    return " ".join(line.strip() for line in lines)


def methods_of(cls: type) -> list[str]:
    """Documented methods and properties that the package itself defines for a class; scikit-learn's are left out."""
    found: dict[str, None] = {}
    for base in cls.__mro__:
        if base.__module__.split(".")[0] != "shiftfix":
            continue
        for name, thing in vars(base).items():
            inner = getattr(thing, "__func__", getattr(thing, "fget", thing))
            if not name.startswith("_") and inspect.isfunction(inner) and inspect.getdoc(inner):
                found.setdefault(name)
    return sorted(found)


def defining_file(thing: Any) -> Path | None:
    """The file that defines a thing, below the repository; None for what has no file."""
    found = inspect.getsourcefile(inspect.unwrap(thing))
    return Path(found).relative_to(PACKAGE.parent) if found else None


def head_of(thing: Any) -> str:
    """What stands at the head of the defining file, folded up: formulas, assumptions and papers in full."""
    path = defining_file(thing)
    text = inspect.getdoc(inspect.getmodule(inspect.unwrap(thing)))
    if path is None or not text or "Source" not in text:
        return ""
    body = "".join(f"      {line}".rstrip() + "\n" for line in text.splitlines())
    return f".. dropdown:: At the head of {path}: formulas, assumptions, papers\n\n   .. code-block:: text\n\n{body}"


def origin(facts: dict[str, Any]) -> str:
    """The equation and the papers, as a section; empty where there are none."""
    parts = []
    if equation := facts.get("equation"):
        parts.append(".. math::\n\n" + "".join(f"   {line}\n" for line in equation.strip().splitlines()))
    if where := facts.get("where"):
        parts.append(where.strip() + "\n")
    if cited := facts.get("cite"):
        parts.append("Source: " + "; ".join(f":cite:t:`{key}`" for key in cited) + ".\n")
    return "\n".join(parts)


def page(module: str, name: str, thing: Any, facts: dict[str, Any]) -> str:
    """One page, as reStructuredText."""
    lines = [f"{module}.{name}", "=" * len(f"{module}.{name}"), "", f".. currentmodule:: {module}", ""]
    if block := origin(facts):
        lines += [".. rubric:: Equation and source" if "equation" in facts else ".. rubric:: Source", "", block]
    if inspect.isclass(thing):
        lines += [f".. autoclass:: {name}", ""]
        if methods := methods_of(thing):
            lines += [".. rubric:: Methods", ""]
            for method in methods:
                kind = "autoproperty" if isinstance(inspect.getattr_static(thing, method), property) else "automethod"
                lines += [f".. {kind}:: {name}.{method}", ""]
    else:
        lines += [f".. autofunction:: {name}", ""]
    if head := head_of(thing):
        lines += [head, ""]
    lines += [".. minigallery:: " + f"{module}.{name}", "   :add-heading: Examples with a picture", ""]
    return "\n".join(lines)


def folder_page(module: str, names: list[tuple[str, Any]]) -> str:
    """The page of a folder: what it is for, and its names."""
    lines = [module, "=" * len(module), "", f".. module:: {module}", ""]
    lines += [first_sentence(importlib.import_module(module)), "", ".. list-table::", "   :widths: 35 65", ""]
    for name, thing in names:
        lines += [f"   * - :doc:`{name} <{module}.{name}>`", f"     - {first_sentence(thing)}"]
    lines += ["", ".. toctree::", "   :hidden:", ""]
    return "\n".join(lines + [f"   {name} <{module}.{name}>" for name, _ in names]) + "\n"


def write_pages(folder: Path) -> int:
    """Write a page for each public name, one for each folder of the package, and their list; the number of names."""
    folder.mkdir(parents=True, exist_ok=True)
    reference = tomllib.loads((HERE / "reference.toml").read_text(encoding="utf-8"))
    modules: dict[str, list[tuple[str, Any]]] = {}
    for module, name, thing in public_names():
        modules.setdefault(module, []).append((name, thing))
        facts = reference.get(f"{module}.{name}".removeprefix("shiftfix."), {})
        (folder / f"{module}.{name}.rst").write_text(page(module, name, thing, facts), encoding="utf-8")
    for module, names in modules.items():
        (folder / f"{module}.rst").write_text(folder_page(module, names), encoding="utf-8")
    listing = [
        "Reference",
        "=========",
        "",
        "Every public name has a page.",
        "",
        ".. list-table::",
        "   :widths: 25 75",
        "",
    ]
    for module, names in modules.items():
        linked = ", ".join(f":doc:`{name} <{module}.{name}>`" for name, _ in names)
        listing += [f"   * - :doc:`{module}`", f"     - {linked}"]
    listing += ["", ".. toctree::", "   :hidden:", "", *(f"   {module}" for module in modules)]
    (folder / "index.rst").write_text("\n".join(listing) + "\n", encoding="utf-8")
    return sum(len(names) for names in modules.values())
