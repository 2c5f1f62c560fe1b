import hashlib
import http.server
import threading

import pytest

from shiftfix.datasets import _download
from shiftfix.datasets._files import read_role
from shiftfix.exceptions import ChecksumError, DatasetNotFoundError

CONTENT = b"1 2 3\n" * 50_000
OTHER = b"4 5 6\n"


def entry_of(content, name="table.txt", **more):
    return {
        "role": "table",
        "name": name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **more,
    }


def card_of(*entries):
    return {"name": "toy", "source": "nowhere", "files": list(entries)}


@pytest.fixture(autouse=True)
def homes(tmp_path, monkeypatch):
    """Three empty homes: the argument, the environment variable and the cache."""
    monkeypatch.setenv("SHIFTFIX_DATA", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return {
        "argument": tmp_path / "argument",
        "variable": tmp_path / "variable",
        "cache": tmp_path / "cache" / "shiftfix",
    }


def put(home, content, name="table.txt"):
    (home / "toy").mkdir(parents=True, exist_ok=True)
    (home / "toy" / name).write_bytes(content)


def everything_under(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def origin(tmp_path):
    """Address of a file on this computer with CONTENT in it."""
    path = tmp_path / "origin.txt"
    path.write_bytes(CONTENT)
    return path.as_uri()


@pytest.mark.parametrize("first", ["argument", "variable", "cache"])
def test_homes_are_looked_at_in_order(homes, first):
    """The right file is in the first home and, wrong, in all the later ones, which must not be read."""
    for home in list(homes)[list(homes).index(first) :]:
        put(homes[home], CONTENT if home == first else OTHER)
    content, entry = read_role(card_of(entry_of(CONTENT)), "table", homes["argument"])
    assert content == CONTENT
    assert entry["name"] == "table.txt"


def test_alternatives_have_their_own_checksums(homes):
    card = card_of(entry_of(OTHER, "small.txt"), entry_of(CONTENT))
    put(homes["cache"], CONTENT)
    assert read_role(card, "table")[1]["name"] == "table.txt"
    put(homes["cache"], OTHER, "small.txt")
    assert read_role(card, "table")[0] == OTHER


@pytest.mark.parametrize("download", [False, True])
def test_a_changed_file_is_refused_on_every_read(homes, download, origin):
    card = card_of(entry_of(CONTENT, url=origin))
    put(homes["variable"], CONTENT)
    assert read_role(card, "table")[0] == CONTENT
    put(homes["variable"], CONTENT[:-1] + b"!")
    with pytest.raises(ChecksumError) as caught:
        read_role(card, "table", download=download)
    message = str(caught.value)
    assert str(homes["variable"] / "toy" / "table.txt") in message
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert hashlib.sha256(CONTENT[:-1] + b"!").hexdigest() in message
    assert "delete" in message


def test_nothing_found_lists_places_and_ways(homes):
    card = card_of(entry_of(CONTENT, url="https://example.invalid/table.txt"))
    with pytest.raises(DatasetNotFoundError) as caught:
        read_role(card, "table", homes["argument"])
    message = str(caught.value)
    for home in homes.values():
        assert str(home / "toy") in message
    for way in ("SHIFTFIX_DATA", "data_home=", "download=True", "https://example.invalid/table.txt"):
        assert way in message
    assert not any(home.exists() for home in homes.values())


def test_without_an_address_no_download_is_offered():
    with pytest.raises(DatasetNotFoundError) as caught:
        read_role(card_of(entry_of(CONTENT)), "table", download=True)
    assert "download=True" not in str(caught.value)
    assert "nowhere" in str(caught.value)


def test_a_download_is_kept_and_read_again(homes, origin, monkeypatch):
    card = card_of(entry_of(CONTENT, url=origin))
    assert read_role(card, "table", download=True)[0] == CONTENT
    assert everything_under(homes["cache"]) == ["table.txt"]
    monkeypatch.setattr(_download.urllib.request, "urlopen", None)  # calling it would raise
    assert read_role(card, "table")[0] == CONTENT
    assert read_role(card, "table", download=True)[0] == CONTENT


def test_a_download_goes_to_data_home_when_given(homes, origin):
    read_role(card_of(entry_of(CONTENT, url=origin)), "table", homes["argument"], download=True)
    assert everything_under(homes["argument"]) == ["table.txt"]
    assert not homes["cache"].exists()


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (CONTENT[:-1] + b"!", "nothing was kept"),  # same size, other bytes
        (CONTENT[:-1], "sends more than"),
        (CONTENT + b"more", "nothing was kept"),  # the connection ended early
    ],
)
def test_an_unverified_download_leaves_nothing(homes, origin, expected, message):
    with pytest.raises(ChecksumError, match=message):
        read_role(card_of(entry_of(expected, url=origin)), "table", download=True)
    assert everything_under(homes["cache"]) == []


def test_an_interrupted_download_leaves_nothing(homes, origin, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_download.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        read_role(card_of(entry_of(CONTENT, url=origin)), "table", download=True)
    assert everything_under(homes["cache"]) == []


def test_an_address_that_does_not_answer(homes, tmp_path):
    card = card_of(entry_of(CONTENT, url=(tmp_path / "absent.txt").as_uri()))
    with pytest.raises(DatasetNotFoundError, match="cannot be read"):
        read_role(card, "table", download=True)
    assert everything_under(homes["cache"]) == []


@pytest.fixture
def server(tmp_path):
    """A web server on this computer that serves CONTENT as /table.txt, and cuts /short.txt off."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/absent.txt":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: 1000 if self.path == "/short.txt" else None])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_download_over_http(homes, server):
    card = card_of(entry_of(CONTENT, url=f"{server}/table.txt"))
    assert read_role(card, "table", download=True)[0] == CONTENT
    assert everything_under(homes["cache"]) == ["table.txt"]


@pytest.mark.parametrize(("page", "error"), [("short", ChecksumError), ("absent", DatasetNotFoundError)])
def test_half_a_file_or_none_over_http(homes, server, page, error):
    with pytest.raises(error):
        read_role(card_of(entry_of(CONTENT, url=f"{server}/{page}.txt")), "table", download=True)
    assert everything_under(homes["cache"]) == []


@pytest.mark.parametrize("content", [CONTENT, OTHER])
def test_one_name_may_have_two_good_contents(homes, content):
    """A rebuilt and an official file share a name; either is read, and anything else refused."""
    card = card_of(entry_of(CONTENT), entry_of(OTHER))
    put(homes["argument"], content)
    assert read_role(card, "table", homes["argument"]) == (content, entry_of(content))
    put(homes["argument"], content + b"x")
    with pytest.raises(ChecksumError, match=" or "):
        read_role(card, "table", homes["argument"])
