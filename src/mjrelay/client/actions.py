"""The submits of a relay, the same for `Relay` and `AsyncRelay`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack

from attrs import field, frozen

from mjrelay.base import SettingError
from mjrelay.client.images import read_images
from mjrelay.client.submission import TaskLike, id_of
from mjrelay.client.task import Task
from mjrelay.contract import Parent
from mjrelay.semantics import ARGUMENTS, MEDIA, TEXTS, Button

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay.client.images import ImageSource
    from mjrelay.contract import Contract

S = TypeVar("S")
"""What a submit returns: a `Submission`, or an awaitable of one."""


class SubmitOptions(TypedDict, total=False):
    """Arguments that every submit takes where the relay has a place for them."""

    speed: str
    """``fast``, ``relax`` or ``turbo``."""
    aspect: str
    """The aspect ratio, such as ``16:9``; for a blend ``portrait``, ``square`` or ``landscape``."""
    bot: str
    """``midjourney`` or ``niji``."""
    state: str
    """A token that the task repeats. Default: a random one, where the relay repeats it."""
    callback: str
    """The URL that the relay calls when the task changes."""
    secret: str
    """A secret that the relay sends with a callback."""
    timeout: float
    """Seconds for one request. Default: 5 s longer than the relay takes at most."""
    fields: Mapping[str, Any]
    """Further members of the request body, as the relay names them."""


@frozen
class SubmitCall:
    """
    The arguments of one submit, as the caller gave them.

    Attributes:
        action: The action.
        arguments: The arguments by name; images are read.
        task: The parent task, its submission or its id, or None.
        button: The button to press, or None.
        timeout: Seconds for one request, or None.
        fields: Further members of the request body.
    """

    action: str
    arguments: Mapping[str, Any] = field(repr=False)
    task: TaskLike | None = None
    button: Button | str | None = None
    timeout: float | None = None
    fields: Mapping[str, Any] = field(factory=dict, repr=False)

    def parent_to_fetch(self, contract: Contract) -> TaskLike | None:
        """Return the parent if its document has to be fetched for its buttons, else None."""
        named = isinstance(self.button, str) and not isinstance(self.task, Task)
        known = any(one.form.action == self.action for one in contract.submits)
        return self.task if named and known and contract.reader.has_buttons else None

    def complete(self, contract: Contract, parent: Task | None) -> dict[str, Any]:
        """
        Return all arguments, with the parent and its button.

        Raises:
            SettingError: The parent has no such button.
        """
        arguments = {name: value for name, value in self.arguments.items() if value is not None}
        task = parent if parent is not None else self.task
        if isinstance(task, Task):
            arguments["task"] = Parent(task.id, task.document)
        elif task is not None:
            arguments["task"] = Parent(id_of(contract, task))
        if self.button is not None:
            arguments["button"] = _found(contract, self.button, task if isinstance(task, Task) else None)
        return arguments


def _found(contract: Contract, button: Button | str, task: Task | None) -> Button | str:
    if isinstance(button, Button):
        return button
    buttons = () if task is None else task.buttons
    for part in ("id", "label", "emoji"):
        for one in buttons:
            if getattr(one, part) == button:
                return one
    placements = (one.form.arguments["button"] for one in contract.submits if "button" in one.form.arguments)
    if any(placement.pressed(button) is not None for placement in placements):
        return button
    names = [str(one.label or one.emoji or one.id) for one in buttons]
    for operation in contract.submits:
        if "button" in operation.form.arguments:
            names += operation.form.arguments["button"].values
    shown = ", ".join(dict.fromkeys(names)) or "none"
    state = "" if task is None else f" ({task.state.value}{f': {task.failure}' if task.failure else ''})"
    raise SettingError(f"there is no button {button!r}; the task{state} has: {shown}")


class Actions(Generic[S]):
    """
    Submits. Each costs money, and is sent once.

    A submit is repeated only if none of its bytes was sent, or if the relay's response says that it did not
    take the task and takes it later. Every method raises:

    - `SettingError`: The relay's contract has no such action, or does not take these arguments.
    - `SpendingLimitError`: ``max_submits`` is reached.
    - `SubmitOutcomeUnknownError`: The task may run, but its id is not known. Do not send it again blindly.
    - `SubmitError`, `RelayError`: The relay refused it. ``charged`` and ``may_resend`` say what follows.
    """

    def _submit(self, call: SubmitCall) -> S:
        raise NotImplementedError

    def imagine(
        self, prompt: str, *, images: Sequence[ImageSource] = (), **options: Unpack[SubmitOptions]
    ) -> S:
        """
        Draw images from a prompt.

        Args:
            prompt: The prompt with its flags, such as ``a pig --v 6.1``.
            images: Images before the prompt: URLs, paths or bytes.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("imagine", prompt=prompt, images=images or None, **options)

    def blend(self, images: Sequence[ImageSource], **options: Unpack[SubmitOptions]) -> S:
        """
        Blend two to five images.

        Args:
            images: URLs, paths or bytes.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("blend", images=images, **options)

    def describe(self, image: ImageSource, **options: Unpack[SubmitOptions]) -> S:
        """
        Suggest prompts for an image; they are in ``Task.prompts`` at the end.

        Args:
            image: A URL, a path or bytes.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("describe", images=[image], **options)

    def shorten(self, prompt: str, **options: Unpack[SubmitOptions]) -> S:
        """
        Suggest shorter prompts; they are in ``Task.prompts`` at the end.

        Args:
            prompt: The prompt.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("shorten", prompt=prompt, **options)

    def press(self, task: TaskLike, button: Button | str, **options: Unpack[SubmitOptions]) -> S:
        """
        Press a button of a finished task: upscale, vary, redraw.

        Args:
            task: The task, its submission or its id. Without the task itself, it is fetched first.
            button: A button of the task, or its id, label or emoji, such as ``U1``. Where a relay has no
                buttons, ``U1`` to ``U4``, ``V1`` to ``V4`` and ``reroll`` work if the contract has them.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`, or to `modal` if ``needs_modal`` is set.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("press", task=task, button=button, **options)

    def modal(
        self,
        task: TaskLike,
        prompt: str | None = None,
        *,
        mask: ImageSource | None = None,
        **options: Unpack[SubmitOptions],
    ) -> S:
        """
        Confirm the window that a button opened.

        Args:
            task: The submission that needs it, its task or its id.
            prompt: The prompt. Default: the relay's.
            mask: The part to draw anew, in white: a URL, a path or bytes.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("modal", task=task, prompt=prompt, mask=mask, **options)

    def video(
        self,
        prompt: str | None = None,
        *,
        image: ImageSource | None = None,
        end: ImageSource | None = None,
        motion: str | None = None,
        task: TaskLike | None = None,
        index: int | None = None,
        **options: Unpack[SubmitOptions],
    ) -> S:
        """
        Make a video from an image or a task.

        Args:
            prompt: What happens in the video.
            image: The first frame: a URL, a path or bytes.
            end: The last frame.
            motion: ``low`` or ``high``.
            task: A task to start from.
            index: Which of its results.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit(
            "video", prompt=prompt, images=image, end=end, motion=motion, task=task, index=index, **options
        )

    def edits(
        self,
        prompt: str,
        image: ImageSource,
        *,
        mask: ImageSource | None = None,
        **options: Unpack[SubmitOptions],
    ) -> S:
        """
        Edit an image by a prompt.

        Args:
            prompt: What to change.
            image: A URL, a path or bytes.
            mask: The part to change, in white.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("edits", prompt=prompt, images=image, mask=mask, **options)

    def swap_face(self, source: ImageSource, target: ImageSource, **options: Unpack[SubmitOptions]) -> S:
        """
        Put the face of one image into another.

        Args:
            source: The image with the face: a URL, a path or bytes.
            target: The image that receives it.
            **options: See `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("swap-face", source=source, target=target, **options)

    def upload(self, images: Sequence[ImageSource], **options: Unpack[SubmitOptions]) -> S:
        """
        Upload images.

        Args:
            images: URLs, paths or bytes.
            **options: See `SubmitOptions`.

        Returns:
            The submission; its ``links`` are the URLs of the images.

        Raises:
            RelayError: See `Actions`.
        """
        return self.submit("upload", images=images, **options)

    def submit(self, action: str, **arguments: Any) -> S:
        """
        Submit any action of the relay's contract.

        Args:
            action: The action, as the contract's `x-mj-submit` names it.
            **arguments: The arguments: ``prompt``, ``images``, ``task``, ``button`` and the others that
                `docs/x-mj-submit.md` lists, and those of `SubmitOptions`.

        Returns:
            The submission; pass it to `wait`.

        Raises:
            RelayError: See `Actions`.
        """
        timeout, fields = arguments.pop("timeout", None), arguments.pop("fields", None) or {}
        task, button = arguments.pop("task", None), arguments.pop("button", None)
        unknown = arguments.keys() - set(ARGUMENTS)
        if unknown:
            known = ", ".join(ARGUMENTS)
            raise SettingError(f"{min(unknown)} is not an argument; write one of {known}, or use fields=")
        if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
            raise SettingError("fields is not a mapping; pass the relay's names and their values")
        try:
            json.dumps(dict(fields), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise SettingError(f"fields has a value that is not JSON ({error})") from error
        for name in TEXTS:
            value = arguments.get(name)
            if not isinstance(value, str | int | None) or isinstance(value, bool):
                raise SettingError(f"{name} is {type(value).__name__}; pass text")
        if not isinstance(button, Button | str | None) or (action == "press" and not button):
            raise SettingError(f"there is no button {button!r}; pass one of the task, or its label")
        for name in MEDIA:
            if arguments.get(name) is not None:
                arguments[name] = read_images(name, arguments[name])
        _check(action, arguments, task)
        return self._submit(SubmitCall(action, arguments, task, button, timeout, fields))


_RATIO = re.compile(r"[0-9.]+:[0-9.]+|portrait|square|landscape")
_URL = re.compile(r"https?://[^\s/?#]+\S*")


def _check(action: str, arguments: Mapping[str, Any], task: TaskLike | None) -> None:
    """Raise `SettingError` for arguments that no relay can use, so that none is paid for."""
    aspect, callback = arguments.get("aspect"), arguments.get("callback")
    if aspect is not None and not (isinstance(aspect, str) and _RATIO.fullmatch(aspect)):
        raise SettingError(f"aspect is {aspect!r}; write a ratio such as 16:9")
    if callback is not None and not (isinstance(callback, str) and _URL.fullmatch(callback)):
        raise SettingError(f"callback is {callback!r}; write an http or https URL")
    if action == "video" and task is None and arguments.get("images") is None:
        raise SettingError("a video needs an image or a task to start from")
