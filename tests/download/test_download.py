"""Downloads, over sockets on loopback: whole files under safe names, or a fault that says what to do."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay.base.clock import Clock
from mjrelay.download import headers as _download
from mjrelay.download import partial as _download_partial
from mjrelay.download.downloader import Downloader
from mjrelay.download.job import Download, DownloadFaults
from mjrelay.errors import SettingError
from mjrelay.http import urls as _link
from mjrelay.transport import streaming as _stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODY = bytes(range(256)) * 400
NOW = 1_730_700_000.0
"""2024-11-04 06:00 UTC."""


class Instant(Clock):
    """A clock whose sleeps take no time, and are written down."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def time(self) -> float:
        return NOW

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Handler(BaseHTTPRequestHandler):
    """Hands each request to what the site has for its path."""

    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked.append((self.path, dict(self.headers)))
            self.server.busy += 1
            self.server.busiest = max(self.server.busiest, self.server.busy)
            answers = self.server.answers[self.path.partition("?")[0]]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        try:
            answer(self)
        except OSError:
            self.close_connection = True  # the client has seen enough
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def put(self, status: int, body: bytes = b"", **fields: Any) -> None:
        """An answer; ``Content_Length=""`` leaves that field out."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **fields}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.server.sent += len(body)
        self.wfile.write(body)


class Site(ThreadingHTTPServer):
    """What is there, by path: answers given one after another, the last for good."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Callable[[Handler], object]]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.lock = threading.Lock()
        self.sent = self.busy = self.busiest = 0
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.clock = Instant()

    def has(self, path: str, *answers: Callable[[Handler], object]) -> str:
        self.answers[path] = list(answers)
        return self.url + path

    def downloader(self, **changes: Any) -> Downloader:
        return Downloader(**{"home": self.url, "clock": self.clock, "timeout": 5.0, **changes})


@contextmanager
def opened() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with opened() as opening:
        yield opening


def plain(body: bytes = BODY, **fields: Any) -> Callable[[Handler], None]:
    """A picture, whole and without a validator."""
    known: dict[str, Any] = {"Content_Type": "image/png", **fields}
    return lambda handler: handler.put(200, body, **known)


def status(code: int, **fields: Any) -> Callable[[Handler], None]:
    return lambda handler: handler.put(code, **fields)


