"""
Downloading what a task made: files in a folder, whole or not at all.

What a relay answers may name anything, so each link, each redirect and each address is looked at before it
is connected to, nothing of an answer becomes a path, and no credential is sent.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from attrs import field, frozen

from mjrelay.base import Clock, __version__
from mjrelay.download.headers import (
    _PREVIEW,
    _continued,
    _extension,
    _kind,
    _length,
    _refusal,
    _safe,
    _validator,
)
from mjrelay.download.job import Download, DownloadFault, DownloadFaults, _Job, _PassingError
from mjrelay.download.partial import _Part
from mjrelay.http import (
    LOOPBACK,
    UNSENT,
    Exchange,
    MediaURL,
    Redactor,
    is_public_address,
    plain_url,
    retry_after,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mjrelay.http import Address, Headers
    from mjrelay.transport import Stream


REDIRECTS = 3
"""Redirects of one link that are followed."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts at a file, whatever the server wants."""

_TICK = 0.05
"""Seconds between two looks at how far the files are."""
_UNTYPED = {"", "application/octet-stream", "binary/octet-stream"}


@frozen(kw_only=True)
class Downloader:
    """
    Downloads files, several at once.

    ``home`` is the relay's own origin, which may be in a private network; others may with ``allow_private``.
    ``redactor`` takes secrets out of messages.
    ``timeout`` bounds each wait and ``longest`` one file altogether, in seconds; ``largest`` bounds it in
    bytes. ``retries`` is how often a file is asked for again after trouble that may pass.
    """

    home: str
    redactor: Redactor = field(factory=Redactor, repr=False)
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
        jobs = [_Job(url, folder / f"{name}-{number}", self.redactor) for number, url in enumerate(urls, 1)]
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
    def _asked(self, job: _Job, part: _Part, deadline: float) -> Iterator[tuple[Stream, MediaURL]]:
        """The answer that the redirects lead to, and where it came from."""
        fields: Headers = (
            ("User-Agent", f"mjrelay/{__version__}"),
            ("Accept", "image/*, video/*, */*;q=0.1"),
        )
        if part.validator is not None:
            fields = (*fields, ("Range", f"bytes={part.size}-"), ("If-Range", part.validator))
        link: MediaURL | None = None
        target, job.redirected = job.url, ""
        for _ in range(REDIRECTS + 1):
            link = self._link(job, target, link)
            with self._answer(job, link, fields, max(deadline - self.clock.now(), 0.001)) as answer:
                target = answer.header("location") or ""
                if answer.status not in {301, 302, 303, 307, 308} or not target:
                    yield answer, link
                    return
            job.redirected = f"it redirects to {job.shown(target)}, and there: "
        raise job.fault(f"more than {REDIRECTS} redirects are not followed; open the link in a browser")

    def _link(self, job: _Job, url: str, before: MediaURL | None) -> MediaURL:
        """The link, or where it leads from the one before, unless its form alone forbids to follow it."""
        try:
            if before is not None:
                # Fields are read as Latin-1; what is beyond ASCII goes on as the bytes that it is.
                url = urljoin(before.url, UNSENT.sub(lambda match: quote(match[0].encode("latin-1")), url))
            link = MediaURL.of(url)
        except ValueError as error:
            raise job.fault(f"{error}; open it in a browser if you trust it") from error
        if before is not None and (before.scheme, link.scheme) == ("https", "http"):
            raise job.fault("a redirect from https to http is not followed; ask the relay")
        # Where a proxy looks names up, this one is its own.
        if f".{link.host.rstrip('.')}".endswith(".localhost") and not self._trusts(link):
            raise job.fault(private(link, LOOPBACK))
        return link

    @contextmanager
    def _answer(self, job: _Job, link: MediaURL, fields: Headers, left: float) -> Iterator[Stream]:
        """The answer at one link, whose address is admitted."""
        from mjrelay.transport import RefusedAddressError, StreamError, stream_url  # noqa: PLC0415 - seldom

        refused: list[Address] = []

        def admit(address: Address) -> bool:
            admitted = self._trusts(link) or is_public_address(address)
            if not admitted:
                refused.append(address)
            return admitted

        way: Any = {"timeout": min(self.timeout, left), "proxy": self.proxy, "verify": self.verify}
        try:
            with stream_url(link.url, fields, admit=admit, **way) as answer:
                yield answer
        except RefusedAddressError as error:
            raise job.fault(private(link, refused[0]) if refused else str(error)) from error
        except StreamError as error:
            raise _PassingError(str(error)) from error

    def _trusts(self, link: MediaURL) -> bool:
        """Whether a link may lead into a private network."""
        home = MediaURL.of(self.home)
        return self.allow_private or (link.host, link.port) == (home.host, home.port)

    def _begun(self, job: _Job, part: _Part, answer: Stream, link: MediaURL) -> int | None:
        """The size that the file will have, if known; the part is where the body goes on."""
        status = answer.status
        if status in {408, 425, 429} or status >= 500:
            exchange = Exchange("GET", plain_url(link.url), status=status, headers=answer.headers)
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
            what = "a web page" if "html" in kind else ascii(job.redactor.text(kind)[:80])
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


def private(link: MediaURL, address: Address) -> str:
    """What to say of a link to an address that is not of the Internet at large."""
    what = f"{address} is a private address"
    if link.host != str(address):
        what = f"{link.host} is at {address}, a private address"
    if address.is_loopback:
        what += (
            ", this very machine, but the relay is elsewhere: most likely its operator never set the address"
            " at which it is reached, and should be told"
        )
    return f"{what}; if that is right, give allow_private=True"
