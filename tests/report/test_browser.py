"""The page in a real Chromium: silent, still, readable at every width and in the dark, and usable by keyboard.

With SHIFTFIX_PICTURES set to a folder, pictures of the pages are kept there.
"""

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from shiftfix.corrected import CovariateShiftClassifier
from shiftfix.report import shift_report
from tests.report.helpers import made_diagnosis
from tests.report.test_page import hostile_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, NARROW = {"width": 1200, "height": 900}, {"width": 400, "height": 800}
# Milliseconds that a machine may take for one step which is busy with everything else.
SLOWEST = 180_000
# What would be noise: best practices that are matters of taste are left to the eye.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium; tests are skipped with a reason where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no Chromium is found ({', '.join(BROWSERS)}): on Debian, apt-get install chromium")
    with api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield found
        found.close()


def modelled_report():
    """A page with every kind of picture: weights, columns of both kinds, before and after."""
    rng = np.random.default_rng(0)

    def draw(n, shift):
        X = pd.DataFrame(rng.normal([shift, 0], 1, (n, 2)), columns=["age", "pressure"])
        X["ward"] = rng.choice([0.0, 1.0, 2.0], n)
        return X, (X["age"] + rng.normal(size=n) > 0).to_numpy().astype(int)

    (X, y), (X_target, y_target) = draw(300, 0), draw(200, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CovariateShiftClassifier(LogisticRegression(), exponent=1.0).fit(X, y, X_target)
    return shift_report(model, X_source=X, y_source=y, X_target=X_target, y_target=y_target)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Address of each page."""
    folder = tmp_path_factory.mktemp("pages")
    reports = {
        "diagnosis": shift_report(made_diagnosis(correction="prior", classes=[f"class {i}" for i in range(30)])),
        "hostile": hostile_report(),
        "model": modelled_report(),
    }
    for name, report in reports.items():
        report.save(folder / f"{name}.html")
    notebook = f"<!doctype html><title>n</title><h1>Notebook</h1>{reports['model']._repr_html_()}<p id=after>after</p>"
    (folder / "notebook.html").write_text(notebook, encoding="utf-8")
    return {path.stem: path.as_uri() for path in folder.iterdir()}


@pytest.fixture
def opened(browser, pages):
    """Open a page; whatever it says or asks for, in two lists, is checked to be nothing in the end."""
    contexts, said, asked = [], [], []

    def open_page(name, viewport=WIDE, **options):
        context = browser.new_context(viewport=viewport, **options)
        context.set_default_timeout(SLOWEST)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name])
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [address for address in asked if address not in pages.values() and address != "data:,"] == []


def keep(page, name):
    """Keep a picture where that is asked for."""
    if folder := os.environ.get("SHIFTFIX_PICTURES"):
        page.screenshot(path=Path(folder) / f"report_{name}.png", full_page=True)


def widths(page):
    return page.evaluate("[document.documentElement.scrollWidth, innerWidth]")


@pytest.mark.parametrize("name", ["diagnosis", "hostile", "model"])
def test_nothing_is_cut_off_on_a_narrow_screen(opened, name):
    page = opened(name, NARROW)
    assert widths(page) == [400, 400]
    # What is wide scrolls in a box of its own: no element but those in such a box reaches beyond the screen.
    beyond = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('.box, pre') && !e.closest('svg')).map(e => e.outerHTML.slice(0, 80))"
    )
    assert beyond == []
    keep(page, f"{name}_400")


@pytest.mark.parametrize(
    ("name", "scheme"), [("diagnosis", "light"), ("model", "light"), ("model", "dark"), ("hostile", "dark")]
)
def test_contrast_names_and_structure(opened, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = opened(name, WIDE if scheme == "light" else NARROW, color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    found = axe.Axe().run(page, options=RULES).response
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found["violations"]] == []
    # That they were looked at: on a narrow screen there is something to scroll.
    looked_at = {"color-contrast"} | ({"scrollable-region-focusable"} if scheme == "dark" else set())
    assert looked_at <= {rule["id"] for rule in found["passes"]}
    keep(page, f"{name}_{scheme}")


def test_every_explanation_opens_and_closes_by_keyboard(opened):
    page = opened("diagnosis", NARROW)
    reached, opened_terms = set(), set()
    for _ in range(page.locator("a, button, summary, [tabindex='0']").count()):
        page.keyboard.press("Tab")
        target = page.evaluate("document.activeElement.getAttribute('popovertarget') || document.activeElement.tagName")
        reached.add(target)
        if target.startswith("term-") and target not in opened_terms:
            opened_terms.add(target)
            page.keyboard.press("Enter")
            box = page.locator(f"#{target}")
            assert box.is_visible()
            ends = box.bounding_box()
            assert ends["x"] >= 0
            assert ends["x"] + ends["width"] <= NARROW["width"]
            page.keyboard.press("Escape")
            assert not box.is_visible()
    assert {"A", "DIV", "PRE", "SUMMARY"} <= reached  # boxes that scroll, and code, can be scrolled by keyboard
    every = page.evaluate("[...document.querySelectorAll('button.term')].map(e => e.getAttribute('popovertarget'))")
    assert opened_terms == set(every)


def test_an_explanation_opens_by_touch(opened):
    page = opened("diagnosis", NARROW, has_touch=True)
    button = page.locator("button.term").first
    box = page.locator(f"#{button.get_attribute('popovertarget')}")
    assert not box.is_visible()
    button.tap()
    assert box.is_visible()


def test_a_frame_in_a_notebook_leaves_the_notebook_as_it_is(opened):
    page = opened("notebook")
    assert page.evaluate("getComputedStyle(document.getElementById('after')).fontFamily") == page.evaluate(
        "getComputedStyle(document.querySelector('h1')).fontFamily"
    )
    frame = page.frames[1]
    frame.locator("button.term").first.click()
    assert frame.locator("[popover]:popover-open").count() == 1
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('iframe').contentDocument") is None  # an origin of its own


def test_paper_has_everything_and_no_buttons(opened):
    page = opened("model", color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('a.see')).display") == "none"
    assert page.evaluate("getComputedStyle(document.querySelector('.box')).overflowX") == "visible"
    paper = page.pdf(format="A4", print_background=True)
    assert paper.startswith(b"%PDF")
    if folder := os.environ.get("SHIFTFIX_PICTURES"):
        (Path(folder) / "report_model.pdf").write_bytes(paper)