def ranged(body: bytes = BODY, *, cut: int | None = None, **fields: Any) -> Callable[[Handler], None]:
    """A server that knows ranges, by ETag unless told otherwise; it hangs up after ``cut`` bytes."""

    def answer(handler: Handler) -> None:
        known: dict[str, Any] = {"ETag": '"v1"', "Content_Type": "image/png", **fields}
        first = 0
        if handler.headers["If-Range"] in (known["ETag"] or known.get("Last_Modified"), None):
            first = int((handler.headers["Range"] or "bytes=0-")[len("bytes=") : -1])
        part = body[first:]
        if first:
            known["Content_Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        handler.put(206 if first else 200, part[:cut], **{"Content_Length": str(len(part)), **known})

    return answer


def faults(downloader: Downloader, urls: list[str], folder: Path) -> DownloadFaults:
    with pytest.raises(DownloadFaults) as caught:
        downloader.download("1", urls, folder)
    return caught.value


def fault(downloader: Downloader, url: str, folder: Path) -> str:
    """What is said of the one file that was not had; nothing of it is left."""
    caught = faults(downloader, [url], folder)
    assert (caught.paths, [one.url for one in caught.faults]) == ([], [url])
    assert not folder.exists() or not list(folder.iterdir())
    return caught.faults[0].message


def test_several_files_come_whole_in_the_order_of_their_links(site: Site, tmp_path: Path) -> None:
    """Contents, names, endings and progress are right, and nothing else is left in the folder."""
    urls = [
        site.has("/a", plain(b"one")),
        site.has("/b.jpeg", plain(b"two", Content_Type="application/octet-stream")),
        site.has("/c.php", plain(b"three", Content_Type="")),
        site.has("/d", plain(b"four", Content_Type="Video/MP4; x=y")),
        site.has("/图 片.webp", plain(b"never asked so")),
    ]
    site.answers["/%E5%9B%BE%20%E7%89%87.webp"] = [plain(b"five", Content_Type="binary/octet-stream")]
    told: list[Download] = []
    folder = tmp_path / "new" / "out"
    paths = site.downloader().download("173", urls, folder, told.append)
    names = ["173-1.png", "173-2.jpg", "173-3.bin", "173-4.mp4", "173-5.webp"]
    assert paths == [folder / name for name in names]
    assert [path.read_bytes() for path in paths] == [b"one", b"two", b"three", b"four", b"five"]
    assert sorted(folder.iterdir()) == sorted(paths)
    last = {download.url: download for download in told}
    assert last == {
        url: Download(url, path, path.stat().st_size, path.stat().st_size)
        for url, path in zip(urls, paths, strict=True)
    }


def test_nothing_is_sent_but_what_a_file_takes(site: Site, tmp_path: Path) -> None:
    """No credential, cookie or anything else that was not decided upon goes out, redirected or resumed."""
    url = site.has("/a", status(302, Location="/b"))
    site.has("/b", ranged(cut=1000), ranged())
    site.downloader().download("1", [url], tmp_path)
    sent = {name.lower() for _, fields in site.asked for name in fields}
    allowed = {"user-agent", "accept", "host", "accept-encoding", "connection", "range", "if-range"}
    assert sent == allowed


@pytest.mark.parametrize(
    "known", [{}, {"ETag": "", "Last_Modified": "Sun, 03 Nov 2024 10:00:00 GMT"}], ids=["etag", "date"]
)
def test_a_file_that_broke_off_is_gone_on_with(site: Site, tmp_path: Path, known: dict[str, Any]) -> None:
    """Twice cut, it is asked for from where it was, and no byte comes twice."""
    url = site.has("/a", ranged(cut=5000, **known), ranged(cut=7000, **known), ranged(**known))
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert path.read_bytes() == BODY
    assert [fields.get("Range") for _, fields in site.asked] == [None, "bytes=5000-", "bytes=12000-"]
    assert site.sent == len(BODY)
    assert list(tmp_path.iterdir()) == [path]


def test_another_call_goes_on_with_a_link_signed_anew(site: Site, tmp_path: Path) -> None:
    """What one call left is found by the next, though the signature in the link has changed."""
    url = site.has("/a", ranged(cut=5000), ranged())
    caught = faults(site.downloader(retries=0), [url + "?sig=old"], tmp_path)
    assert "the partial file is resumed" in caught.faults[0].message
    assert all("old" not in left.read_text("latin-1") for left in tmp_path.iterdir())
    (path,) = site.downloader().download("1", [url + "?sig=new"], tmp_path)
    assert path.read_bytes() == BODY
    assert site.asked[1][1]["Range"] == "bytes=5000-"
    assert site.sent == len(BODY)


def other_range(first: int, last: int, total: int, **fields: Any) -> Callable[[Handler], None]:
    """A part that was not asked for."""
    return lambda handler: handler.put(
        206,
        BODY[first : last + 1],
        Content_Type="image/png",
        Content_Range=f"bytes {first}-{last}/{total}",
        **fields,
    )


@pytest.mark.parametrize(
    "answer",
    [
        status(416, Content_Range=f"bytes */{len(BODY)}"),
        other_range(4999, len(BODY) - 2, len(BODY)),
        other_range(5000, len(BODY), len(BODY)),
        other_range(5000, len(BODY) - 1, len(BODY), ETag='"v2"'),
        lambda handler: handler.put(206, BODY[5000:], Content_Type="image/png"),
        lambda handler: handler.put(206, BODY[5000:], Content_Range=f"bytes 5000-{len(BODY) - 1}/*"),
    ],
    ids=["416", "another start", "beyond the end", "another validator", "no range", "no size"],
)
def test_what_cannot_be_gone_on_with_starts_anew(
    site: Site, tmp_path: Path, answer: Callable[[Handler], object]
) -> None:
    """A part that does not fit is thrown away, and the file is whole all the same."""
    url = site.has("/a", ranged(cut=5000), answer, ranged())
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert path.read_bytes() == BODY
    assert [fields.get("Range") for _, fields in site.asked] == [None, "bytes=5000-", None]


def test_a_file_that_changed_is_taken_anew(site: Site, tmp_path: Path) -> None:
    """A server that sees another validator sends all of the new file, and nothing of the old is in it."""
    changed = BODY[::-1]
    url = site.has("/a", ranged(cut=5000), ranged(changed, ETag='"v2"'))
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert path.read_bytes() == changed
    assert site.asked[1][1]["If-Range"] == '"v1"'


@pytest.mark.parametrize("tag", ["", 'W/"v1"', "bare", '"quo"ted"'])
def test_without_a_validator_nothing_is_gone_on_with(site: Site, tmp_path: Path, tag: str) -> None:
    """No range is asked for where nothing proves that it is the same file, and nothing is left behind."""
    cut = ranged(cut=5000, ETag=tag, Last_Modified="Sun, 03 Nov 2024 10:00:00 GMT" if tag else "")
    url = site.has("/a", cut, plain())
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert path.read_bytes() == BODY
    assert all("Range" not in fields for _, fields in site.asked)
    site.has("/a", cut)
    assert "try again later" in fault(site.downloader(retries=0), url, tmp_path / "2")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[]",
        "nonsense",
        '{"link": "LINK"}',
        '{"link": "http://else/", "validator": "\\"v1\\""}',
        "[" * 5000,
    ]
    + [json.dumps({"link": "LINK", "validator": validator}) for validator in ("a\r\nb: c", 'W/"v"', 5, None)],
)
def test_a_note_that_says_nothing_is_not_gone_by(site: Site, tmp_path: Path, note: str) -> None:
    """A part without a validator that can be trusted is no beginning of the file."""
    url = site.has("/a", ranged())
    (tmp_path / "1-1.part").write_bytes(b"x" * 5000)
    (tmp_path / "1-1.part.json").write_text(note.replace("LINK", url))
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert path.read_bytes() == BODY
    assert "Range" not in site.asked[0][1]
    assert list(tmp_path.iterdir()) == [path]


