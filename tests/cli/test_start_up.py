"""What is asked for without data is answered before anything heavy is imported; tests/benchmarks has the times.

Numpy reads files, and is imported before they are looked for; without files there is no need of it.
"""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "pandas", "sklearn", "scipy", "matplotlib", "pyarrow", "jinja2")
# What the command line has imported when it ends.
ASKED = """
import json, sys
from shiftfix.cli import main
sys.argv = ["shiftfix", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code or 0, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
ABSENT = ["no source.csv", "no target.csv"]
CASES = {
    "help": (["--help"], 0),
    "version": (["--version"], 0),
    "help of a command": (["correct", "--help"], 0),
    "unknown command": (["repair"], 2),
    "schema": (["schema"], 0),
    "no files to diagnose": (["diagnose", *ABSENT, "--label", "y"], 3),
    "no files to correct": (["correct", *ABSENT, "--label", "y", "--out", "out"], 3),
    "one file to correct": (["correct", "there.csv", "absent.csv", "--label", "y", "--out", "out"], 3),
    "no files to weigh": (["weigh", *ABSENT, "--out", "out"], 3),
    "no rows to predict": (["predict", "model.skops", "rows.csv"], 3),
    "no results to report": (["report", "out"], 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_nothing_heavy_is_imported(tmp_path, case):
    arguments, code = CASES[case]
    (tmp_path / "there.csv").write_text("x,y\n1,a\n2,b\n")
    found = subprocess.run(
        [sys.executable, "-c", ASKED, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    ended, modules = json.loads(found.stdout.splitlines()[-1])
    assert ended == code, found.stderr
    assert set(HEAVY) & set(modules) == set()
    assert "numpy" not in modules or code == 3
    assert "shiftfix" in modules
