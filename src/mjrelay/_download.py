"""
Downloading what a task made: files in a folder, whole or not at all.

What a relay answers may name anything, so each link, each redirect and each address is looked at before it
is connected to, nothing of an answer becomes a path, and no credential is sent.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections import deque
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urljoin

from attrs import define, field, frozen

from mjrelay._answers import retry_after
from mjrelay._clock import Clock
from mjrelay._exchange import Exchange
from mjrelay._link import LOOPBACK, UNSENT, Link, expiry, plain, private, public, shown
from mjrelay._version import __version__

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence
    from io import BufferedWriter
    from pathlib import Path

    from mjrelay._exchange import Headers
    from mjrelay._link import Address
    from mjrelay._wire._stream import Stream


REDIRECTS = 3
"""Redirects of one link that are followed."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts at a file, whatever the server wants."""

_TICK = 0.05
"""Seconds between two looks at how far the files are."""

_EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "video/x-matroska": ".mkv",
}
_FROM_PATH = {extension: extension for extension in _EXTENSIONS.values()} | {".jpeg": ".jpg"}
_KNOWN = (*sorted(set(_EXTENSIONS.values())), ".bin")
_UNTYPED = {"", "application/octet-stream", "binary/octet-stream"}

_VALIDATOR = re.compile(r'"[!#-~]{1,200}"|[A-Z][a-z]{2}, [0-9A-Za-z :-]{10,40}')
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
_HASHED = re.compile(r".*-[0-9a-f]{16}")
_PREVIEW = "-preview"


@frozen
class Download:
    """How far a file is: bytes ``received`` of ``total``, which is None where the server does not say."""

    url: str
    path: Path
    received: int
    total: int | None


class DownloadFault(Exception):  # noqa: N818 - it is no error of the family before the face has made one of it
    """Why one file was not had; the message shows the link without its query, which may be a signature."""

    def __init__(self, url: str, message: str) -> None:
        self.url, self.message = url, message
        super().__init__(message)


class DownloadFaults(Exception):  # noqa: N818 - as above
    """Why some files were not had, and the ``paths`` of those that were."""

    def __init__(self, faults: Sequence[DownloadFault], paths: Sequence[Path]) -> None:
        self.faults, self.paths = list(faults), list(paths)
        super().__init__("; ".join(fault.message for fault in faults))