def test_three_redirects_are_followed_and_no_more(site: Site, tmp_path: Path) -> None:
    """Relative and absolute ones lead to the file; the fourth is one too many."""
    start = site.has("/0", status(301, Location="1"))
    # Bytes beyond ASCII, which a field is not to have.
    site.has("/1", status(307, Location=f"{site.url}/图?x=/../y#z".encode().decode("latin-1")))
    site.has("/%E5%9B%BE", status(308, Location="//" + site.url.partition("//")[2] + "/3"))
    site.has("/3", plain())
    (path,) = site.downloader().download("1", [start], tmp_path)
    assert path.read_bytes() == BODY
    assert site.asked[2][0] == "/%E5%9B%BE?x=/../y"
    site.has("/3", status(302, Location="/4"))
    assert "more than 3 redirects" in fault(site.downloader(), start, tmp_path / "2")
    assert len(site.asked) == 8


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("file:///etc/passwd", "only http:// and https://"),
        ("data:image/png;base64,AAAA", "only http:// and https://"),
        ("http://user:hunter2@127.0.0.1/", "user name or password"),
        ("http://[", "Invalid IPv6"),
        ("http://127.0.0.1:65536/", "Port out of range"),
        ("http://%20/nowhere", "no valid host"),
        ("http://a..b/", "the host name of the URL is not valid"),
        ("http://10.0.0.7/a", "10.0.0.7 is a private address"),
        ("http://0x7f.1:1/a", "0x7f.1 is at 127.0.0.1, a private address"),
        ("http://[::ffff:169.254.169.254]/a", "a private address"),
        ("http://LocalHost.:1/a", "operator has probably not configured"),
    ],
)
def test_a_link_leads_nowhere_else_by_itself_or_by_a_redirect(
    site: Site, tmp_path: Path, target: str, said: str
) -> None:
    """Other schemes, credentials, nonsense and private addresses are refused at each hop, and not retried."""
    assert said in fault(site.downloader(), target, tmp_path)
    url = site.has("/a", status(302, Location=target))
    message = fault(site.downloader(), url, tmp_path)
    assert message.startswith(f"{url}: redirected to ")
    assert said in message
    assert "hunter2" not in message
    assert (len(site.asked), site.clock.slept) == (1, [])


