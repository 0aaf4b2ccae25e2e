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
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from attrs import field, frozen

from mjrelay.base import Clock, __version__
from mjrelay.download import headers
from mjrelay.download.job import Download, FileError, Job, SomeFilesError, TransientError
from mjrelay.download.media_types import HEAD, NotMediaError, media_extension
from mjrelay.download.names import PREVIEW, safe_name
from mjrelay.download.partial import PartialFile
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

_SLOWEST = 1024
"""Bytes per second below which an attempt has stalled."""

_STOPPED = "stopped before the file was complete"


@frozen(kw_only=True)
class Downloader:
    """
    Download files concurrently.

    Attributes:
        home: The relay's origin. It may be a private address, and links without a host lead to it.
        source: The part of file names that names the relay; see `source_name`.
        redactor: Removes secrets from messages.
        allow_private: Allow other private addresses.
        proxy: See `TransportConfig`.
        verify: See `TransportConfig`.
        read_timeout: Seconds for a response head, and for each read. An attempt that receives less than 1 KiB
            per second for as long is ended too.
        timeout: Seconds for all files.
        retries: Maximum number of retries of one file after transient errors.
        concurrency: Maximum number of concurrent downloads.
        largest: Maximum size of one file in bytes.
        clock: Time and sleep.
    """

    home: str
    source: str
    redactor: Redactor = field(factory=Redactor, repr=False)
    allow_private: bool = False
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str | ssl.SSLContext = True
    read_timeout: float = 30.0
    timeout: float = 3600.0
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
            task_id: The files are named after the task and `source`.
            urls: URLs of the files.
            folder: Folder for the files; it is created if it is missing.
            on_progress: Called in this thread. An error that it raises is raised after the downloads.
            stop: Set this event to stop early.
            previews: The files are previews. They have other names than the final files, and replace existing
                ones, because a preview changes.

        Raises:
            SomeFilesError: At least one file failed. All files were tried.
        """
        name, raised = f"{safe_name(task_id)}@{self.source}{PREVIEW if previews else ''}", None
        jobs = [
            Job(url, folder / f"{name}-{number}", self.redactor, replace=previews)
            for number, url in enumerate(urls, 1)
        ]
        waiting, deadline, reason = deque(jobs), self.clock.now() + self.timeout, _STOPPED
        # Daemon threads do not delay the exit of the interpreter. Partial files are valid at any time.
        threads = [
            threading.Thread(
                target=self._work, args=(waiting, deadline), name="mjrelay-download", daemon=True
            )
            for _ in range(min(max(self.concurrency, 1), len(jobs)))
        ]
        try:
            for thread in threads:
                thread.start()
            while alive := [thread for thread in threads if thread.is_alive()]:
                if stop is not None and stop.is_set():
                    break
                if self.clock.now() > deadline:
                    reason = f"not complete after {self.timeout:g} seconds"
                    break
                alive[0].join(_TICK)
                raised = raised or _report_progress(jobs, on_progress)
            raised = raised or _report_progress(jobs, on_progress)
        finally:
            for job in jobs:
                job.stop(reason)
        return _result(jobs, raised)

    def _work(self, waiting: deque[Job], deadline: float) -> None:
        with suppress(IndexError):
            while not (job := waiting.popleft()).stop_reason:
                try:
                    job.result = self._fetch(job, deadline)
                except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
                    job.result = error

    def _fetch(self, job: Job, deadline: float) -> Path:
        """Try until the file is complete, an error is permanent, or no retries are left."""
        attempt = 0
        while not job.stop_reason:
            try:
                return self._attempt(job)
            except TransientError as error:
                backoff = 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                pause = min(max(error.pause, backoff), LONGEST_PAUSE)
                if attempt >= self.retries or self.clock.now() + pause >= deadline:
                    hint = "try again later; the partial file is resumed if the server supports it"
                    raise job.error(f"{error}; {hint}") from error
            self.clock.sleep(pause)
            attempt += 1
        raise job.stopped()

    def _attempt(self, job: Job) -> Path:
        if not job.replace and (path := next(job.existing(), None)) is not None:
            size = path.stat().st_size
            job.progress = Download(job.url, path, size, size)
            return path
        with PartialFile(job) as part, self._open(job, part) as (response, link):
            total, path = self._check_response(job, part, response, link), None
            window, before = self.clock.now() + self.read_timeout, part.size
            for chunk in response.chunks():
                if part.size + len(chunk) > self.largest:
                    self._too_large(job, part)
                part.write(chunk)
                if path is None and len(part.head) == HEAD:
                    path = self._path(job, part, response, link)
                job.progress = Download(job.url, path or job.path(".part"), part.size, total)
                if (now := self.clock.now()) > window:
                    if part.size - before < _SLOWEST * self.read_timeout:
                        raise TransientError(f"less than 1 KiB per second for {self.read_timeout:g} seconds")
                    window, before = now + self.read_timeout, part.size
            if total is not None and part.size != total:
                raise TransientError(f"the response ended after {part.size} of {total} bytes")
            if not part.size:
                raise job.error("the file is empty; fetch the task again, or contact the relay")
            path = path or self._path(job, part, response, link)
            job.progress = Download(job.url, path, part.size, total)
            part.finish(path)
            return path

    def _path(self, job: Job, part: PartialFile, response: Stream, link: MediaURL) -> Path:
        """Return the path of the file, with the extension for its content; raise `FileError`."""
        try:
            return job.path(media_extension(part.head, headers.media_type(response), link.path))
        except NotMediaError as error:
            part.begin(None)
            what = job.redactor.text(str(error))
            hint = "not an image or a video; open it in a browser"
            raise job.error(f"the URL returns {what}, {hint}") from error

    @contextmanager
    def _open(self, job: Job, part: PartialFile) -> Iterator[tuple[Stream, MediaURL]]:
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
            with self._response(job, link, fields) as response:
                target = response.header("location") or ""
                if response.status not in {301, 302, 303, 307, 308} or not target:
                    yield response, link
                    return
            job.redirected = f"redirected to {job.shown(target)}: "
        raise job.error(f"more than {REDIRECTS} redirects; open the URL in a browser")

    def _link(self, job: Job, url: str, before: MediaURL | None) -> MediaURL:
        """Return the URL, resolved against the previous one or `home`; raise `FileError` if not allowed."""
        try:
            if before is not None:
                # Header fields are decoded as Latin-1; other bytes than ASCII are sent unchanged.
                url = UNSENT.sub(lambda match: quote(match[0].encode("latin-1")), url)
            link = MediaURL.of(urljoin(self.home if before is None else before.url, url.strip()))
        except ValueError as error:
            raise job.error(f"{error}; open it in a browser if you trust it") from error
        if before is not None and (before.scheme, link.scheme) == ("https", "http"):
            raise job.error("redirects from https to http are not followed; contact the relay")
        # A proxy would resolve this name to itself.
        if f".{link.host.rstrip('.')}".endswith(".localhost") and not self._may_be_private(link):
            raise job.error(private_address(link, LOOPBACK, self.home))
        return link

    @contextmanager
    def _response(self, job: Job, link: MediaURL, fields: Headers) -> Iterator[Stream]:
        """Yield the response of one URL, from an allowed address."""
        from mjrelay.transport import RefusedAddressError, StreamError, stream_url  # noqa: PLC0415 - slow to import

        refused: list[Address] = []

        def admit(address: Address) -> bool:
            admitted = self._may_be_private(link) or is_public_address(address)
            if not admitted:
                refused.append(address)
            return admitted

        options: Any = {"timeout": self.read_timeout, "proxy": self.proxy, "verify": self.verify}
        try:
            with stream_url(link.url, fields, admit=admit, **options) as response:
                yield response
        except RefusedAddressError as error:
            message = private_address(link, refused[0], self.home) if refused else str(error)
            raise job.error(message) from error
        except StreamError as error:
            raise TransientError(str(error)) from error

    def _may_be_private(self, link: MediaURL) -> bool:
        """Return whether a URL may lead to a private address."""
        return self.allow_private or link.same_server(MediaURL.of(self.home))

    def _check_response(self, job: Job, part: PartialFile, response: Stream, link: MediaURL) -> int | None:
        """Check the response head, prepare the partial file, and return the total size if it is known."""
        status = response.status
        if status in {408, 425, 429} or status >= 500:
            exchange = Exchange("GET", plain_url(link.url), status=status, headers=response.headers)
            raise TransientError(f"the server returned {status}", retry_after(exchange) or 0.0)
        validator, total = headers.validator(response), headers.content_length(response)
        if status == 206:
            total = headers.total_size(response, part.size)
        if part.size and (
            status == 416 or (status == 206 and (total is None or validator not in {None, part.validator}))
        ):
            part.begin(None)
            raise TransientError("the server cannot resume the partial file")
        if status != 200 and (status != 206 or total is None):
            raise job.error(headers.status_message(status, link, self.clock.time()))
        if (response.header("content-encoding") or "identity").lower() != "identity":
            raise job.error("the file is compressed, which was not requested; contact the relay")
        if status == 200:
            part.begin(validator)
        if total is not None and total > self.largest:
            self._too_large(job, part)
        return total

    def _too_large(self, job: Job, part: PartialFile) -> None:
        part.begin(None)
        raise job.error(f"the file is larger than {self.largest} bytes; open the URL in a browser")


def _report_progress(jobs: Sequence[Job], listener: Callable[[Download], object] | None) -> Exception | None:
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


def _result(jobs: Sequence[Job], raised: Exception | None) -> list[Path]:
    """Return the paths of the files, or raise the errors of the jobs."""
    paths: list[Path] = []
    errors: list[FileError] = []
    for job in jobs:
        match job.result or job.stopped():
            case FileError() as error:
                errors.append(error)
            case Exception() as error:
                raise error
            case path:
                paths.append(path)
    if errors:
        raise SomeFilesError(errors, paths) from raised
    if raised is not None:
        raise raised
    return paths


def private_address(link: MediaURL, address: Address, home: str) -> str:
    """Return the error message for a URL at a private address that is not the relay's."""
    what = f"{address} is a private address"
    if link.host != str(address):
        what = f"{link.host} is at {address}, a private address"
    if address.is_loopback:
        what += (
            f" of this machine and not the relay's ({plain_url(home)}): the operator has probably not"
            " configured the relay's public address; report it"
        )
    return f"{what}; if that is intended, allow it (allow_private=True, --allow-private)"
