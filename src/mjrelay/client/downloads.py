"""Download the media of a task, with the errors of the client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mjrelay.client.task import DownloadError
from mjrelay.download import Downloader, SomeFilesError
from mjrelay.semantics import State

if TYPE_CHECKING:
    from os import PathLike

    from mjrelay.client.task import Task


def download_task(
    downloader: Downloader, task: Task, folder: str | PathLike[str], *, previews: bool, **options: Any
) -> list[Path]:
    """Download the task's files into the folder, and return their paths; raise `DownloadError`."""
    media = _media(task, previews=previews)
    try:
        unfinished = task.state is not State.SUCCEEDED
        return downloader.download(task.id, media, Path(folder), previews=unfinished, **options)
    except SomeFilesError as failed:
        failures = {error.url: error.message for error in failed.errors}
        raise DownloadError(
            f"task {task.id}: {'; '.join(failures.values())}",
            failures=failures,
            paths=failed.paths,
            relay=task.relay,
            task=task,
        ) from failed


def _media(task: Task, *, previews: bool) -> tuple[str, ...]:
    # The image of a video task may be the video itself.
    media = tuple(dict.fromkeys((*task.images, *task.videos, *(task.previews if previews else ()))))
    if not media and task.state is not State.SUCCEEDED:
        if task.previews:
            hint = "download its previews with previews=True"
        elif task.state.terminal:
            hint = "the task has ended, so no further media will appear"
        else:
            hint = "wait until it has succeeded"
        raise DownloadError(
            f"task {task.id} is {task.state} and has no media to download; {hint}",
            failures={},
            paths=(),
            relay=task.relay,
            task=task,
        )
    return media
