"""The README's commands are there for CI to run, and its example prints what it says."""

import contextlib
import io
import re
import runpy
import warnings
from pathlib import Path

import pytest
import torch

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
NUMBER = r"\d+\.\d+"


def printed_by(code):
    """Standard output of code with nothing but its own imports; warnings are no errors, as in a shell.

    A module of the reader's own starts from torch's global generator.
    """
    with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


@pytest.mark.parametrize("ending", ["shiftfix demo", "pytest"])
def test_there_is_one_command_for_each_job(ending):
    assert len(re.findall(rf"^.*&& {ending}$", README, flags=re.MULTILINE)) == 1


@pytest.mark.slow
def test_the_example_prints_its_output():
    """The same words, and numbers within .03: another processor may round a row to another class."""
    code, printed = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, flags=re.DOTALL).groups()
    assert len(code.strip().splitlines()) <= 11
    found = printed_by(code)
    assert re.sub(NUMBER, "#", found) == re.sub(NUMBER, "#", printed)
    for now, then in zip(re.findall(NUMBER, found), re.findall(NUMBER, printed), strict=True):
        assert float(now) == pytest.approx(float(then), abs=0.03)


def test_the_opening_fits_one_screen():
    opening = README.split("\n## ")[0]
    assert len(opening.splitlines()) <= 50
    assert len(README.splitlines()) <= 120


def test_every_linked_file_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target


def test_a_registry_gets_absolute_links_once_there_is_an_address():
    """Links to files, pictures to the raw file; addresses and anchors stay. Without an address nothing changes."""
    pytest.importorskip("hatchling")
    hook = runpy.run_path(str(Path(__file__).parents[1] / "notebooks/registry_readme.py"))
    given = "![a picture](b/c.png) and [d](e.md), [f](https://g.h/i), [j](#k)"
    told = hook["with_address"](given, "https://l.m/n/")
    assert told == (
        "![a picture](https://l.m/n/raw/main/b/c.png) and [d](https://l.m/n/blob/main/e.md), "
        "[f](https://g.h/i), [j](#k)"
    )
    found = hook["with_address"](README, "https://l.m/n")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", found) == []
    for source, expected in ((None, README), ("https://l.m/n", found)):
        metadata = {"urls": {"Source": source}} if source else {}
        made = hook["RegistryReadme"](str(Path(__file__).parents[1]), {})
        made.update(metadata)
        assert metadata["readme"]["text"] == expected
