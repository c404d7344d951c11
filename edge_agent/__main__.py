"""The entry of `edge-agent` and `python -m edge_agent`: so small that Ctrl-C is cared for before all else."""

from __future__ import annotations

import os
import sys

from edge_agent.cli.interrupts import end_at_once


def main() -> int:
    """Run the command line; the exit code."""
    end_at_once()
    for name in ("stdin", "stdout", "stderr"):  # closed by whoever started this: what would be said goes nowhere
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123
    from edge_agent.cli.main import main as run

    try:
        return run()
    except KeyboardInterrupt:  # a second one, while the first was being said
        sys.stderr.write("edge-agent: interrupted\n")
        return 130
    finally:
        end_at_once()


if __name__ == "__main__":
    sys.exit(main())
