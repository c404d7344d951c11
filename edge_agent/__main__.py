"""The entry of `edge-agent` and `python -m edge_agent`: so small that Ctrl-C is caught while the rest is imported."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line; the exit code."""
    for name in ("stdin", "stdout", "stderr"):  # closed by whoever started this: what would be said goes nowhere
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123
    try:
        from edge_agent.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("edge-agent: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
