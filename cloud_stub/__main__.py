"""Starts the reference cloud, `python -m cloud_stub`: so small that Ctrl-C is cared for before all else."""

from __future__ import annotations

import signal
import sys


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 stopped as asked, 2 bad usage, 4 the model cannot be used, 130 interrupted at the start."""
    early = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if early:  # else a traceback, or an import that is broken half way
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cloud_stub.server import main as run

    if early:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return 130
    finally:
        if early:  # nothing is left to clean up
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
