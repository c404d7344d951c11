"""Starts the reference cloud, `python -m cloud_stub`: so small that Ctrl-C is caught while the rest is imported."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 stopped as asked, 2 bad usage, 4 the model cannot be used, 130 interrupted at the start."""
    try:
        from cloud_stub.server import main as run

        return run(arguments)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