def test_a_redirect_never_leaves_tls(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for over https is not asked for over http."""
    asked = []

    @contextmanager
    def secure(url: str, *_: object, **__: object) -> Iterator[_stream.Stream]:
        asked.append(url)
        yield _stream.Stream(302, (("Location", f"{site.url}/a"),), iter(()))

    monkeypatch.setattr(_stream, "stream_url", secure)
    message = fault(site.downloader(), "https://cdn.example/a", tmp_path)
    assert "https to http are not followed" in message
    assert asked == ["https://cdn.example/a"]


def test_only_the_relay_itself_may_be_private(site: Site, tmp_path: Path) -> None:
    """Another port of the same host is refused with the well-known mistake named, unless it is allowed."""
    with opened() as other:
        url = other.has("/a", plain())
        message = fault(site.downloader(), url, tmp_path)
        assert "127.0.0.1 is a private address" in message
        assert "has probably not configured" in message
        assert "allow_private=True" in message
        assert other.asked == []
        assert site.downloader(allow_private=True).download("1", [url], tmp_path)


def test_a_name_that_stands_for_a_private_address_is_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is the address that is connected to, whatever the name looks like."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.168.1.1", 80)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%1", 80, 0, 1)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    message = fault(site.downloader(), "http://cdn.example/a.png", tmp_path)
    assert "cdn.example is at 192.168.1.1, a private address" in message
    assert site.clock.slept == []


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001:db8::1",
        "2001:0:808:808::f5ff:fffe",
        "2002:a00:1::",
        "2002:808:808::",
        "fc00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_no_private_address_is_public(address: str) -> None:
    """Private, special and wrapped addresses are told as such."""
    assert not _link.is_public_address(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_public_addresses_are(address: str) -> None:
    """The Internet can be reached, also where a network translates addresses."""
    assert _link.is_public_address(ipaddress.ip_address(address))


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
@pytest.mark.parametrize(
    "query",
    [
        f"ex={int(NOW) - 60:x}&is=67287a24&hm=abc&",
        f"Expires={int(NOW) - 60}&Signature=abc&Key-Pair-Id=K",
        "X-Amz-Date=20241104T045900Z&X-Amz-Expires=3600&X-Amz-Signature=abc",
        "se=2024-11-04T05%3A59%3A00Z&sp=r&sig=abc",
        f"q-sign-time={int(NOW) - 3660};{int(NOW) - 60}&q-signature=abc",
    ],
)
def test_a_link_that_expired_says_when(site: Site, tmp_path: Path, query: str, code: int) -> None:
    """The moment is read from the ways in which storages write it, and the signature is not shown."""
    url = site.has("/a.png", status(code)) + f"?{query}"
    caught = faults(site.downloader(), [url], tmp_path).faults[0]
    assert caught.message == (
        f"{site.url}/a.png: the signed URL expired at 2024-11-04 05:59 UTC;"
        " fetch the task again for a new one"
    )
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("code", "query", "said"),
    [
        (404, f"?ex={int(NOW) + 60:x}&is=1&hm=2", "signed until 2024-11-04 06:01 UTC; fetch the task again"),
        (404, "?ex=zz&hm=2", "404: the file no longer exists"),
        (410, "", "410: the file no longer exists"),
        (403, "", "403: the file is not public"),
        (418, "", "returned 418; open the URL"),
        (204, "", "returned 204"),
        (304, "", "returned 304"),
        (206, "", "returned 206"),
    ],
)
def test_a_refusal_says_what_to_do(site: Site, tmp_path: Path, code: int, query: str, said: str) -> None:
    """Each status that gives no file has its own advice, and is not asked for again."""
    assert said in fault(site.downloader(), site.has("/a", status(code)) + query, tmp_path)
    assert len(site.asked) == 1


@given(
    st.dictionaries(
        st.sampled_from(["ex", "hm", "Expires", "q-sign-time", "sig", "se", "X-Amz-Date", "X-Amz-Expires"]),
        st.text(),
    )
)
def test_no_query_breaks_the_telling(fields: dict[str, str]) -> None:
    """Whatever stands in a signature, there is a text."""
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    link = _link.MediaURL.of(f"http://example.com/a?{query}")
    assert _download._error_message(403, link, NOW)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (plain(b"<!doctype html>", Content_Type="text/html; charset=utf-8"), "the URL returns a web page"),
        (
            plain(b"{}", Content_Type="application/json"),
            "returns 'application/json', not an image or a video",
        ),
        (plain(b"x", Content_Encoding="gzip"), "the file is compressed"),
        (plain(b"", ETag='"v"'), "is empty"),
        (plain(b"", Content_Length=""), "is empty"),
        (plain(b"x", Content_Length="2001"), "larger than 2000 bytes"),
        (plain(b"x" * 2001, Content_Length=""), "larger than 2000 bytes"),
        (ranged(b"x" * 2001, Content_Length="", ETag='"v"'), "larger than 2000 bytes"),
    ],
    ids=["html", "json", "gzip", "empty", "empty to the end", "large", "large, unsaid", "large, known"],
)
def test_what_is_no_file_is_not_kept(
    site: Site, tmp_path: Path, answer: Callable[[Handler], None], said: str
) -> None:
    """Web pages, empty files and those beyond the bound are told at once, and nothing of them is left."""
    assert said in fault(site.downloader(largest=2000), site.has("/a", answer), tmp_path)
    assert len(site.asked) == 1


def test_a_file_without_end_is_read_to_the_bound(site: Site, tmp_path: Path) -> None:
    """An endless body costs no more than the bound and what is on its way."""
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.put(200, Content_Type="image/png", Content_Length="")
        while True:
            sent += handler.wfile.write(bytes(10_000))

    message = fault(site.downloader(largest=1_000_000), site.has("/a", endless), tmp_path)
    assert "larger than 1000000 bytes" in message
    assert sent < 20_000_000


def test_a_file_that_always_breaks_off_is_given_up(site: Site, tmp_path: Path) -> None:
    """After the retries it is said, with growing pauses between them, and no half of a file is left."""
    url = site.has("/a", plain(b"x" * 10, Content_Length="20"))
    assert "try again later" in fault(site.downloader(), url, tmp_path)
    assert len(site.asked) == 4
    assert [0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(site.clock.slept)] == [True] * 3


def test_a_part_that_is_short_of_the_whole_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    """A server that sends ranges in pieces of its own is asked again until the file is whole."""
    pieces = [other_range(first, first + 9999, len(BODY)) for first in (50_000, 60_000)]
    url = site.has("/a", ranged(cut=50_000), *pieces, ranged())
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert path.read_bytes() == BODY
    assert site.sent == len(BODY)


@pytest.mark.parametrize(
    ("code", "wish", "pause"), [(429, "7", 7.0), (503, "999", 30.0), (408, "", None), (520, "soon", None)]
)
def test_trouble_that_may_pass_is_borne(
    site: Site, tmp_path: Path, code: int, wish: str, pause: float | None
) -> None:
    """The server's own wish for a pause is obeyed within bounds, and the file comes at last."""
    url = site.has("/a", status(code, Retry_After=wish), plain())
    assert site.downloader().download("1", [url], tmp_path)
    (slept,) = site.clock.slept
    assert slept == pause if pause else 0.5 <= slept <= 1.0
    site.has("/a", status(code))
    caught = faults(site.downloader(), [url, url], tmp_path)
    assert caught.paths == [tmp_path / "1-1.png"]
    assert f"returned {code}; try again later" in caught.faults[0].message


def test_a_trickle_and_a_stall_are_bounded(site: Site, tmp_path: Path) -> None:
    """A byte now and then does not keep a download alive, and silence ends it sooner."""
    over = threading.Event()

    def trickle(handler: Handler) -> None:
        handler.put(200, Content_Type="image/png", Content_Length="1000", ETag='"v1"')
        while not over.wait(0.02):
            handler.wfile.write(b"x")

    def stall(handler: Handler) -> None:
        handler.put(200, b"x", Content_Type="image/png", Content_Length="1000")
        over.wait(10)

    started = time.monotonic()
    slow, still = site.has("/a", trickle), site.has("/b", stall)
    caught = faults(site.downloader(longest=0.5, timeout=0.2), [slow, still], tmp_path)
    over.set()
    assert 0.4 < time.monotonic() - started < 3
    assert "not complete after 0.5 seconds" in caught.faults[0].message
    assert "try again later" in caught.faults[1].message
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["1-1.part", "1-1.part.json"]


def chatter(over: threading.Event) -> Callable[[Handler], None]:
    """A chunk whose extension never ends: bytes come, and none of them is the file's."""

    def answer(handler: Handler) -> None:
        handler.put(200, Content_Type="image/png", Content_Length="", Transfer_Encoding="chunked")
        handler.wfile.write(b"5;a")
        while not over.wait(0.02):
            handler.wfile.write(b"x")

    return answer


def test_what_is_no_byte_of_the_file_does_not_keep_it_alive(site: Site, tmp_path: Path) -> None:
    """The bound on a file holds though bytes come that belong to no body, and nobody is told of them."""
    over, told = threading.Event(), list[Download]()
    threading.Timer(5, over.set).start()
    started = time.monotonic()
    with pytest.raises(DownloadFaults, match=r"not complete after 0\.3 seconds"):
        site.downloader(longest=0.3).download("1", [site.has("/a", chatter(over))], tmp_path, told.append)
    over.set()
    assert time.monotonic() - started < 3
    assert [one.received for one in told] == [0]


def test_what_is_no_byte_of_the_file_does_not_keep_it_from_stopping(site: Site, tmp_path: Path) -> None:
    """Once stopped, nothing goes on in the background for an answer that never gets to its body."""
    stop, over = threading.Event(), threading.Event()
    before = set(threading.enumerate())
    with pytest.raises(DownloadFaults, match="stopped"):
        site.downloader().download("1", [site.has("/a", chatter(over))], tmp_path, lambda _: stop.set(), stop)
    left = [one for one in set(threading.enumerate()) - before if one.name == "mjrelay-download"]
    for thread in left:
        thread.join(3)
    alive = [thread for thread in left if thread.is_alive()]
    over.set()
    assert alive == []


def test_a_preview_is_never_taken_for_what_came_of_it(site: Site, tmp_path: Path) -> None:
    """Previews have names of their own, which no other id's files have, so that each is downloaded itself."""
    preview, final = [site.has("/p", plain(b"draft"))], [site.has("/f", plain(b"final"))]
    downloader = site.downloader()
    paths = [
        *downloader.download("1", preview, tmp_path, previews=True),
        *downloader.download("1", final, tmp_path),
        *downloader.download("1-preview", final, tmp_path),
    ]
    assert [path.name for path in paths[:2]] == ["1-preview-1.png", "1-1.png"]
    assert [path.read_bytes() for path in paths] == [b"draft", b"final", b"final"]


LINKS = pytest.mark.skipif(os.name == "nt", reason="symbolic links want a privilege here")


@LINKS
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("name", ["1-1.part", "1-1.part.json", "1-1.png"])
def test_a_symbolic_link_is_not_written_through(site: Site, tmp_path: Path, name: str, there: bool) -> None:
    """What somebody laid in the folder leads no byte out of it, whether its target is there or not."""
    target, folder = tmp_path / "precious", tmp_path / "out"
    folder.mkdir()
    (folder / name).symlink_to(target)
    if there and name != "1-1.png":  # that would be a file that is there
        target.write_bytes(b"mine")
    url = site.has("/a", ranged(cut=5000), ranged())
    (path,) = site.downloader().download("1", [url], folder)
    assert (path.read_bytes(), path.is_symlink()) == (BODY, False)
    assert list(folder.iterdir()) == [path]
    assert (target.read_bytes() if target.exists() else None) in (b"mine", None)
    assert target.exists() == (there and name != "1-1.png")


@LINKS
def test_a_note_behind_a_symbolic_link_is_not_written_over(site: Site, tmp_path: Path) -> None:
    """A new note takes the link's place, also where the old one was believed and the file has changed."""
    target, folder = tmp_path / "precious", tmp_path / "out"
    folder.mkdir()
    url = site.has("/a", ranged(ETag='"v2"'))
    noted = json.dumps({"link": url, "validator": '"v1"'})
    target.write_text(noted)
    (folder / "1-1.part").write_bytes(BODY[:5000])
    (folder / "1-1.part.json").symlink_to(target)
    (path,) = site.downloader().download("1", [url], folder)
    assert site.asked[0][1]["If-Range"] == '"v1"'
    assert (path.read_bytes(), target.read_text()) == (BODY, noted)


@LINKS
def test_a_symbolic_link_laid_at_the_last_moment_is_a_fault(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening there is time for a link, and it is not followed either."""
    target, folder = tmp_path / "precious", tmp_path / "out"
    folder.mkdir()
    (folder / "1-1.part").symlink_to(target)
    monkeypatch.setattr(Path, "is_symlink", lambda _: False)
    caught = faults(site.downloader(), [site.has("/a", plain())], folder)
    assert "the file cannot be written (" in caught.faults[0].message
    assert not target.exists()


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000], ids=["NUL", "surrogate", "long"])
def test_a_folder_that_cannot_be_is_said(site: Site, tmp_path: Path, name: str) -> None:
    """A name that no system takes is a fault of its own, with what to do, and nothing is asked for."""
    caught = faults(site.downloader(), [site.has("/a", plain())], tmp_path / name)
    assert "the file cannot be written (" in caught.faults[0].message
    assert caught.faults[0].message.endswith("check its folder, or choose another")
    assert site.asked == []


@given(st.lists(st.text(min_size=0, max_size=120), max_size=8, unique=True))
def test_names_are_safe_and_never_shared(ids: list[str]) -> None:
    """Any id makes a plain name of its own, also where letters' case does not count."""
    ids += {_download._safe_name(one) + suffix for one in ids for suffix in ("", "-preview")} - set(ids)
    names = [_download._safe_name(one) for one in ids]
    assert len({name.lower() + suffix for name in names for suffix in ("", "-preview")}) == 2 * len(ids)
    for name in names:
        assert name == PurePosixPath(name).name
        assert name.isascii()
        assert all(character.isalnum() or character in "._-" for character in name)
        assert not name.startswith((".", "-"))
        assert len(name) <= 100


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "CON", "nul.txt", "a\0b", "C:\\x", "A", "", "\ud800"]
)
def test_an_id_is_never_a_path(site: Site, tmp_path: Path, name: str) -> None:
    """What would climb out, is reserved, or stands for another file somewhere gets a name of its own."""
    url = site.has("/a", plain())
    (path,) = site.downloader().download(name, [url], tmp_path / "in")
    assert path.parent == tmp_path / "in"
    assert list((tmp_path / "in").iterdir()) == [path]
    assert path.name != f"{name}-1.png"
    assert path.name.split(".")[0].lower() not in {"con", "nul"}


