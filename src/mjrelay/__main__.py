"""The command, also as ``python -m mjrelay``. Nothing is imported before Ctrl-C is handled."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the command. Ctrl-C at any time is exit code 130 and prints the command to start again."""
    try:
        from mjrelay.cli import main as run  # noqa: PLC0415 - see above

        run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the message
        again = shlex.join(["mjrelay", *sys.argv[1:]])
        with suppress(AttributeError, OSError, ValueError):  # stderr may be closed, and buffers would be kept
            os.write(sys.stderr.fileno(), f"mjrelay: interrupted; start again with: {again}\n".encode())
        sys.exit(130)


if __name__ == "__main__":
    main()
