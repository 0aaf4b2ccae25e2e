"""Downloads over sockets on loopback: complete files under safe names, or an error that says what to do."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay import AsyncRelay
from mjrelay.base.clock import Clock
from mjrelay.download.downloader import Downloader
from mjrelay.download.headers import status_message
from mjrelay.download.job import Download, SomeFilesError
from mjrelay.download.media_types import EXTENSIONS, NotMediaError, media_extension
from mjrelay.download.names import safe_name, source_name
from mjrelay.download.partial import is_only_writer
from mjrelay.errors import SettingError
from mjrelay.http.urls import MediaURL, is_public_address
from mjrelay.transport import streaming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODY = bytes(range(256)) * 400
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
WEBP = b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20)
NOW = 1_730_700_000.0
"""2024-11-04 06:00 UTC."""


class Instant(Clock):
    """A clock whose sleeps take no time, and are recorded."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def time(self) -> float:
        return NOW

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Handler(BaseHTTPRequestHandler):
    """Passes each request to the answer of its path."""

    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers)))
            self.server.busy += 1
            self.server.busiest = max(self.server.busiest, self.server.busy)
            answers = self.server.answers[self.path.partition("?")[0]]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        try:
            answer(self)
        except OSError:
            self.close_connection = True  # the client has disconnected
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def put(self, status: int, body: bytes = b"", **fields: Any) -> None:
        """Send a response; an empty field is omitted."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **fields}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.server.sent += len(body)
        self.wfile.write(body)


class Site(ThreadingHTTPServer):
    """A server with a list of answers for each path; the last one is repeated."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Callable[[Handler], object]]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.lock = threading.Lock()
        self.sent = self.busy = self.busiest = 0
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.clock = Instant()

    def has(self, path: str, *answers: Callable[[Handler], object]) -> str:
        self.answers[path] = list(answers)
        return self.url + path

    def downloader(self, **changes: Any) -> Downloader:
        return Downloader(
            **{"home": self.url, "source": "relay", "clock": self.clock, "read_timeout": 5.0, **changes}
        )


@contextmanager
def running_site() -> Iterator[Site]:
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
    with running_site() as running:
        yield running


def plain(body: bytes = BODY, **fields: Any) -> Callable[[Handler], None]:
    """Answer with a complete image, without a validator."""
    known: dict[str, Any] = {"Content_Type": "image/png", **fields}
    return lambda handler: handler.put(200, body, **known)


def status(code: int, **fields: Any) -> Callable[[Handler], None]:
    return lambda handler: handler.put(code, **fields)


def ranged(body: bytes = BODY, *, cut: int | None = None, **fields: Any) -> Callable[[Handler], None]:
    """Answer with ranges, by ETag unless another validator is given; disconnect after ``cut`` bytes."""

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


def part(first: int, last: int, total: int, **fields: Any) -> Callable[[Handler], None]:
    """Answer with a range, whatever was requested."""
    known = {"Content_Type": "image/png", "Content_Range": f"bytes {first}-{last}/{total}", **fields}
    return lambda handler: handler.put(206, BODY[first : last + 1], **known)


def paused(over: threading.Event, **fields: Any) -> Callable[[Handler], None]:
    """Answer with 5000 bytes, and the rest after the event."""

    def answer(handler: Handler) -> None:
        known = {"Content_Type": "image/png", "Content_Length": str(len(BODY)), **fields}
        handler.put(200, BODY[:5000], **known)
        over.wait(10)
        handler.wfile.write(BODY[5000:])

    return answer


def errors(downloader: Downloader, urls: list[str], folder: Path) -> SomeFilesError:
    with pytest.raises(SomeFilesError) as caught:
        downloader.download("1", urls, folder)
    return caught.value


def error(downloader: Downloader, url: str, folder: Path) -> str:
    """Return the message for a file that fails; nothing is left in the folder."""
    caught = errors(downloader, [url], folder)
    assert (caught.paths, [one.url for one in caught.errors]) == ([], [url])
    assert not folder.exists() or not list(folder.iterdir())
    return caught.errors[0].message


def test_several_files(site: Site, tmp_path: Path) -> None:
    """Contents, order, names, extensions and progress are right; nothing else is left in the folder."""
    urls = [
        site.has("/a", plain(b"one")),
        site.has("/b.jpeg", plain(b"two", Content_Type="application/octet-stream")),
        site.has("/c.php", plain(b"three", Content_Type="")),
        site.has("/d", plain(b"four", Content_Type="Video/MP4; x=y")),
        site.has("/图 片.webp", plain(b"not requested in this form")),
    ]
    site.answers["/%E5%9B%BE%20%E7%89%87.webp"] = [plain(b"five", Content_Type="binary/octet-stream")]
    progress: list[Download] = []
    folder = tmp_path / "new" / "out"
    paths = site.downloader().download("173", urls, folder, progress.append)
    names = ["1.png", "2.jpg", "3.bin", "4.mp4", "5.webp"]
    assert paths == [folder / f"173@relay-{name}" for name in names]
    assert [path.read_bytes() for path in paths] == [b"one", b"two", b"three", b"four", b"five"]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert {download.url: download for download in progress} == {
        url: Download(url, path, path.stat().st_size, path.stat().st_size)
        for url, path in zip(urls, paths, strict=True)
    }