@pytest.mark.parametrize("ending", [".png", ".mp4", ".bin"])
def test_a_file_that_is_there_is_kept(site: Site, tmp_path: Path, ending: str) -> None:
    """It is not asked for, whatever its ending, and counts as done."""
    kept = tmp_path / f"1-2{ending}"
    kept.write_bytes(b"mine")
    told: list[Download] = []
    urls = [site.has("/a", plain()), site.has("/b", plain())]
    paths = site.downloader().download("1", urls, tmp_path, told.append)
    assert paths == [tmp_path / "1-1.png", kept]
    assert kept.read_bytes() == b"mine"
    assert [path for path, _ in site.asked] == ["/a"]
    assert Download(urls[1], kept, 4, 4) in told


def test_one_bad_link_does_not_lose_the_others(site: Site, tmp_path: Path) -> None:
    """All are tried; what failed and what is there are told together."""
    urls = [site.has(path, plain()) for path in ("/a", "/b", "/c")]
    site.has("/b", status(404))
    caught = faults(site.downloader(concurrency=1), [*urls, "ftp://x/?sig=abc"], tmp_path)
    assert caught.paths == [tmp_path / "1-1.png", tmp_path / "1-3.png"]
    assert [one.url for one in caught.faults] == [urls[1], "ftp://x/?sig=abc"]
    assert ["404" in one.message for one in caught.faults] == [True, False]
    assert str(caught).count("; ") >= 1
    assert "abc" not in str(caught)


