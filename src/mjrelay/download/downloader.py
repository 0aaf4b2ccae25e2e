"""
Download the media of a task to a folder.

URLs come from the relay and are not trusted. Each URL, redirect and address is checked before the connection
(SSRF), no part of a response becomes a path (path traversal), and no credential is sent.
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
    _error_message,
    _extension,
    _length,
    _media_type,
    _safe_name,
    _total_size,
    _validator,
)
from mjrelay.download.job import Download, DownloadFault, DownloadFaults, _Job, _TransientError
from mjrelay.download.partial import _PartialFile
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
"""Maximum number of redirects."""

LONGEST_PAUSE = 30.0
"""Maximum seconds between two attempts, including `Retry-After`."""

_TICK = 0.05
"""Seconds between two progress reports."""
_UNTYPED = {"", "application/octet-stream", "binary/octet-stream"}


@frozen(kw_only=True)
class Downloader:
    """
    Download files concurrently.

    Attributes:
        home: The relay's origin. It may be a private address.
        redactor: Removes secrets from messages.
        allow_private: Allow other private addresses.
        proxy: See `TransportConfig`.
        verify: See `TransportConfig`.
        timeout: Seconds for each read.
        longest: Seconds for one file.
        retries: Maximum number of retries of one file after transient errors.
        concurrency: Maximum number of concurrent downloads.
        largest: Maximum size of one file in bytes.
        clock: Time and sleep.
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
        Return the paths of the files, in the order of their URLs. Existing files are skipped.

        Args:
            task_id: The files are named after the task.
            urls: URLs of the files.
            folder: Folder for the files; it is created if it is missing.
            on_progress: Called in this thread. An error that it raises is raised after the downloads.
            stop: Set this event to stop early.
            previews: The files are previews. They have other names than the final files.

        Raises:
            DownloadFaults: At least one file failed. All files were tried.
        """
        name, halted, raised = _safe_name(task_id) + (_PREVIEW if previews else ""), threading.Event(), None
        jobs = [_Job(url, folder / f"{name}-{number}", self.redactor) for number, url in enumerate(urls, 1)]
        waiting = deque(jobs)
        # Daemon threads do not delay the exit of the interpreter. Partial files are valid at any time.
        threads = [
            threading.Thread(target=self._work, args=(waiting, halted), name="mjrelay-download", daemon=True)
            for _ in range(min(max(self.concurrency, 1), len(jobs)))
        ]
        try:
            for thread in threads:
                thread.start()
            while alive := [thread for thread in threads if thread.is_alive()]:
                if stop is not None and stop.is_set():
                    break
                alive[0].join(_TICK)
                raised = raised or _report_progress(jobs, on_progress)
            raised = raised or _report_progress(jobs, on_progress)
        finally:
            halted.set()
        return _result(jobs, raised)

    def _work(self, waiting: deque[_Job], halted: threading.Event) -> None:
        with suppress(IndexError):
            while not halted.is_set():
                job = waiting.popleft()
                try:
                    job.result = self._fetch(job, halted)
                except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
                    job.result = error

    def _fetch(self, job: _Job, halted: threading.Event) -> Path:
        """Try until the file is complete, an error is permanent, or no retries are left."""
        deadline = self.clock.now() + self.longest
        for attempt in count():
            try:
                return self._attempt(job, deadline, halted)
            except _TransientError as error:
                backoff = 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                pause = min(max(error.pause, backoff), LONGEST_PAUSE)
                if attempt >= self.retries or self.clock.now() + pause >= deadline:
                    hint = "try again later; the partial file is resumed if the server supports it"
                    raise job.fault(f"{error}; {hint}") from error
            self.clock.sleep(pause)
            if halted.is_set():
                break
        raise _stopped(job)

    def _attempt(self, job: _Job, deadline: float, halted: threading.Event) -> Path:
        if (path := job.existing()) is not None:
            size = path.stat().st_size
            job.progress = Download(job.url, path, size, size)
            return path
        with _PartialFile(job) as part, self._open(job, part, deadline) as (response, link):
            total = self._check_response(job, part, response, link)
            path = job.path(_extension(response, link))
            job.progress = Download(job.url, path, part.size, total)
            for chunk in response.chunks():
                if halted.is_set():
                    raise _stopped(job)
                if self.clock.now() > deadline:
                    raise job.fault(f"not complete after {self.longest:g} seconds; download again to resume")
                if part.size + len(chunk) > self.largest:
                    self._too_large(job, part)
                part.write(chunk)
                job.progress = Download(job.url, path, part.size, total)
            if total is not None and part.size != total:
                raise _TransientError(f"the response ended after {part.size} of {total} bytes")
            if not part.size:
                raise job.fault("the file is empty; fetch the task again, or contact the relay")
            part.finish(path)
            return path

    @contextmanager
    def _open(self, job: _Job, part: _PartialFile, deadline: float) -> Iterator[tuple[Stream, MediaURL]]:
        """Follow redirects. Yield the final response and its URL."""
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
            with self._response(job, link, fields, max(deadline - self.clock.now(), 0.001)) as response:
                target = response.header("location") or ""
                if response.status not in {301, 302, 303, 307, 308} or not target:
                    yield response, link
                    return
            job.redirected = f"redirected to {job.shown(target)}: "
        raise job.fault(f"more than {REDIRECTS} redirects; open the URL in a browser")

    def _link(self, job: _Job, url: str, before: MediaURL | None) -> MediaURL:
        """Return the URL, resolved against the previous one; raise `DownloadFault` if it is not allowed."""
        try:
            if before is not None:
                # Header fields are decoded as Latin-1; other bytes than ASCII are sent unchanged.
                url = urljoin(before.url, UNSENT.sub(lambda match: quote(match[0].encode("latin-1")), url))
            link = MediaURL.of(url)
        except ValueError as error:
            raise job.fault(f"{error}; open it in a browser if you trust it") from error
        if before is not None and (before.scheme, link.scheme) == ("https", "http"):
            raise job.fault("redirects from https to http are not followed; contact the relay")
        # A proxy would resolve this name to itself.
        if f".{link.host.rstrip('.')}".endswith(".localhost") and not self._may_be_private(link):
            raise job.fault(private_address(link, LOOPBACK))
        return link

    @contextmanager
    def _response(self, job: _Job, link: MediaURL, fields: Headers, left: float) -> Iterator[Stream]:
        """Yield the response of one URL, from an allowed address."""
        from mjrelay.transport import RefusedAddressError, StreamError, stream_url  # noqa: PLC0415 - slow to import

        refused: list[Address] = []

        def admit(address: Address) -> bool:
            admitted = self._may_be_private(link) or is_public_address(address)
            if not admitted:
                refused.append(address)
            return admitted

        options: Any = {"timeout": min(self.timeout, left), "proxy": self.proxy, "verify": self.verify}
        try:
            with stream_url(link.url, fields, admit=admit, **options) as response:
                yield response
        except RefusedAddressError as error:
            raise job.fault(private_address(link, refused[0]) if refused else str(error)) from error
        except StreamError as error:
            raise _TransientError(str(error)) from error

    def _may_be_private(self, link: MediaURL) -> bool:
        """Return whether a URL may lead to a private address."""
        home = MediaURL.of(self.home)
        return self.allow_private or (link.host, link.port) == (home.host, home.port)

    def _check_response(self, job: _Job, part: _PartialFile, response: Stream, link: MediaURL) -> int | None:
        """Check the response head, prepare the partial file, and return the total size if it is known."""
        status = response.status
        if status in {408, 425, 429} or status >= 500:
            exchange = Exchange("GET", plain_url(link.url), status=status, headers=response.headers)
            raise _TransientError(f"the server returned {status}", retry_after(exchange) or 0.0)
        validator, total = _validator(response), _length(response)
        if status == 206:
            total = _total_size(response, part.size)
        if part.size and (
            status == 416 or (status == 206 and (total is None or validator not in {None, part.validator}))
        ):
            part.begin(None)
            raise _TransientError("the server cannot resume the partial file")
        if status != 200 and (status != 206 or total is None):
            raise job.fault(_error_message(status, link, self.clock.time()))
        kind = _media_type(response)
        if kind not in _UNTYPED and not kind.startswith(("image/", "video/")):
            what = "a web page" if "html" in kind else ascii(job.redactor.text(kind)[:80])
            raise job.fault(f"the URL returns {what}, not an image or a video; open it in a browser")
        if (response.header("content-encoding") or "identity").lower() != "identity":
            raise job.fault("the file is compressed, which was not requested; contact the relay")
        if status == 200:
            part.begin(validator)
        if total is not None and total > self.largest:
            self._too_large(job, part)
        return total

    def _too_large(self, job: _Job, part: _PartialFile) -> None:
        part.begin(None)
        raise job.fault(f"the file is larger than {self.largest} bytes; open the URL in a browser")


def _report_progress(jobs: Sequence[_Job], listener: Callable[[Download], object] | None) -> Exception | None:
    """Call the listener for each job with progress. Return an error that it raises."""
    if listener is not None:
        for job in jobs:
            if (progress := job.progress) is not None and progress != job.reported:
                job.reported = progress
                try:
                    listener(progress)
                except Exception as error:  # noqa: BLE001 - raised after the downloads
                    return error
    return None


def _result(jobs: Sequence[_Job], raised: Exception | None) -> list[Path]:
    """Return the paths of the files, or raise the errors of the jobs."""
    paths: list[Path] = []
    faults: list[DownloadFault] = []
    for job in jobs:
        match job.result or _stopped(job):
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
    return job.fault("stopped before the file was complete; download again to resume")


def private_address(link: MediaURL, address: Address) -> str:
    """Return the error message for a URL at a private address."""
    what = f"{address} is a private address"
    if link.host != str(address):
        what = f"{link.host} is at {address}, a private address"
    if address.is_loopback:
        what += (
            " of this machine, but the relay is on another one: the operator has probably not configured the"
            " public address of the relay; report it"
        )
    return f"{what}; if that is intended, pass allow_private=True"
