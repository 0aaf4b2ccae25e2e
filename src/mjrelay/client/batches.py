"""Batches, and how many ids one may have: learned from the batches that worked and failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from mjrelay.client.task import RateLimitedError, TransportError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.client.pending import PendingTask
    from mjrelay.client.task import RelayError

_RELAY_ERRORS = (TransportError, UnavailableError, RateLimitedError)
"""Errors of the whole relay: they do not show whether it supports batches."""

_MAX_FAILURES = 3
"""Consecutive failed batches after which batching stops, if none ever worked."""


@define(eq=False)
class Batch:
    """
    The tasks of one request. They stay together after the request has failed.

    Attributes:
        tasks: The tasks.
        failures: The number of consecutive failures.
        sent: The number of the last request.
        failed: The number of the response that reported the first failure.
        probed: Whether one of the tasks was sent alone, to find out if the relay is up.
    """

    tasks: list[PendingTask]
    failures: int = 0
    sent: int = 0
    failed: int = 0
    probed: bool = False

    def halves(self, failed: int) -> Iterator[Batch]:
        """Yield the batch in two parts; each is split again when it fails."""
        half = len(self.tasks) // 2
        for part in (self.tasks[:half], self.tasks[half:]):
            if len(part) == 1:
                part[0].alone = True
            yield Batch(part, failures=1, failed=failed)


@define(eq=False)
class BatchSize:
    """
    The maximum number of ids in one request.

    Attributes:
        limit: The number, or None if each task is fetched alone.
    """

    limit: int | None
    _worked: bool = False
    _failures: int = 0
    _counted: int = 0
    _requests: int = 0

    def count_request(self, batch: Batch) -> None:
        """Count a request, and note its number in the batch."""
        self._requests += 1
        batch.sent = self._requests

    def count_success(self, size: int) -> None:
        """Count a batch that worked."""
        self._worked, self._failures = True, 0
        if self.limit is not None:
            self.limit = max(self.limit, size)

    def count_failure(self, batch: Batch, error: RelayError, *, saw_task: bool) -> None:
        """
        Count a failed batch, and stop batching after three in a row if none ever worked.

        Batches in flight together count once. An error of the whole relay counts only if single tasks work.
        """
        if self.limit is None or self._worked or batch.sent <= self._counted:
            return
        if isinstance(error, _RELAY_ERRORS) and not saw_task:
            return
        self._failures, self._counted = self._failures + 1, self._requests
        if self._failures >= _MAX_FAILURES:
            self.limit = None
        elif not error.transient:
            # The relay's limit may be lower than the contract's, so the next batches are smaller.
            self.limit = max(2, self.limit // 4)


def as_batch_size(limit: int | BatchSize | None) -> BatchSize:
    """Return the size itself, which several pollers may share, or a new one with this limit."""
    return limit if isinstance(limit, BatchSize) else BatchSize(limit)