def test_as_many_at_once_as_allowed(site: Site, tmp_path: Path) -> None:
    """Three files are under way together where three may be, and never more."""
    meeting = threading.Barrier(3)

    def answer(handler: Handler) -> None:
        meeting.wait(10)
        plain()(handler)

    urls = [site.has(f"/{number}", answer) for number in range(9)]
    assert len(site.downloader(concurrency=3).download("1", urls, tmp_path)) == 9
    assert site.busiest == 3
    assert site.downloader().download("1", [], tmp_path) == []


def test_it_stops_when_told(site: Site, tmp_path: Path) -> None:
    """It ends soon, asks for nothing more, and the next call goes on where this one was."""
    stop, over = threading.Event(), threading.Event()

    def half(handler: Handler) -> None:
        handler.put(200, BODY[:5000], Content_Type="image/png", Content_Length=str(len(BODY)), ETag='"v1"')
        over.wait(10)
        handler.wfile.write(BODY[5000:])

    def listener(progress: Download) -> None:
        if progress.received == 5000:
            stop.set()

    urls = [site.has("/a", half, ranged()), site.has("/b", plain())]
    started = time.monotonic()
    with pytest.raises(DownloadFaults, match="stopped before the file was complete") as caught:
        site.downloader(concurrency=1).download("1", urls, tmp_path, listener, stop)
    assert time.monotonic() - started < 2
    assert (len(caught.value.faults), caught.value.paths) == (2, [])
    over.set()
    for thread in threading.enumerate():
        if thread.name == "mjrelay-download":
            thread.join()
    paths = site.downloader().download("1", urls, tmp_path)
    assert [path.read_bytes() for path in paths] == [BODY, BODY]
    again = [headers for path, headers in site.asked if path == "/a"][1]
    assert again["Range"] == "bytes=5000-"
    assert [path for path, _ in site.asked].count("/b") == 1


