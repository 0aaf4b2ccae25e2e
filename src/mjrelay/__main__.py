"""The command, also as ``python -m mjrelay``."""

from __future__ import annotations

from mjrelay.cli import main

if __name__ == "__main__":
    main()