def test_request_headers(site: Site, tmp_path: Path) -> None:
    """No credential, cookie or other field is sent, also after a redirect and on resuming."""
    url = site.has("/a", status(302, Location="/b"))
    site.has("/b", ranged(cut=1000), ranged())
    site.downloader().download("1", [url], tmp_path)
    sent = {name.lower() for _, fields in site.requests for name in fields}
    assert sent == {"user-agent", "accept", "host", "accept-encoding", "connection", "range", "if-range"}


def test_a_partial_file_is_resumed(site: Site, tmp_path: Path) -> None:
    """A file that is truncated twice is resumed by ETag or date; no byte is sent twice."""
    dated: dict[str, Any] = {"ETag": "", "Last_Modified": "Sun, 03 Nov 2024 10:00:00 GMT"}
    for name, known in (("a", dict[str, Any]()), ("b", dated)):
        site.sent = 0
        url = site.has(f"/{name}", ranged(cut=5000, **known), ranged(cut=7000, **known), ranged(**known))
        (path,) = site.downloader().download("1", [url], tmp_path / name)
        assert path.read_bytes() == BODY
        ranges = [fields.get("Range") for _, fields in site.requests[-3:]]
        assert ranges == [None, "bytes=5000-", "bytes=12000-"]
        assert site.sent == len(BODY)
        assert list((tmp_path / name).iterdir()) == [path]


def test_a_later_call_resumes(site: Site, tmp_path: Path) -> None:
    """The next call resumes the file of an earlier one, although the signature in the URL has changed."""
    url = site.has("/a", ranged(cut=5000), ranged())
    caught = errors(site.downloader(retries=0), [url + "?sig=old"], tmp_path)
    assert "the partial file is resumed" in caught.errors[0].message
    assert all("old" not in left.read_text("latin-1") for left in tmp_path.iterdir())
    (path,) = site.downloader().download("1", [url + "?sig=new"], tmp_path)
    assert path.read_bytes() == BODY
    assert site.requests[1][1]["Range"] == "bytes=5000-"
    assert site.sent == len(BODY)


def test_a_range_that_does_not_fit(site: Site, tmp_path: Path) -> None:
    """A 416, another range or another version discards the partial file, and the download starts again."""
    size = len(BODY)
    for number, answer in enumerate(
        (
            status(416, Content_Range=f"bytes */{size}"),
            part(4999, size - 2, size),
            part(5000, size, size),
            part(5000, size - 1, size, ETag='"v2"'),
            part(5000, size - 1, size, Content_Range=""),
            part(5000, size - 1, size, Content_Range=f"bytes 5000-{size - 1}/*"),
        )
    ):
        url = site.has(f"/{number}", ranged(cut=5000), answer, ranged())
        (path,) = site.downloader().download(str(number), [url], tmp_path)
        assert path.read_bytes() == BODY, number
        assert [fields.get("Range") for _, fields in site.requests[-3:]] == [None, "bytes=5000-", None]


def test_a_file_that_changed(site: Site, tmp_path: Path) -> None:
    """A server with a new version sends all of it, and nothing of the old one is kept."""
    url = site.has("/a", ranged(cut=5000), ranged(BODY[::-1], ETag='"v2"'))
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert path.read_bytes() == BODY[::-1]
    assert site.requests[1][1]["If-Range"] == '"v1"'


def test_without_a_validator_nothing_is_resumed(site: Site, tmp_path: Path) -> None:
    """Without a strong validator no range is requested, and no partial file is left."""
    for number, tag in enumerate(("", 'W/"v1"', "bare", '"quo"ted"')):
        cut = ranged(cut=5000, ETag=tag, Last_Modified="Sun, 03 Nov 2024 10:00:00 GMT" if tag else "")
        url = site.has("/a", cut, plain())
        (path,) = site.downloader().download(str(number), [url], tmp_path)
        assert path.read_bytes() == BODY
        site.has("/a", cut)
        assert "try again later" in error(site.downloader(retries=0), url, tmp_path / "2")
    assert all("Range" not in fields for _, fields in site.requests)