class _PassingError(Exception):
    """An attempt failed in a way that the next may not; ``pause`` is what the server asks for, in seconds."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        self.pause = pause
        super().__init__(message)


@define(eq=False)
class _Job:
    """One file: ``stem`` is its path without the extension."""

    url: str
    stem: Path
    progress: Download | None = None
    told: Download | None = None
    outcome: Path | Exception | None = None
    redirected: str = ""

    def path(self, ending: str) -> Path:
        return self.stem.with_name(self.stem.name + ending)

    def there(self) -> Path | None:
        """The finished file, if there is one."""
        return next(filter(os.path.isfile, map(self.path, _KNOWN)), None)

    def fault(self, message: str) -> DownloadFault:
        return DownloadFault(self.url, f"{shown(self.url)}: {self.redirected}{message}")


class _Part:
    """
    What has come of a file, and a note beside it of the validator by which the rest can be asked for.

    The note is written while the file is empty, so that it never tells of other bytes than those that follow.
    What cannot be gone on with is removed, and so is a symbolic link in the place of either, for it would
    lead the bytes elsewhere. Raises `_PassingError` where somebody else is writing the file, and
    `DownloadFault` where it cannot be written.
    """

    def __init__(self, job: _Job) -> None:
        self._job, self._path, self._note = job, job.path(".part"), job.path(".part.json")
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_symlink():
                self._path.unlink()
            self._file = open(self._path, "ab", opener=_unlinked)  # noqa: SIM115 - closed on exit
            self._mine = _alone(self._file, self._path)
            if not self._mine:
                self._file.close()
                raise _PassingError("another download is writing the same file")
            self.size = self._file.tell()
            self.validator = self._noted() if self.size else None
        if self.validator is None:
            self.begin(None)

    def begin(self, validator: str | None) -> None:
        """Start anew."""
        with self._writing():
            self._file.truncate(0)
            self.size, self.validator = 0, validator
            self._note.unlink(missing_ok=True)
            if validator is not None:
                with self._note.open("x", encoding="ascii") as file:  # a new file follows no symbolic link
                    json.dump({"link": plain(self._job.url), "validator": validator}, file)

    def write(self, chunk: bytes) -> None:
        with self._writing():
            self._file.write(chunk)
        self.size += len(chunk)

    def finish(self, path: Path) -> None:
        """Give the file its name, in one step."""
        with self._writing():
            self._file.flush()
            self._release()
            self._path.replace(path)
            self._mine = False
            self._note.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing(), self._file:
            if self._mine and not (self.size and self.validator):
                self._release()
                self._note.unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)

    def _release(self) -> None:
        """Before a file goes: Windows wants it closed, elsewhere it stays locked until it is gone."""
        if os.name == "nt":
            self._file.close()

    def _noted(self) -> str | None:
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            note = json.loads(self._note.read_text(encoding="ascii"))
            if note["link"] == plain(self._job.url) and _VALIDATOR.fullmatch(note["validator"]):
                return str(note["validator"])
        return None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError is for a folder whose name cannot be one
            reason = getattr(error, "strerror", None) or error
            hint = "see to its folder, or choose another"
            raise self._job.fault(f"the file cannot be written ({reason}); {hint}") from error


@frozen(kw_only=True)
class Downloader:
    """
    Downloads files, several at once.

    ``home`` is the relay's own origin, which may be in a private network; others may with ``allow_private``.
    ``timeout`` bounds each wait and ``longest`` one file altogether, in seconds; ``largest`` bounds it in
    bytes. ``retries`` is how often a file is asked for again after trouble that may pass.
    """

    home: str
    allow_private: bool = False
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str | ssl.SSLContext = True
    timeout: float = 60.0
    longest: float = 3600.0
    retries: int = 3
    concurrency: int = 4
    largest: int = 512 * 1024 * 1024
    clock: Clock = field(factory=Clock)

    def download(
        self,
        task_id: str,
        urls: Sequence[str],
        folder: Path,
        on_progress: Callable[[Download], object] | None = None,
        stop: threading.Event | None = None,
        *,
        previews: bool = False,
    ) -> list[Path]:
        """
        The paths of the files, in the order of their links.

        A file that is there is kept; ``previews`` have names of their own, so that none is taken for the
        finished picture. ``on_progress`` is called in the thread that runs this, and what it raises is raised
        when the files are had. Setting ``stop`` ends it soon. Raises `DownloadFaults` when all were tried and
        some were not had.
        """
        name, halt, raised = _safe(task_id) + (_PREVIEW if previews else ""), threading.Event(), None
        jobs = [_Job(url, folder / f"{name}-{number}") for number, url in enumerate(urls, 1)]
        waiting = deque(jobs)
        # Daemons, for an interpreter that ends does not wait for them: what has come is safe at any moment.
        crew = [
            threading.Thread(target=self._work, args=(waiting, halt), name="mjrelay-download", daemon=True)
            for _ in range(min(max(self.concurrency, 1), len(jobs)))
        ]
        try:
            for thread in crew:
                thread.start()
            while alive := [thread for thread in crew if thread.is_alive()]:
                if stop is not None and stop.is_set():
                    break
                alive[0].join(_TICK)
                raised = raised or _tell(jobs, on_progress)
            raised = raised or _tell(jobs, on_progress)
        finally:
            halt.set()
        return _outcome(jobs, raised)

    def _work(self, waiting: deque[_Job], halt: threading.Event) -> None:
        with suppress(IndexError):
            while not halt.is_set():
                job = waiting.popleft()
                try:
                    job.outcome = self._fetch(job, halt)
                except Exception as error:  # noqa: BLE001 - raised again where the caller sees it
                    job.outcome = error

    def _fetch(self, job: _Job, halt: threading.Event) -> Path:
        """Attempt it until it is had, or it is no use, or enough."""
        deadline = self.clock.now() + self.longest
        for attempt in count():
            try:
                return self._attempt(job, deadline, halt)
            except _PassingError as error:
                backoff = 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                pause = min(max(error.pause, backoff), LONGEST_PAUSE)
                if attempt >= self.retries or self.clock.now() + pause >= deadline:
                    hint = "try again later; what has come is kept where its server can go on with it"
                    raise job.fault(f"{error}; {hint}") from error
            self.clock.sleep(pause)
            if halt.is_set():
                break
        raise _stopped(job)

    def _attempt(self, job: _Job, deadline: float, halt: threading.Event) -> Path:
        if (path := job.there()) is not None:
            size = path.stat().st_size
            job.progress = Download(job.url, path, size, size)
            return path
        with _Part(job) as part, self._asked(job, part, deadline) as (answer, link):
            total = self._begun(job, part, answer, link)
            path = job.path(_extension(answer, link))
            job.progress = Download(job.url, path, part.size, total)
            for chunk in answer.chunks():
                if halt.is_set():
                    raise _stopped(job)
                if self.clock.now() > deadline:
                    raise job.fault(f"it was not whole after {self.longest:g} seconds; ask again to go on")
                if part.size + len(chunk) > self.largest:
                    self._too_large(job, part)
                part.write(chunk)
                job.progress = Download(job.url, path, part.size, total)
            if total is not None and part.size != total:
                raise _PassingError(f"it ended after {part.size} of {total} bytes")
            if not part.size:
                raise job.fault("the file is empty; fetch the task again, or ask the relay")
            part.finish(path)
            return path

    @contextmanager
    def _asked(self, job: _Job, part: _Part, deadline: float) -> Iterator[tuple[Stream, Link]]:
        """The answer that the redirects lead to, and where it came from."""
        fields: Headers = (
            ("User-Agent", f"mjrelay/{__version__}"),
            ("Accept", "image/*, video/*, */*;q=0.1"),
        )
        if part.validator is not None:
            fields = (*fields, ("Range", f"bytes={part.size}-"), ("If-Range", part.validator))
        link: Link | None = None
        target, job.redirected = job.url, ""
        for _ in range(REDIRECTS + 1):
            link = self._link(job, target, link)
            with self._answer(job, link, fields, max(deadline - self.clock.now(), 0.001)) as answer:
                target = answer.header("location") or ""
                if answer.status not in {301, 302, 303, 307, 308} or not target:
                    yield answer, link
                    return
            job.redirected = f"it redirects to {shown(target)}, and there: "
        raise job.fault(f"more than {REDIRECTS} redirects are not followed; open the link in a browser")

    def _link(self, job: _Job, url: str, before: Link | None) -> Link:
        """The link, or where it leads from the one before, unless its form alone forbids to follow it."""
        try:
            if before is not None:
                # Fields are read as Latin-1; what is beyond ASCII goes on as the bytes that it is.
                url = urljoin(before.url, UNSENT.sub(lambda match: quote(match[0].encode("latin-1")), url))
            link = Link.of(url)
        except ValueError as error:
            raise job.fault(f"{error}; open it in a browser if you trust it") from error
        if before is not None and (before.scheme, link.scheme) == ("https", "http"):
            raise job.fault("a redirect from https to http is not followed; ask the relay")
        # Where a proxy looks names up, this one is its own.
        if f".{link.host.rstrip('.')}".endswith(".localhost") and not self._trusts(link):
            raise job.fault(private(link, LOOPBACK))
        return link

    @contextmanager
    def _answer(self, job: _Job, link: Link, fields: Headers, left: float) -> Iterator[Stream]:
        """The answer at one link, whose address is admitted."""
        from mjrelay._wire._stream import RefusedAddressError, StreamError, stream  # noqa: PLC0415 - seldom

        refused: list[Address] = []

        def admit(address: Address) -> bool:
            admitted = self._trusts(link) or public(address)
            if not admitted:
                refused.append(address)
            return admitted

        way: Any = {"timeout": min(self.timeout, left), "proxy": self.proxy, "verify": self.verify}
        try:
            with stream(link.url, fields, admit=admit, **way) as answer:
                yield answer
        except RefusedAddressError as error:
            raise job.fault(private(link, refused[0]) if refused else str(error)) from error
        except StreamError as error:
            raise _PassingError(str(error)) from error

    def _trusts(self, link: Link) -> bool:
        """Whether a link may lead into a private network."""
        home = Link.of(self.home)
        return self.allow_private or (link.host, link.port) == (home.host, home.port)

    def _begun(self, job: _Job, part: _Part, answer: Stream, link: Link) -> int | None:
        """The size that the file will have, if known; the part is where the body goes on."""
        status = answer.status
        if status in {408, 425, 429} or status >= 500:
            exchange = Exchange("GET", plain(link.url), status=status, headers=answer.headers)
            raise _PassingError(f"the server answered {status}", retry_after(exchange) or 0.0)
        validator, total = _validator(answer), _length(answer)
        if status == 206:
            total = _continued(answer, part.size)
        if part.size and (
            status == 416 or (status == 206 and (total is None or validator not in {None, part.validator}))
        ):
            part.begin(None)
            raise _PassingError("the server cannot go on where the file broke off")
        if status != 200 and (status != 206 or total is None):
            raise job.fault(_refusal(status, link, self.clock.time()))
        kind = _kind(answer)
        if kind not in _UNTYPED and not kind.startswith(("image/", "video/")):
            what = "a web page" if "html" in kind else ascii(kind[:80])
            raise job.fault(f"the link leads to {what}, to no image or video; open it in a browser")
        if (answer.header("content-encoding") or "identity").lower() != "identity":
            raise job.fault("the file comes compressed, which was not asked for; ask the relay")
        if status == 200:
            part.begin(validator)
        if total is not None and total > self.largest:
            self._too_large(job, part)
        return total

    def _too_large(self, job: _Job, part: _Part) -> None:
        part.begin(None)
        raise job.fault(f"the file is larger than {self.largest} bytes; open the link in a browser")


def _tell(jobs: Sequence[_Job], listener: Callable[[Download], object] | None) -> Exception | None:
    """Tell what is new; what the listener raises is returned, and the files go on."""
    if listener is not None:
        for job in jobs:
            if (progress := job.progress) is not None and progress != job.told:
                job.told = progress
                try:
                    listener(progress)
                except Exception as error:  # noqa: BLE001 - raised again when the files are had
                    return error
    return None


def _outcome(jobs: Sequence[_Job], raised: Exception | None) -> list[Path]:
    """What became of the jobs, raised where it is not all well."""
    paths: list[Path] = []
    faults: list[DownloadFault] = []
    for job in jobs:
        match job.outcome or _stopped(job):
            case DownloadFault() as fault:
                faults.append(fault)
            case Exception() as error:
                raise error
            case path:
                paths.append(path)
    if faults:
        raise DownloadFaults(faults, paths) from raised
    if raised is not None:
        raise raised
    return paths


def _stopped(job: _Job) -> DownloadFault:
    return job.fault("stopped before the file was whole; ask again to go on")


def _unlinked(path: str, flags: int) -> int:
    """Open a file for itself alone; where a symbolic link stands in its place, that is an OSError."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _alone(file: BufferedWriter, path: Path) -> bool:
    """Whether nobody else has the file, until it is closed; believed where files cannot be locked."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    try:  # who had it before may have moved it away
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _safe(task_id: str) -> str:
    """
    A name for the files of a task, another for each id, on every system.

    Where the id itself is none, or might be taken for another one's, a hash stands behind what is left of it;
    capitals are such a case, for some systems do not tell them from small letters.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", task_id)[:80].lstrip(".-")
    kept = name and name == task_id == task_id.lower() and not name.endswith(_PREVIEW)
    if kept and not _RESERVED.fullmatch(name) and not _HASHED.fullmatch(name):
        return name
    from hashlib import sha256  # noqa: PLC0415 - seldom needed

    if _RESERVED.fullmatch(name.lower()):
        name = f"_{name}"
    return f"{name or 'task'}-{sha256(task_id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _kind(answer: Stream) -> str:
    return (answer.header("content-type") or "").partition(";")[0].strip().lower()


