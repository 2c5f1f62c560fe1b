"""The README's commands are there for CI to run, and its example prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
NUMBER = r"\d+\.\d+"


@pytest.mark.parametrize("ending", ["shiftfix demo", "pytest"])
def test_there_is_one_command_for_each_job(ending):
    assert len(re.findall(rf"^.*&& {ending}$", README, flags=re.MULTILINE)) == 1


@pytest.mark.slow
def test_the_example_prints_its_output():
    """The same words, and numbers within .03: another processor may round a row to another class."""
    code, printed = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, flags=re.DOTALL).groups()
    assert len(code.strip().splitlines()) <= 11
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.sub(NUMBER, "#", found) == re.sub(NUMBER, "#", printed)
    for now, then in zip(re.findall(NUMBER, found), re.findall(NUMBER, printed), strict=True):
        assert float(now) == pytest.approx(float(then), abs=0.03)


@pytest.mark.slow
def test_the_snippets_run_as_they_stand():
    code = [
        block for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "LogisticWeighter" in block
    ]
    assert len(code) == 1
    subprocess.run([sys.executable, "-c", code[0]], check=True, capture_output=True)


def test_the_opening_fits_one_screen():
    opening = README.split("\n## ")[0]
    assert len(opening.splitlines()) <= 50


def test_every_linked_file_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