def test_invalid_sidecars(site: Site, tmp_path: Path) -> None:
    """A partial file whose sidecar is invalid, huge or for another URL is discarded."""
    url = site.has("/a", ranged())
    notes = ["", "[]", "nonsense", json.dumps({"link": url}), "[" * 5000, " " * 70_000]
    notes += [json.dumps({"link": url, "validator": one}) for one in ("a\r\nb: c", 'W/"v"', 5, None)]
    notes += [json.dumps({"link": "http://other/", "validator": '"v1"'})]
    for number, note in enumerate(notes):
        (tmp_path / f"{number}@relay-1.part").write_bytes(b"x" * 5000)
        (tmp_path / f"{number}@relay-1.part.json").write_text(note)
        (path,) = site.downloader().download(str(number), [url], tmp_path)
        assert path.read_bytes() == BODY
        assert not list(tmp_path.glob("*.part*"))
    assert all("Range" not in fields for _, fields in site.requests)


def test_redirects(site: Site, tmp_path: Path) -> None:
    """Three redirects are followed, relative and absolute ones; a fourth is not."""
    start = site.has("/0", status(301, Location="1"))
    # Header fields may have other bytes than ASCII.
    site.has("/1", status(307, Location=f"{site.url}/图?x=/../y#z".encode().decode("latin-1")))
    site.has("/%E5%9B%BE", status(308, Location="//" + site.url.partition("//")[2] + "/3"))
    site.has("/3", plain())
    (path,) = site.downloader().download("1", [start], tmp_path)
    assert path.read_bytes() == BODY
    assert site.requests[2][0] == "/%E5%9B%BE?x=/../y"
    site.has("/3", status(302, Location="/4"))
    assert "more than 3 redirects" in error(site.downloader(), start, tmp_path / "2")
    assert len(site.requests) == 8


def test_refused_urls(site: Site, tmp_path: Path) -> None:
    """Other schemes, credentials, invalid URLs and private addresses are refused, also by redirect."""
    for target, reason in {
        "file:///etc/passwd": "only http:// and https://",
        "data:image/png;base64,AAAA": "only http:// and https://",
        "http://user:hunter2@127.0.0.1/": "user name or password",
        "http://[": "Invalid IPv6",
        "http://127.0.0.1:65536/": "Port out of range",
        "http://%20/nowhere": "no valid host",
        "http://a..b/": "the host name of the URL is not valid",
        "http://10.0.0.7/a": "10.0.0.7 is a private address",
        "http://0x7f.1:1/a": "0x7f.1 is at 127.0.0.1, a private address",
        "http://[::ffff:169.254.169.254]/a": "a private address",
        "http://LocalHost.:1/a": "operator has probably not configured",
        "//10.0.0.7/a": "10.0.0.7 is a private address",
    }.items():
        assert reason in error(site.downloader(), target, tmp_path)
        url = site.has("/a", status(302, Location=target))
        message = error(site.downloader(), url, tmp_path)
        assert message.startswith(f"{url}: redirected to ")
        assert reason in message
        assert "hunter2" not in message
    assert (len(site.requests), site.clock.slept) == (12, [])


