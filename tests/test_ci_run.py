"""`.ci/run` with stand-ins for what it runs: whatever fails, it fails, says what, and leaves nothing behind."""

import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / ".ci" / "run"
# What a stand-in prints before it ends as it is told.
STAND_IN = """#!/usr/bin/env bash
name=$(basename "$0")
case "$*" in *build.py*) name=build ;; *check_site.py*) name=check_site ;; esac
echo "ran $name $*"
[ "$name" != "${FAILS:-}" ]
"""
PARTS = ("shiftfix", "pytest", "ruff", "mypy", "lint-imports", "pip", "build", "check_site")


def run(tmp_path, fails="", readme="true && shiftfix demo\ntrue && pytest\n"):
    """The exit code and the output in a repository that holds no more than the script needs."""
    repository, tools = tmp_path / "repository", tmp_path / "tools"
    (repository / ".ci").mkdir(parents=True)
    (repository / ".ci" / "run").write_text(RUN.read_text(encoding="utf-8"), encoding="utf-8")
    (repository / "README.md").write_text(readme, encoding="utf-8")
    tools.mkdir()
    for name in ("shiftfix", "pytest", "ruff", "mypy", "lint-imports", "pip", "python", "chromium"):
        (tools / name).write_text(STAND_IN, encoding="utf-8")
        (tools / name).chmod(0o755)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    settings = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(temporary), "FAILS": fails}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(repository)]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    done = subprocess.run(
        ["bash", str(repository / ".ci" / "run")], capture_output=True, text=True, env=os.environ | settings
    )
    assert list(temporary.iterdir()) == []
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_it_runs_everything_and_passes(tmp_path):
    code, told = run(tmp_path)
    assert code == 0, told
    assert [part for part in PARTS if f"ran {part}" not in told] == []
    assert "ran ruff format --check ." in told
    assert "ran ruff check ." in told


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_what_fails_makes_it_fail(tmp_path, part):
    code, told = run(tmp_path, fails=part)
    assert code != 0
    assert "=== done" not in told


@pytest.mark.slow
def test_a_readme_without_the_command_makes_it_fail(tmp_path):
    """Nothing in place of the command would pass."""
    code, told = run(tmp_path, readme="true && shiftfix demo\n")
    assert code != 0
    assert "README.md has no command that ends in '&& pytest'" in told