def test_what_a_listener_raises_loses_no_file(site: Site, tmp_path: Path) -> None:
    """The files are had first, then its error is raised; it was called in the caller's own thread."""
    threads = set()

    def listener(_: Download) -> None:
        threads.add(threading.current_thread())
        raise ZeroDivisionError

    urls = [site.has("/a", plain(Content_Length="")), site.has("/b", plain())]
    with pytest.raises(ZeroDivisionError):
        site.downloader().download("1", urls, tmp_path, listener)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-1.png", "1-2.png"]
    assert threads == {threading.current_thread()}
    site.has("/c", status(404))
    with pytest.raises(DownloadFaults) as caught:
        site.downloader().download("1", [*urls, site.url + "/c"], tmp_path, listener)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_progress_without_a_size(site: Site, tmp_path: Path) -> None:
    """Where the server does not say how large a file is, nobody pretends to know."""
    told: list[Download] = []
    url = site.has("/a", plain(Content_Length=""))
    (path,) = site.downloader().download("1", [url], tmp_path, told.append)
    assert told[-1] == Download(url, path, len(BODY), None)


def test_two_downloads_never_write_one_file(site: Site, tmp_path: Path) -> None:
    """Who comes second waits for the first, and takes what it has made."""
    pytest.importorskip("fcntl", reason="files are not locked here")
    begun, over = threading.Event(), threading.Event()

    def slow(handler: Handler) -> None:
        handler.put(200, BODY[:5000], Content_Type="image/png", Content_Length=str(len(BODY)))
        begun.set()
        over.wait(10)
        handler.wfile.write(BODY[5000:])

    url = site.has("/a", slow)
    first = threading.Thread(target=site.downloader().download, args=("1", [url], tmp_path))
    first.start()
    begun.wait(10)
    with pytest.raises(DownloadFaults, match="another download is writing the same file"):
        site.downloader().download("1", [url], tmp_path)
    over.set()
    first.join()
    assert site.downloader().download("1", [url], tmp_path)[0].read_bytes() == BODY
    assert len(site.asked) == 1


