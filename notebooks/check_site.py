"""Check a built site: `python notebooks/check_site.py HTML_FOLDER [--pictures FOLDER]`.

Every internal link leads to a file and, where it names one, to an element; addresses of other hosts are well formed
and named by what they lead to; no page asks another host for anything. Then the pages are opened in a headless
Chromium, wide and 400 pixels narrow: no error on the console, nothing requested but files, no page wider than its
screen.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What a browser fetches by itself; an anchor is followed by the reader only.
FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
# A host with a dot in its name, and no character that an address must not hold.
OUTSIDE = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?(/[^\s<>\"{}|\\^`]*)?", re.IGNORECASE)
# The form that the DOI handbook gives: directory 10, registrant, suffix.
DOI = re.compile(r"10\.\d{4,9}/[^\s]+")
SAYS_NOTHING = {"", "here", "link", "this", "click here"}
WIDTHS = {"wide": 1280, "narrow": 400}
# The reference's pages are alike: some of them stand for all in the browser. Links are checked on every page.
SHOWN_OF_REFERENCE = ("index.html", "shiftfix.covariate.LogisticWeighter.html", "shiftfix.label.MLLS.html")


class Page(HTMLParser):
    """Links, fetched addresses and named elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.texts: list[str] = []  # of the links
        self._in_link = False
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        named = {name: value or "" for name, value in attrs}
        self.ids.update(named[key] for key in ("id", "name") if key in named)
        if tag == "a" and named.get("href"):
            self.links.append(named["href"])
            self.texts.append("")
            self._in_link = True
        if FETCHED.get(tag) in named and named.get("rel") != "canonical":
            self.fetched.append(named[FETCHED[tag]])

    def handle_data(self, data: str) -> None:
        """Called by the parser."""
        if self._in_link:
            self.texts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        """Called by the parser."""
        self._in_link = self._in_link and tag != "a"


@cache
def read_page(path: Path) -> Page:
    """A page, read once."""
    return Page(path.read_text(encoding="utf-8"))


def is_outside(address: str) -> bool:
    """Whether an address names another host or a scheme."""
    parts = urlsplit(address)
    return bool(parts.scheme or parts.netloc)


def outside_faults(address: str, text: str) -> Iterator[str]:
    """What is wrong with an address of another host, and with what the link to it is called."""
    if urlsplit(address).scheme not in ("http", "https"):
        return
    if not OUTSIDE.fullmatch(urldefrag(address)[0]):
        yield f"not the address of a page: {address}"
    if urlsplit(address).netloc.endswith("doi.org") and not DOI.fullmatch(urlsplit(address).path.lstrip("/")):
        yield f"no DOI: {address}"
    said = text.strip().rstrip("/")
    if said.lower() in SAYS_NOTHING:
        yield f"a link to {address} is called {said!r}"
    if said.startswith(("http://", "https://", "www.")) and said.split("://")[-1] not in address:
        yield f"a link to {address} is called {said}"


def faults_of(path: Path, root: Path) -> Iterator[str]:
    """What is wrong with the links of a page."""
    page = read_page(path)
    for address in page.fetched:
        if is_outside(address) and not address.startswith("data:"):
            yield f"asks another host: {address}"
    for address, text in zip(page.links, page.texts, strict=True):
        yield from outside_faults(address, text)
    for address in page.links + page.fetched:
        if is_outside(address):
            continue
        where, anchor = urldefrag(unquote(address))
        target = (path.parent / where.split("?")[0]).resolve() if where else path
        if target.is_dir():
            target = target / "index.html"
        if not target.is_file() or root not in target.parents:
            yield f"leads nowhere: {address}"
        elif anchor and target.suffix == ".html" and anchor not in read_page(target).ids:
            yield f"leads to no element: {address}"


def check_links(root: Path) -> list[str]:
    """Faults of all pages, and how much was checked on standard output."""
    pages = [path for path in sorted(root.rglob("*.html")) if "_static" not in path.parts]
    found = [f"{page.relative_to(root)} {fault}" for page in pages for fault in faults_of(page, root)]
    print(f"{len(pages)} pages, {sum(len(read_page(page).links) for page in pages)} links")
    return found


def shown_pages(root: Path) -> list[Path]:
    """The pages that are opened in the browser."""
    skipped = {"api", "_modules", "_static", "backreferences"}
    pages = [path for path in sorted(root.rglob("*.html")) if not skipped & set(path.relative_to(root).parts)]
    return pages + [root / "api" / name for name in SHOWN_OF_REFERENCE]


def open_page(browser: object, path: Path, root: Path, width: int, scheme: str, picture: Path | None) -> list[str]:
    """Faults of one page on one screen."""
    found: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    tab.on("console", lambda told: found.append(f"console: {told.text}") if told.type == "error" else None)
    tab.on("pageerror", lambda error: found.append(f"error: {error}"))
    tab.on("request", lambda asked: found.append(f"asks {asked.url}") if asked.url.startswith("http") else None)
    tab.goto(path.as_uri())
    wide = tab.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        found.append(f"{wide} pixels wide")
    if picture:
        tab.screenshot(path=picture)
    context.close()
    return [f"{path.relative_to(root)} at {width} pixels: {fault}" for fault in found]


def check_in_browser(root: Path, executable: str, pictures: Path | None) -> list[str]:
    """Faults of the shown pages on wide and narrow screens, light and dark."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for path in shown_pages(root):
            for name, width in WIDTHS.items():
                scheme = "dark" if name == "narrow" else "light"
                stem = "-".join(path.relative_to(root).with_suffix("").parts)
                target = pictures / f"{stem}-{name}-{scheme}.png" if pictures else None
                found += open_page(browser, path, root, width, scheme, target)
        browser.close()
    print(f"{len(shown_pages(root))} pages opened, {len(WIDTHS)} screens each")
    return found


def main() -> int:
    """The command line: 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("html", type=Path)
    parser.add_argument("--pictures", type=Path, help="keep a picture of every page opened")
    parser.add_argument("--links-only", action="store_true", help="open no browser")
    asked = parser.parse_args()
    root = asked.html.resolve()
    found = check_links(root)
    if not asked.links_only:
        executable = next(filter(None, map(shutil.which, BROWSERS)), None)
        if executable is None:
            print(f"No browser: install one of {', '.join(BROWSERS)}, or pass --links-only.", file=sys.stderr)
            return 2
        if asked.pictures:
            asked.pictures.mkdir(parents=True, exist_ok=True)
        found += check_in_browser(root, executable, asked.pictures)
    print("\n".join(found) if found else "nothing wrong")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
