"""Downloads that hang, lie, meet other things in their place, or die; and names that lead elsewhere."""

import contextlib
import errno
import http.server
import os
import subprocess
import sys
import threading
import time

import pytest

from shiftfix.datasets import _cards, _download, load, load_card, write_clinic
from shiftfix.datasets._files import read_role
from shiftfix.exceptions import ChecksumError, DatasetNotFoundError, ShiftDataError
from tests.datasets.test_files import CONTENT, card_of, entry_of

UNSAFE = [
    "../../evil",
    "..",
    ".",
    "",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:evil",
    "nul\0byte",
    "line\nbreak",
    ".hidden",
    "dot.",
    "space ",
    "NUL",
    "con.txt",
    "com1",
    "x" * 101,
    "é",
    None,
    7,
    ["a"],
]


@pytest.fixture(autouse=True)
def homes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SHIFTFIX_DATA", raising=False)
    return tmp_path / "cache" / "shiftfix" / "toy"


@pytest.fixture
def origin(tmp_path):
    path = tmp_path / "origin.txt"
    path.write_bytes(CONTENT)
    return path.as_uri()


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", UNSAFE, ids=repr)
@pytest.mark.parametrize("place", ["card", "file"])
def test_no_name_leads_out_of_its_folder(tmp_path, origin, name, place):
    entry = entry_of(CONTENT, "table.txt" if place == "card" else name, url=origin)
    card = {**card_of(entry), "name": name if place == "card" else "toy"}
    before = everything_in(tmp_path)
    with pytest.raises(ShiftDataError, match="letters, digits"):
        read_role(card, "table", download=True)
    assert everything_in(tmp_path) == before


CARD = """
name = "toy"
title = "t"
licence = "l"
source = "s"
shift = "s"
assumption = "label"
rows = 1
features = 1
traps = ["t"]
[[files]]
role = "table"
name = "table.txt"
bytes = 5
sha256 = "{}"
url = "https://example.invalid/table.txt"
""".format("0" * 64)


def test_a_good_card_is_read_and_needs_a_loader(tmp_path, monkeypatch):
    (tmp_path / "toy.toml").write_text(CARD)
    monkeypatch.setattr(_cards, "cards_folder", lambda: tmp_path)
    assert load_card("toy")["files"][0]["bytes"] == 5
    with pytest.raises(ShiftDataError, match="no loader"):
        load("toy")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "toy"', 'name = "../../evil"', "calls itself"),
        ('name = "table.txt"', 'name = "../../evil"', "letters, digits"),
        ("bytes = 5", "bytes = -5", "whole number"),
        ("bytes = 5", "bytes = true", "whole number"),
        ("0" * 64, "0" * 63, "64 hexadecimal"),
        ("https://", "ftp://", "https://"),
        ('role = "table"', "role = 1", "a word"),
        ("rows = 1\n", "", "lacks the keys"),
        ("rows = 1", "rows = 1\nrow = 1", "unknown"),
        ("[[files]]", "[files]", "one table per file"),
        ("rows = 1", "rows = ", "cannot be read"),
    ],
)
def test_a_bad_card_is_refused_as_one(tmp_path, monkeypatch, old, new, message):
    assert old in CARD
    (tmp_path / "toy.toml").write_text(CARD.replace(old, new, 1))
    monkeypatch.setattr(_cards, "cards_folder", lambda: tmp_path)
    with pytest.raises(ShiftDataError, match=message):
        load_card("toy")


# Something else in its place -----------------------------------------------------------------------


def test_a_folder_in_the_files_place(homes, origin):
    (homes / "table.txt").mkdir(parents=True)
    for download in (False, True):
        with pytest.raises(DatasetNotFoundError, match="is a folder"):
            read_role(card_of(entry_of(CONTENT, url=origin)), "table", download=download)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_file_in_a_folders_place(homes, origin, depth):
    place = [homes, *homes.parents][depth]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("mine")
    with pytest.raises(DatasetNotFoundError, match="cannot be written"):
        read_role(card_of(entry_of(CONTENT, url=origin)), "table", download=True)
    assert place.read_text() == "mine"


def test_an_unreadable_file(homes, monkeypatch):
    homes.mkdir(parents=True)
    (homes / "table.txt").write_bytes(CONTENT)

    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(DatasetNotFoundError, match="Permission denied"):
        read_role(card_of(entry_of(CONTENT)), "table")