def _extension(answer: Stream, link: Link) -> str:
    found = _EXTENSIONS.get(_kind(answer))
    return found or _FROM_PATH.get(PurePosixPath(link.path).suffix.lower(), ".bin")


def _validator(answer: Stream) -> str | None:
    """By what the file can be known again; a weak tag does not tell bytes apart."""
    found = answer.header("etag") or answer.header("last-modified") or ""
    return found if _VALIDATOR.fullmatch(found) else None


def _length(answer: Stream) -> int | None:
    value = (answer.header("content-length") or "").strip()
    return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None


def _continued(answer: Stream, offset: int) -> int | None:
    """The size of the file where the answer goes on at the offset, else None."""
    match = _RANGE.fullmatch((answer.header("content-range") or "").strip())
    if match is None:
        return None
    first, last, total = map(int, match.groups())
    return total if first == offset <= last < total else None


def _refusal(status: int, link: Link, now: float) -> str:
    """What to make of a status that gives no file."""
    expires = expiry(link.url)
    if 400 <= status < 500 and expires is not None:
        moment = f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC"
        if expires <= now:
            return f"the link is signed and expired at {moment}; fetch the task again for a fresh one"
        return (
            f"answered {status}, though the link is signed until {moment};"
            " fetch the task again for a fresh one"
        )
    if status in {401, 403}:
        return (
            f"answered {status}: the file is not for everybody, and the key is not sent to it; ask the relay"
        )
    if status in {404, 410}:
        return (
            f"answered {status}: the file is gone; relays keep files for a while only: fetch the task again"
        )
    return f"answered {status}; open the link in a browser to see why"
