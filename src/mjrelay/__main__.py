"""The command, also as ``python -m mjrelay``."""

from mjrelay.cli import main

if __name__ == "__main__":
    main()
