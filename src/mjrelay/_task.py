"""One task, the same for every relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay._reader import State

if TYPE_CHECKING:
    from datetime import datetime

    from mjrelay._reader import Button, Reader


@frozen
class Task:
    """
    A task as it stood when it was read.

    ``status`` is the relay's own word and ``progress`` percent from 0 to 100, None where it is unknown.
    ``images`` and ``videos`` are URLs of what a succeeded task made; while it runs, or when it did not
    succeed, the same places hold ``previews``. ``document`` is the JSON as sent.
    """

    relay: str
    id: str
    state: State
    status: Any
    kind: str | None
    prompt: str | None
    progress: int | None
    images: tuple[str, ...]
    videos: tuple[str, ...]
    previews: tuple[str, ...]
    inputs: tuple[str, ...]
    buttons: tuple[Button, ...]
    submitted: datetime | None
    started: datetime | None
    finished: datetime | None
    failure: str | None
    document: Any = field(repr=False)

    @classmethod
    def read(cls, relay: str, reader: Reader, document: Any) -> Task:
        """The task that a document holds."""
        state = reader.state(document)
        images, videos = reader.images(document), reader.videos(document)
        done = state is State.SUCCEEDED
        return cls(
            relay=relay,
            id=str(reader.id(document)),
            state=state,
            status=reader.status(document),
            kind=reader.kind(document),
            prompt=reader.prompt(document),
            progress=reader.progress(document),
            images=images if done else (),
            videos=videos if done else (),
            previews=() if done else tuple(dict.fromkeys((*images, *videos))),
            inputs=reader.inputs(document),
            buttons=reader.buttons(document),
            submitted=reader.submitted.read(document) if reader.submitted else None,
            started=reader.started.read(document) if reader.started else None,
            finished=reader.finished.read(document) if reader.finished else None,
            failure=reader.failure(document) if state is State.FAILED else None,
            document=document,
        )

    def to_dict(self) -> dict[str, Any]:
        """The task as plain data that JSON can hold; times are RFC 3339 text."""
        times = {"submitted": self.submitted, "started": self.started, "finished": self.finished}
        return {
            "relay": self.relay,
            "id": self.id,
            "state": self.state.value,
            "status": self.status,
            "kind": self.kind,
            "prompt": self.prompt,
            "progress": self.progress,
            "images": list(self.images),
            "videos": list(self.videos),
            "previews": list(self.previews),
            "inputs": list(self.inputs),
            "buttons": [{"id": b.id, "label": b.label, "emoji": b.emoji} for b in self.buttons],
            **{name: None if moment is None else moment.isoformat() for name, moment in times.items()},
            "failure": self.failure,
        }
