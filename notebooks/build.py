"""Build the site: `python notebooks/build.py FOLDER`.

Copies this folder to FOLDER/source, runs the notebooks there, one a core, writes the reference pages, and has Sphinx
make FOLDER/html with warnings as errors. Nothing is written beside the sources.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import api_pages

HERE = Path(__file__).parent
ROOT = HERE.parent
# Pages that live elsewhere in the repository.
BORROWED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "datasets/README.md": "datasets.md"}


def copy_sources(source: Path) -> None:
    """A fresh copy of this folder and of the borrowed pages."""
    if source.exists():
        shutil.rmtree(source)
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for page, name in BORROWED.items():
        shutil.copyfile(ROOT / page, source / name)


def execute(notebook: Path, source: Path) -> float:
    """Run a notebook where it lies and store the result in the copy; the seconds it took."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "jupyter", "execute", "--timeout=600", notebook.name]
    done = subprocess.run(
        [*command, f"--output={(source / notebook.name).resolve()}"],
        cwd=HERE,
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": "1"} | os.environ,  # one a core: more threads would only wait for each other
    )
    if done.returncode:
        raise SystemExit(f"{notebook.name} fails:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def execute_all(source: Path, jobs: int) -> None:
    """Run every notebook, so many at a time."""
    notebooks = sorted(HERE.glob("*.ipynb"))
    with ThreadPoolExecutor(jobs) as pool:
        for notebook, seconds in zip(notebooks, pool.map(lambda path: execute(path, source), notebooks), strict=True):
            print(f"  {notebook.name}: {seconds:.0f} s", flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the site goes; html/index.html is its start")
    parser.add_argument("--stored", action="store_true", help="show the notebooks as committed instead of running them")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="notebooks, and pages, at a time; one a core"
    )
    parser.add_argument("--linkcheck", action="store_true", help="ask every address on the pages; needs a network")
    return parser.parse_args()


def main() -> int:
    """Build, and tell how long each part took; Sphinx's exit code."""
    asked = parse()
    source, html = asked.folder / "source", asked.folder / "html"
    start = time.perf_counter()
    copy_sources(source)
    if not asked.stored:
        execute_all(source, asked.jobs)
        print(f"notebooks: {time.perf_counter() - start:.0f} s", flush=True)
    start = time.perf_counter()
    print(f"{api_pages.write_pages(source / 'api')} public names", flush=True)
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", str(asked.jobs)]
    if asked.linkcheck:
        return subprocess.run([*sphinx, "-b", "linkcheck", source, asked.folder / "linkcheck"]).returncode
    if html.exists():
        shutil.rmtree(html)
    code = subprocess.run([*sphinx, "-d", asked.folder / "doctrees", source, html]).returncode
    print(f"pages: {time.perf_counter() - start:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
