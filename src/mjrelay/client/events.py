"""Results and events of a `Poller`, and what the callers' iterators make of the events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from mjrelay.client.task import RelayError, SomeTasksError, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PollResult = Mapping[str, Task | RelayError] | RelayError
"""The task or error of each requested id, or one error for the whole request."""


@frozen
class TaskUpdated:
    """The task changed and is still pending."""

    task: Task


@frozen
class TaskDone:
    """The task reached the state that the caller waits for."""

    task: Task


@frozen
class FetchFailed:
    """The task could not be fetched, and polling it has stopped."""

    error: RelayError


Event = TaskUpdated | TaskDone | FetchFailed


class EventHandler(Protocol):
    """Turns events into the tasks that an iterator yields."""

    def handle(self, event: Event) -> Iterator[Task]:
        """Yield the tasks that the caller receives for an event."""

    def finish(self) -> None:
        """Raise the errors that were collected."""


class Watcher:
    """Yields every snapshot of one task, and raises its error."""

    def handle(self, event: Event) -> Iterator[Task]:
        if isinstance(event, FetchFailed):
            raise event.error
        yield event.task

    def finish(self) -> None:
        """Do nothing: `handle` raises."""


@define(eq=False)
class Collector:
    """Yields finished tasks, and passes errors to ``on_error`` or collects them until the end."""

    on_progress: Callable[[Task], object] | None = None
    on_error: Callable[[RelayError], object] | None = None
    _errors: list[RelayError] = field(factory=list, init=False)

    def handle(self, event: Event) -> Iterator[Task]:
        if isinstance(event, FetchFailed):
            (self.on_error or self._errors.append)(event.error)
            return
        if self.on_progress is not None:
            self.on_progress(event.task)
        if isinstance(event, TaskDone):
            yield event.task

    def finish(self) -> None:
        """Raise `SomeTasksError` for collected errors."""
        if self._errors:
            raise SomeTasksError(self._errors)
