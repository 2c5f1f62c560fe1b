"""The site's pages: their code runs, prints what they say, and their numbers are those measured."""

import contextlib
import inspect
import io
import json
import re
import runpy
import tomllib
import warnings
from pathlib import Path

import matplotlib
import pytest
import torch

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
PAGES = sorted(FOLDER.glob("*.md"))
PYTHON = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", flags=re.DOTALL)
RUN = [page for page in PAGES if PYTHON.search(page.read_text(encoding="utf-8"))]
NUMBER = r"\d+\.\d+"


def printed_by(code, names):
    """Standard output of a block that goes on where those before it on the page ended; warnings are no errors."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, "page", "exec"), names)
    return printed.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_every_block_of_python_runs_and_prints_what_the_page_says(page, monkeypatch):
    """From the top of the page down, in the folder of the repository; numbers within .03, as in the README."""
    monkeypatch.chdir(ROOT)
    matplotlib.use("agg")
    names = {"__name__": "__main__"}
    with torch.random.fork_rng():  # a module of the reader's own starts from torch's global generator
        for code, told in PYTHON.findall(page.read_text(encoding="utf-8")):
            found = printed_by(code, names)
            if told:
                assert re.sub(NUMBER, "#", found) == re.sub(NUMBER, "#", told)
                pairs = zip(re.findall(NUMBER, found), re.findall(NUMBER, told), strict=True)
                assert [float(now) for now, _ in pairs] == pytest.approx(
                    [float(then) for then in re.findall(NUMBER, told)], abs=0.03
                )


def test_the_pages_hold_the_snippets():
    """In Python's one script covers every folder that a user begins with."""
    assert {"start", "in_python"} <= {page.stem for page in RUN}
    text = (FOLDER / "in_python.md").read_text(encoding="utf-8")
    for folder in ("conformal", "corrected", "covariate", "detect", "label", "mlp", "risk", "simulate"):
        assert f"from shiftfix.{folder} import" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_within_the_folder_lead_somewhere(page):
    """Pages of the reference are made when the site is built; they are checked then."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("api/"):
            assert (FOLDER / target).exists() or target == "contributing.md", target


def measured():
    """Seconds and megabytes as the page on costs gives them, by file and case."""
    for line in (FOLDER / "cost.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            yield cells[0].strip("`"), cells[1], float(cells[2]), float(cells[3])


def test_costs_are_those_measured():
    rows = list(measured())
    assert len(rows) >= 15
    for name, case, seconds, megabytes in rows:
        found = json.loads((ROOT / f"tests/benchmarks/results/{name}.json").read_text())["cases"][case]
        assert seconds == pytest.approx(found["seconds"], rel=0.006)
        assert megabytes == pytest.approx(found["extra_mb"], rel=0.006)


def test_every_public_name_has_a_page_with_a_source_or_a_neighbour():
    """What `build.py` writes: names of the reference exist, papers are in the bibliography, and nobody stands alone."""
    found = runpy.run_path(str(FOLDER / "api_pages.py"))["public_names"]()
    names = {f"{module}.{name}".removeprefix("shiftfix."): thing for module, name, thing in found}
    assert len(names) > 150
    reference = tomllib.loads((FOLDER / "reference.toml").read_text(encoding="utf-8"))
    assert set(reference) <= set(names)
    keys = set(re.findall(r"@\w+\{(\w+),", (FOLDER / "references.bib").read_text(encoding="utf-8")))
    assert {key for facts in reference.values() for key in facts.get("cite", [])} <= keys
    alone = [name for name, thing in names.items() if "See Also" not in inspect.getdoc(thing)]
    assert alone == ["weights.WeightSummary"]  # its file has no room; the docstring names summarize_weights


def test_the_comparison_is_what_the_packages_answered(monkeypatch):
    """Every cell of the page stands in the stored answers: the page is written from them."""
    folder = ROOT / "tests/benchmarks/comparison"
    monkeypatch.syspath_prepend(str(folder))
    made = runpy.run_path(str(folder / "page.py"))["page"]()
    assert made == (FOLDER / "comparison.md").read_text(encoding="utf-8")
    assert len(list((ROOT / "tests/benchmarks/results/comparison").glob("*.json"))) == 8


def test_the_tree_is_what_its_script_draws():
    drawn = runpy.run_path(str(FOLDER / "pictures/decision_tree.py"))
    for name, draw in (("decision_tree", "wide_tree"), ("decision_tree_narrow", "narrow_tree")):
        assert drawn[draw]() == (FOLDER / f"pictures/{name}.svg").read_text(encoding="utf-8")
    links = {link for *_, link in drawn["TREE"]} | {drawn["LAST"][1]}
    api_pages = runpy.run_path(str(FOLDER / "api_pages.py"))
    pages = {f"api/{module}.{name}.html" for module, name, _ in api_pages["public_names"]()} | {"limits.html"}
    assert links <= pages


def test_the_check_of_the_site_finds_what_is_wrong(tmp_path):
    """Links to nowhere, to no element and out of the site, and pages that ask another host; and nothing else."""
    (tmp_path / "a.html").write_text('<h1 id="top">a</h1><a href="b.html#there">b</a> <a href="https://c.d">c</a>')
    (tmp_path / "b.html").write_text(
        '<p id="there">b</p><a href="a.html#nothing">a</a><a href="e.html">e</a><a href="../f.html">f</a>'
        '<img src="https://g.h/i.png"><a href="#there">here</a>'
    )
    (tmp_path.parent / "f.html").write_text("outside")
    found = runpy.run_path(str(FOLDER / "check_site.py"))["check_links"](tmp_path)
    assert sorted(found) == [
        "b.html asks another host: https://g.h/i.png",
        "b.html leads nowhere: ../f.html",
        "b.html leads nowhere: e.html",
        "b.html leads to no element: a.html#nothing",
    ]


def test_addresses_of_other_hosts_are_well_formed_and_called_by_what_they_are(tmp_path):
    """An address that cannot be, a DOI that is none, a link that says nothing, and one that says another address."""
    (tmp_path / "a.html").write_text(
        '<a href="https://doi.org/10.1214/09-STS313">Stuart <i>2010</i></a> <a href="mailto:a@b.c">a</a>'
        '<a href="https://a.org/b#c">https://a.org/b</a> <a href="https://artowen/mc">Owen</a>'
        '<a href="http://a.org/">plain</a> <a href="https://a.org/b c">b</a> <a href="https://doi.org/1214/09">d</a>'
        '<a href="https://a.org/e">here</a> <a href="https://a.org/f">https://b.org/f</a>'
    )
    found = runpy.run_path(str(FOLDER / "check_site.py"))["check_links"](tmp_path)
    assert sorted(found) == [
        "a.html a link to https://a.org/e is called 'here'",
        "a.html a link to https://a.org/f is called https://b.org/f",
        "a.html no DOI: https://doi.org/1214/09",
        "a.html not the address of a page: http://a.org/",
        "a.html not the address of a page: https://a.org/b c",
        "a.html not the address of a page: https://artowen/mc",
    ]