def test_a_redirect_never_leaves_tls(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect from https to http is not followed."""
    requested = []

    @contextmanager
    def secure(url: str, *_: object, **__: object) -> Iterator[streaming.Stream]:
        requested.append(url)
        yield streaming.Stream(302, (("Location", f"{site.url}/a"),), iter(()))

    monkeypatch.setattr(streaming, "stream_url", secure)
    assert "https to http are not followed" in error(site.downloader(), "https://cdn.example/a", tmp_path)
    assert requested == ["https://cdn.example/a"]


def test_links_to_the_relay_itself(site: Site, tmp_path: Path) -> None:
    """All loopback names of the relay's port are the relay; a link without a host is resolved against it."""
    site.has("/mj/image/1", plain(PNG))
    here, there = f"http://127.0.0.1:{site.server_port}", f"http://localhost:{site.server_port}"
    links = ["/mj/image/1", "mj/image/1", f" {here}/mj/image/1", f"{there}/mj/image/1"]
    links.append(f"//localhost:{site.server_port}/mj/image/1")
    for home in (here, there):
        paths = site.downloader(home=home).download(f"from {home}", links, tmp_path)
        assert [path.read_bytes() for path in paths] == [PNG] * len(links)


def test_other_ports_of_this_machine(site: Site, tmp_path: Path) -> None:
    """Another port is refused with the usual cause, which is true wherever the relay is, unless allowed."""
    with running_site() as other:
        url = other.has("/a", plain())
        for home in (site.url, "https://relay.example"):
            message = error(site.downloader(home=home), url, tmp_path)
            assert f"127.0.0.1 is a private address of this machine and not the relay's ({home})" in message
            assert "allow_private=True, --allow-private" in message
        assert other.requests == []
        assert site.downloader(allow_private=True).download("1", [url], tmp_path)


def test_a_name_with_a_private_address(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that is connected to counts, not the name."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.168.1.1", 80)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%1", 80, 0, 1)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    message = error(site.downloader(), "http://cdn.example/a.png", tmp_path)
    assert "cdn.example is at 192.168.1.1, a private address" in message
    assert site.clock.slept == []


def test_public_addresses() -> None:
    """Private, special and embedded addresses are not public; translated public ones are."""
    private = """
        0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.168.0.1 198.18.0.1 224.0.0.1
        240.0.0.1 255.255.255.255 :: ::1 ::ffff:10.0.0.1 ::10.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1
        2001:db8::1 2001:0:808:808::f5ff:fffe 2002:a00:1:: 2002:808:808:: fc00::1 fe80::1 fec0::1 ff02::1
    """
    public = "8.8.8.8 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::8.8.8.8"
    assert [one for one in private.split() if is_public_address(ipaddress.ip_address(one))] == []
    assert all(is_public_address(ipaddress.ip_address(one)) for one in public.split())


def test_expired_urls(site: Site, tmp_path: Path) -> None:
    """The error names the expiry of a signed URL, in the formats of common storages, and no signature."""
    queries = (
        f"ex={int(NOW) - 60:x}&is=67287a24&hm=abc&",
        f"Expires={int(NOW) - 60}&Signature=abc&Key-Pair-Id=K",
        "X-Amz-Date=20241104T045900Z&X-Amz-Expires=3600&X-Amz-Signature=abc",
        "se=2024-11-04T05%3A59%3A00Z&sp=r&sig=abc",
        f"q-sign-time={int(NOW) - 3660};{int(NOW) - 60}&q-signature=abc",
    )
    for code in (400, 401, 403, 404, 410):
        url = site.has("/a.png", status(code))
        for found in errors(site.downloader(), [f"{url}?{query}" for query in queries], tmp_path).errors:
            assert found.message == (
                f"{site.url}/a.png: the signed URL expired at 2024-11-04 05:59 UTC;"
                " fetch the task again for a new one"
            )
    assert len(site.requests) == 25


def test_status_codes_without_a_file(site: Site, tmp_path: Path) -> None:
    """Each status code has its own advice, and is not retried."""
    cases = (
        (404, f"?ex={int(NOW) + 60:x}&is=1&hm=2", "signed until 2024-11-04 06:01 UTC; fetch the task again"),
        (404, "?ex=zz&hm=2", "404: the file no longer exists"),
        (410, "", "410: the file no longer exists"),
        (403, "", "403: the file is not public"),
        (418, "", "returned 418; open the URL"),
        (204, "", "returned 204"),
        (304, "", "returned 304"),
        (206, "", "returned 206"),
    )
    for code, query, advice in cases:
        assert advice in error(site.downloader(), site.has("/a", status(code)) + query, tmp_path)
    assert len(site.requests) == len(cases)


@given(
    st.dictionaries(
        st.sampled_from(["ex", "hm", "Expires", "q-sign-time", "sig", "se", "X-Amz-Date", "X-Amz-Expires"]),
        st.text(),
    )
)
def test_any_signature(fields: dict[str, str]) -> None:
    """Any signature in a URL gives an error message."""
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    assert status_message(403, MediaURL.of(f"http://example.com/a?{query}"), NOW)


def test_the_first_bytes_decide(site: Site, tmp_path: Path) -> None:
    """The extension is that of the content, whatever the media type and the URL claim."""
    brand = b"\0\0\0\x20ftyp"
    contents = {
        ".png": PNG,
        ".jpg": b"\xff\xd8\xff\xe0\0\x10JFIF",
        ".webp": WEBP,
        ".gif": b"GIF89a\x10\0",
        ".bmp": b"BM\x10\0\0\0\0\0\0\0",
        ".tiff": b"II*\0\x08\0\0\0",
        ".avif": brand + b"avif",
        ".heic": brand + b"heic",
        ".mov": brand + b"qt  ",
        ".mp4": brand + b"isom",
        ".webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm",
        ".mkv": b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x88matroska",
    }
    for extension, content in contents.items():
        for claimed in ("", "application/octet-stream", "image/jpeg", "image/webp", "text/plain"):
            for target in ("/a.png", "/mj/image/1"):
                assert media_extension(content, claimed, target) == extension
    url = site.has("/mj/image/1", ranged(WEBP, cut=7, Content_Type=""), ranged(WEBP, Content_Type=""))
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert (path.suffix, path.read_bytes()) == (".webp", WEBP)


@given(st.binary(max_size=80), st.text(max_size=40), st.text(max_size=20))
def test_any_content(head: bytes, media_type: str, path: str) -> None:
    """Any content has a known extension, or is no media."""
    with suppress(NotMediaError):
        assert media_extension(head, media_type, path) in {*EXTENSIONS.values(), ".bin"}


def test_responses_that_are_not_kept(site: Site, tmp_path: Path) -> None:
    """Web pages, JSON, empty, compressed and too large files are errors, and nothing is left of them."""
    page = b"\xef\xbb\xbf \n<!doctype html><p>" + bytes(100)
    cases = (
        (plain(page, Content_Type="text/html; charset=utf-8"), "returns a web page, not an image or a video"),
        (plain(page), "returns a web page"),
        (plain(page, Content_Type=""), "returns a web page"),
        (ranged(page, ETag='"v"'), "returns a web page"),
        (plain(b"{}", Content_Type="application/json"), "returns 'application/json', not an image"),
        (plain(b'{"error": 1}'), "returns a JSON document"),
        (plain(b"x", Content_Encoding="gzip"), "the file is compressed"),
        (plain(b"", ETag='"v"'), "is empty"),
        (plain(b"", Content_Length=""), "is empty"),
        (plain(b"x", Content_Length="2001"), "larger than 2000 bytes"),
        (plain(b"x" * 2001, Content_Length=""), "larger than 2000 bytes"),
        (ranged(b"x" * 2001, Content_Length="", ETag='"v"'), "larger than 2000 bytes"),
    )
    for answer, reason in cases:
        assert reason in error(site.downloader(largest=2000), site.has("/a", answer), tmp_path)
    assert len(site.requests) == len(cases)


def test_an_endless_file(site: Site, tmp_path: Path) -> None:
    """An endless body is read up to the limit."""
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.put(200, Content_Type="image/png", Content_Length="")
        while True:
            sent += handler.wfile.write(bytes(10_000))

    message = error(site.downloader(largest=1_000_000), site.has("/a", endless), tmp_path)
    assert "larger than 1000000 bytes" in message
    assert sent < 20_000_000


def test_retries(site: Site, tmp_path: Path) -> None:
    """A file that is always truncated fails after the retries, with growing pauses between them."""
    url = site.has("/a", plain(b"x" * 10, Content_Length="20"))
    assert "try again later" in error(site.downloader(), url, tmp_path)
    assert len(site.requests) == 4
    assert [0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(site.clock.slept)] == [True] * 3


def test_ranges_in_pieces(site: Site, tmp_path: Path) -> None:
    """A server that sends smaller ranges than requested is asked until the file is complete."""
    pieces = [part(first, first + 9999, len(BODY)) for first in (50_000, 60_000)]
    url = site.has("/a", ranged(cut=50_000), *pieces, ranged())
    (path,) = site.downloader().download("1", [url], tmp_path)
    assert path.read_bytes() == BODY
    assert site.sent == len(BODY)


def test_transient_status_codes(site: Site, tmp_path: Path) -> None:
    """They are retried after Retry-After, which is limited, or after the backoff."""
    for code, after, pause in ((429, "7", 7.0), (503, "999", 30.0), (408, "", None), (520, "soon", None)):
        site.clock.slept.clear()
        folder = tmp_path / str(code)
        url = site.has("/a", status(code, Retry_After=after), plain())
        assert site.downloader().download("1", [url], folder)
        (slept,) = site.clock.slept
        assert slept == pause if pause else 0.5 <= slept <= 1.0
        site.has("/a", status(code))
        caught = errors(site.downloader(), [url, url], folder)
        assert caught.paths == [folder / "1@relay-1.png"]
        assert f"returned {code}; try again later" in caught.errors[0].message


def drip(over: threading.Event, **fields: Any) -> Callable[[Handler], None]:
    """Answer with a byte now and then."""

    def answer(handler: Handler) -> None:
        handler.put(200, **{"Content_Type": "image/png", "Content_Length": "1000", **fields})
        if "Transfer_Encoding" in fields:
            handler.wfile.write(b"5;a")  # a chunk extension: no byte of it belongs to the file
        while not over.wait(0.02):
            handler.wfile.write(b"x")

    return answer


def test_slow_downloads(site: Site, tmp_path: Path) -> None:
    """Silence and a drip are transient errors after `read_timeout`; `timeout` limits the whole call."""
    over = threading.Event()
    chunked = {"Content_Length": "", "Transfer_Encoding": "chunked"}
    urls = [
        site.has("/a", drip(over)),
        site.has("/b", drip(over, **chunked)),
        site.has("/c", paused(over)),
    ]
    started = time.monotonic()
    caught = errors(site.downloader(read_timeout=0.2), urls, tmp_path)
    assert len(site.requests) == 12  # all are retried
    drips = [one.message for one in caught.errors[:2]]
    assert all("less than 1 KiB per second for 0.2 seconds; try again later" in one for one in drips)
    caught = errors(site.downloader(timeout=0.3), urls, tmp_path)
    assert time.monotonic() - started < 6
    over.set()
    assert all("not complete after 0.3 seconds; download again" in one.message for one in caught.errors)


def test_a_stopped_download_releases_its_file(site: Site, tmp_path: Path) -> None:
    """The next call resumes the file immediately, although the thread of the first still waits in a read."""
    stop, over = threading.Event(), threading.Event()
    site.has("/b", plain())
    urls = [site.has("/a", paused(over, ETag='"v1"'), ranged()), site.url + "/b"]

    def listener(progress: Download) -> None:
        if progress.received == 5000:
            stop.set()

    started = time.monotonic()
    with pytest.raises(SomeFilesError, match="stopped before the file was complete") as caught:
        site.downloader(concurrency=1).download("1", urls, tmp_path, listener, stop)
    assert (len(caught.value.errors), caught.value.paths) == (2, [])
    paths = site.downloader(retries=0).download("1", urls, tmp_path)
    assert time.monotonic() - started < 4
    over.set()
    for thread in threading.enumerate():
        if thread.name == "mjrelay-download":
            thread.join()
    assert [path.read_bytes() for path in paths] == [BODY, BODY]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert [fields.get("Range") for path, fields in site.requests if path == "/a"] == [None, "bytes=5000-"]


def test_a_cancelled_download_releases_its_file(site: Site, tmp_path: Path) -> None:
    """After the cancellation of `AsyncRelay.download` the next call resumes the file immediately."""
    over = threading.Event()
    url = site.has("/a", paused(over, ETag='"v1"'), ranged())
    task = {"id": "1", "status": "SUCCESS", "progress": "100%", "imageUrl": url}

    async def run() -> list[Path]:
        async with AsyncRelay("newapi", "key-of-a-test", base_url=site.url) as relay:
            read = relay.read(json.dumps(task).encode())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await relay.download(read, tmp_path)
            async with asyncio.timeout(0.5):  # shorter than the backoff after a locked file
                return await relay.download(read, tmp_path)

    (path,) = asyncio.run(run())
    over.set()
    assert path.read_bytes() == BODY
    assert list(tmp_path.iterdir()) == [path]
    assert site.requests[1][1]["Range"] == "bytes=5000-"


def test_a_stop_ends_the_thread(site: Site, tmp_path: Path) -> None:
    """A stopped thread ends although bytes arrive that do not belong to the file, and no file is left."""
    stop, over = threading.Event(), threading.Event()
    before = set(threading.enumerate())
    url = site.has("/a", drip(over, Content_Length="", Transfer_Encoding="chunked"))
    with pytest.raises(SomeFilesError, match="stopped"):
        site.downloader().download("1", [url], tmp_path, lambda _: stop.set(), stop)
    left = [one for one in set(threading.enumerate()) - before if one.name == "mjrelay-download"]
    for thread in left:
        thread.join(3)
    alive = [thread for thread in left if thread.is_alive()]
    over.set()
    assert (alive, list(tmp_path.iterdir())) == ([], [])


def test_previews(site: Site, tmp_path: Path) -> None:
    """A newer preview replaces an older one of any type; previews and final files have different names."""
    url = site.has("/p", plain(PNG), plain(WEBP, Content_Type="image/webp"), plain(PNG))
    downloader = site.downloader()
    for content, name in ((PNG, "1.png"), (WEBP, "1.webp"), (PNG, "1.png")):
        (path,) = downloader.download("1", [url], tmp_path, previews=True)
        assert (path.name, path.read_bytes()) == (f"1@relay-preview-{name}", content)
        assert list(tmp_path.iterdir()) == [path]
    final = [site.has("/f", plain(b"final"))]
    paths = [*downloader.download("1", final, tmp_path), *downloader.download("1-preview", final, tmp_path)]
    assert paths[0].name == "1@relay-1.png"
    assert [one.read_bytes() for one in paths] == [b"final", b"final"]


SYMLINKS = pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege here")


@SYMLINKS
def test_symbolic_links_are_not_followed(site: Site, tmp_path: Path) -> None:
    """A symbolic link in the folder is replaced, and its target is not changed or created."""
    for number, name in enumerate(("part", "part.json", "png")):
        for exists in (True, False):
            target, folder = tmp_path / f"precious{number}{exists}", tmp_path / f"out{number}{exists}"
            folder.mkdir()
            (folder / f"1@relay-1.{name}").symlink_to(target)
            if exists and name != "png":  # that would be an existing file
                target.write_bytes(b"mine")
            url = site.has("/a", ranged(cut=5000), ranged())
            (path,) = site.downloader().download("1", [url], folder)
            assert (path.read_bytes(), path.is_symlink()) == (BODY, False)
            assert list(folder.iterdir()) == [path]
            assert target.exists() == (exists and name != "png")
            assert not target.exists() or target.read_bytes() == b"mine"


@SYMLINKS
def test_a_sidecar_behind_a_symbolic_link(site: Site, tmp_path: Path) -> None:
    """A new sidecar replaces the link, also if the old one was valid and the file has changed."""
    target, folder = tmp_path / "precious", tmp_path / "out"
    folder.mkdir()
    url = site.has("/a", ranged(ETag='"v2"'))
    note = json.dumps({"link": url, "validator": '"v1"'})
    target.write_text(note)
    (folder / "1@relay-1.part").write_bytes(BODY[:5000])
    (folder / "1@relay-1.part.json").symlink_to(target)
    (path,) = site.downloader().download("1", [url], folder)
    assert site.requests[0][1]["If-Range"] == '"v1"'
    assert (path.read_bytes(), target.read_text()) == (BODY, note)


@SYMLINKS
def test_a_symbolic_link_at_the_last_moment(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is created between the check and the opening is an error, and not followed."""
    target, folder = tmp_path / "precious", tmp_path / "out"
    folder.mkdir()
    (folder / "1@relay-1.part").symlink_to(target)
    monkeypatch.setattr(Path, "is_symlink", lambda _: False)
    caught = errors(site.downloader(), [site.has("/a", plain())], folder)
    assert "the file cannot be written (" in caught.errors[0].message
    assert not target.exists()


def test_files_that_cannot_be_written(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid folder, a file in its place and a full disk are errors with advice, and not retried."""
    (tmp_path / "file").write_text("")
    for folder in ("a\0b", "\ud800", "x" * 5000, "file"):
        caught = errors(site.downloader(), [site.has("/a", plain())], tmp_path / folder)
        assert "the file cannot be written (" in caught.errors[0].message
        assert caught.errors[0].message.endswith("check its folder, or choose another")
    assert site.requests == []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    caught = errors(site.downloader(), [site.has("/a", plain())], tmp_path)
    assert "the file cannot be written (No space left on device)" in caught.errors[0].message
    assert site.clock.slept == []


@given(st.lists(st.text(min_size=0, max_size=120), max_size=8, unique=True))
def test_names_are_safe_and_never_shared(ids: list[str]) -> None:
    """Any id gives a plain name of its own, also where case is ignored."""
    ids += {safe_name(one) + suffix for one in ids for suffix in ("", "-preview")} - set(ids)
    names = [safe_name(one) for one in ids]
    assert len({name.lower() + suffix for name in names for suffix in ("", "-preview")}) == 2 * len(ids)
    for name in names:
        assert name == PurePosixPath(name).name
        assert name.isascii()
        assert all(character.isalnum() or character in "._-" for character in name)
        assert not name.startswith((".", "-"))
        assert len(name) <= 100


def test_names_of_relays() -> None:
    """Two relays never share a name: neither two contracts, nor one contract at two URLs."""
    default = "https://relay.example"
    assert source_name("relay", default, default) == "relay"
    found = {
        source_name(name, url, default)
        for name in ("relay", "relay2", "Relay")
        for url in (default, "http://127.0.0.1:1", "http://127.0.0.1:2", "https://relay.example/mj")
    }
    assert len(found) == 12
    assert all(PurePosixPath(one).name == one and "@" not in one for one in found)


def test_an_id_is_never_a_path(site: Site, tmp_path: Path) -> None:
    """Ids with path separators, reserved names and upper case get another name."""
    url, folder = site.has("/a", plain()), tmp_path / "in"
    for name in ("../../etc/passwd", "..", "CON", "nul.txt", "a\0b", "C:\\x", "A", "", "\ud800"):
        (path,) = site.downloader().download(name, [url], folder)
        assert path.parent == folder
        assert list(folder.iterdir()) == [path]
        assert path.name != f"{name}@relay-1.png"
        assert path.name.split("@")[0].split(".")[0].lower() not in {"con", "nul"}
        path.unlink()


def test_existing_files_are_kept(site: Site, tmp_path: Path) -> None:
    """An existing file is not requested, whatever its extension, and counts as complete."""
    urls = [site.has("/a", plain()), site.has("/b", plain())]
    for number, extension in enumerate((".png", ".mp4", ".bin")):
        folder = tmp_path / str(number)
        folder.mkdir()
        kept = folder / f"1@relay-2{extension}"
        kept.write_bytes(b"mine")
        progress: list[Download] = []
        assert site.downloader().download("1", urls, folder, progress.append) == [
            folder / "1@relay-1.png",
            kept,
        ]
        assert kept.read_bytes() == b"mine"
        assert Download(urls[1], kept, 4, 4) in progress
    assert {path for path, _ in site.requests} == {"/a"}


def test_one_failed_file_does_not_lose_the_others(site: Site, tmp_path: Path) -> None:
    """All are tried; the error holds the errors and the paths of the others."""
    urls = [site.has(path, plain()) for path in ("/a", "/b", "/c")]
    site.has("/b", status(404))
    caught = errors(site.downloader(concurrency=1), [*urls, "ftp://x/?sig=abc"], tmp_path)
    assert caught.paths == [tmp_path / "1@relay-1.png", tmp_path / "1@relay-3.png"]
    assert [one.url for one in caught.errors] == [urls[1], "ftp://x/?sig=abc"]
    assert ["404" in one.message for one in caught.errors] == [True, False]
    assert str(caught).count("; ") >= 1
    assert "abc" not in str(caught)


def test_concurrency(site: Site, tmp_path: Path) -> None:
    """As many files are downloaded concurrently as allowed, and no more."""
    meeting = threading.Barrier(3)

    def answer(handler: Handler) -> None:
        meeting.wait(10)
        plain()(handler)

    urls = [site.has(f"/{number}", answer) for number in range(9)]
    assert len(site.downloader(concurrency=3).download("1", urls, tmp_path)) == 9
    assert site.busiest == 3
    assert site.downloader().download("1", [], tmp_path) == []


def test_an_error_of_the_listener(site: Site, tmp_path: Path) -> None:
    """It is raised after the downloads. The listener is called in the caller's thread."""
    threads = set()

    def listener(_: Download) -> None:
        threads.add(threading.current_thread())
        raise ZeroDivisionError

    urls = [site.has("/a", plain(Content_Length="")), site.has("/b", plain())]
    with pytest.raises(ZeroDivisionError):
        site.downloader().download("1", urls, tmp_path, listener)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1@relay-1.png", "1@relay-2.png"]
    assert threads == {threading.current_thread()}
    site.has("/c", status(404))
    with pytest.raises(SomeFilesError) as caught:
        site.downloader().download("1", [*urls, site.url + "/c"], tmp_path, listener)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_progress_without_a_size(site: Site, tmp_path: Path) -> None:
    """The total is None if the server does not report it."""
    progress: list[Download] = []
    url = site.has("/a", plain(Content_Length=""))
    (path,) = site.downloader().download("1", [url], tmp_path, progress.append)
    assert progress[-1] == Download(url, path, len(BODY), None)


def test_two_downloads_never_write_one_file(site: Site, tmp_path: Path) -> None:
    """A second download waits for the first, and takes its file."""
    pytest.importorskip("fcntl", reason="files are not locked here")
    over = threading.Event()
    url = site.has("/a", paused(over))
    first = threading.Thread(target=site.downloader().download, args=("1", [url], tmp_path))
    first.start()
    while not site.sent:
        time.sleep(0.01)
    with pytest.raises(SomeFilesError, match="another download is writing the same file"):
        site.downloader().download("1", [url], tmp_path)
    over.set()
    first.join()
    assert site.downloader().download("1", [url], tmp_path)[0].read_bytes() == BODY
    assert len(site.requests) == 1


def test_a_file_that_was_renamed_is_not_written(tmp_path: Path) -> None:
    """A partial file that another download finished before the lock was taken is not written."""
    pytest.importorskip("fcntl", reason="files are not locked here")
    path = tmp_path / "1-1.part"
    with path.open("ab") as file:
        assert is_only_writer(file, path)
        path.rename(tmp_path / "1-1.png")
        assert not is_only_writer(file, path)
        path.touch()
        assert not is_only_writer(file, path)


def test_invalid_certificates_are_a_setting_error(site: Site, tmp_path: Path) -> None:
    """Certificates that cannot be read are a `SettingError`, not an error of the file."""
    downloader = site.downloader(verify=str(tmp_path / "none.pem"))
    with pytest.raises(SettingError, match="cannot read certificates"):
        downloader.download("1", [site.url.replace("http:", "https:")], tmp_path)


def test_a_proxy(site: Site, tmp_path: Path) -> None:
    """The request goes to the proxy; a name or address of this machine never does."""
    site.answers["http://cdn.example/a"] = [plain()]
    downloader = site.downloader(home="https://relay.example", proxy=site.url)
    (path,) = downloader.download("1", ["http://cdn.example/a"], tmp_path)
    assert path.read_bytes() == BODY
    for host in ("localhost", "2130706433", "[::1]", "127.0.0.1.", "0x7f.1."):
        assert "a private address" in error(downloader, f"http://{host}/a", tmp_path / "2")
    assert len(site.requests) == 1
    assert "hunter2" not in repr(site.downloader(proxy="http://a:hunter2@b"))