@pytest.mark.parametrize("home", ["a\0b", 7, "~nobody-of-this-name/x", "x" * 300, b"\xff"], ids=repr)
@pytest.mark.parametrize("way", ["argument", "variable"])
def test_a_data_home_that_is_none(origin, monkeypatch, home, way):
    if way == "variable":
        if not isinstance(home, str) or "\0" in home:
            pytest.skip("no environment holds it")
        monkeypatch.setenv("SHIFTFIX_DATA", home)
    with pytest.raises((ShiftDataError, DatasetNotFoundError)):
        read_role(card_of(entry_of(CONTENT)), "table", home if way == "argument" else None)


@pytest.mark.parametrize("step", ["fsync", "replace", "open"])
def test_a_full_disk_leaves_nothing(homes, origin, monkeypatch, step):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, full)
        with pytest.raises(DatasetNotFoundError, match="No space left"):
            read_role(card_of(entry_of(CONTENT, url=origin)), "table", download=True)
    assert everything_in(homes) == []


@pytest.mark.slow
def test_what_a_killed_download_left_is_removed_and_a_living_ones_is_not(homes, origin):
    homes.mkdir(parents=True)
    (homes / ".table.txt.00000000.partial").write_text("dead")
    code = (
        "import sys; from pathlib import Path; from shiftfix._locks import lock_file; "
        f"lock_file(Path({str(homes)!r}) / '.table.txt.11111111.partial'); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout.readline() == b"locked\n"
        read_role(card_of(entry_of(CONTENT, url=origin)), "table", download=True)
        assert everything_in(homes) == [".table.txt.11111111.partial", "table.txt"]


# Servers -------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A web server on this computer with a page for each misbehaviour."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = self.path.strip("/")
            if page in ("circle", "away"):
                self.send_response(302)
                self.send_header("Location", "/circle" if page == "circle" else "file:///etc/passwd")
                self.end_headers()
                return
            if page == "headers":
                self.drip(b"HTTP/1.0 200 OK\r\nX: ")
            self.send_response(200)
            if page == "huge":
                self.send_header("Content-Length", str(10**15))
            self.end_headers()
            if page == "drip":
                self.drip(b"")
            for _ in range(10**6 if page in ("huge", "endless") else 0):
                self.wfile.write(CONTENT)

        def drip(self, first):
            self.wfile.write(first)
            while not over.wait(0.05):
                self.wfile.write(b"1")
            raise ConnectionAbortedError

        def handle(self):
            with contextlib.suppress(OSError):
                super().handle()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        over.set()
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("page", ["drip", "headers"])
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(homes, server, monkeypatch, page):
    monkeypatch.setattr(_download, "DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr(_download, "SLOWEST", 1e9)
    started = time.monotonic()
    with pytest.raises(DatasetNotFoundError, match=r"not complete after|too slow"):
        read_role(card_of(entry_of(CONTENT, url=f"{server}/{page}")), "table", download=True)
    assert time.monotonic() - started < 5
    assert everything_in(homes) == []


@pytest.mark.parametrize("page", ["huge", "endless"])
def test_more_than_the_card_says_is_not_read(homes, server, page):
    with pytest.raises(ChecksumError, match="sends more than"):
        read_role(card_of(entry_of(CONTENT, url=f"{server}/{page}")), "table", download=True)
    assert everything_in(homes) == []


@pytest.mark.parametrize("page", ["circle", "away"])
def test_redirects_end_and_stay_on_the_web(homes, server, page):
    with pytest.raises(DatasetNotFoundError, match="cannot be read"):
        read_role(card_of(entry_of(CONTENT, url=f"{server}/{page}")), "table", download=True)
    assert everything_in(homes) == []


# The clinic's files --------------------------------------------------------------------------------


@pytest.mark.slow
def test_writing_the_clinic_replaces_no_other_file(tmp_path):
    write_clinic(tmp_path)
    write_clinic(tmp_path)  # the same bytes
    (tmp_path / "clinic_target.csv").write_text("mine")
    with pytest.raises(ShiftDataError, match="holds something else"):
        write_clinic(tmp_path)
    assert (tmp_path / "clinic_target.csv").read_text() == "mine"
    write_clinic(tmp_path, overwrite=True)
    assert (tmp_path / "clinic_target.csv").read_text() != "mine"
    assert len(everything_in(tmp_path)) == 2


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("mine")])
def test_writing_the_clinic_needs_a_folder(tmp_path, make):
    make(tmp_path / "x")
    before = everything_in(tmp_path)
    with pytest.raises(ShiftDataError, match="no folder"):
        write_clinic(tmp_path / "x")
    assert everything_in(tmp_path) == before