def test_a_file_that_was_moved_away_is_not_written(tmp_path: Path) -> None:
    """Who opened a part just before somebody else finished it would write into the finished file."""
    pytest.importorskip("fcntl", reason="files are not locked here")
    path = tmp_path / "1-1.part"
    with path.open("ab") as file:
        assert _download_partial._is_only_writer(file, path)
        path.rename(tmp_path / "1-1.png")
        assert not _download_partial._is_only_writer(file, path)
        path.touch()
        assert not _download_partial._is_only_writer(file, path)


@pytest.mark.parametrize("broken", ["write", "folder"])
def test_a_disk_that_fails_is_said_and_not_retried(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """What goes wrong with the file is not taken for trouble of the network."""
    folder = tmp_path
    if broken == "write":

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
    else:
        folder = tmp_path / "file"
        folder.write_text("")
    caught = faults(site.downloader(), [site.has("/a", plain())], folder)
    assert "the file cannot be written (" in caught.faults[0].message
    assert site.clock.slept == []


def test_our_own_mistakes_are_not_the_servers(site: Site, tmp_path: Path) -> None:
    """Certificates that cannot be read are the caller's to mend, and said as such."""
    downloader = site.downloader(verify=str(tmp_path / "none.pem"))
    with pytest.raises(SettingError, match="cannot read certificates"):
        downloader.download("1", [site.url.replace("http:", "https:")], tmp_path)


def test_a_proxy_is_used_where_one_is_given(site: Site, tmp_path: Path) -> None:
    """The request goes to the proxy, but a name of of this machine never does."""
    site.answers["http://cdn.example/a"] = [plain()]
    downloader = site.downloader(home="https://relay.example", proxy=site.url)
    (path,) = downloader.download("1", ["http://cdn.example/a"], tmp_path)
    assert path.read_bytes() == BODY
    for url in (
        "http://localhost/a",
        "http://2130706433/a",
        "http://[::1]/a",
        "http://127.0.0.1./a",
        "http://0x7f.1./a",
    ):
        assert "a private address" in fault(downloader, url, tmp_path / "2")
    assert len(site.asked) == 1
    assert "hunter2" not in repr(site.downloader(proxy="http://a:hunter2@b"))
