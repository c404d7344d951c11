"""The command table: each command lives in a file of its own and is imported only when it is called."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence

import click

from edge_agent.cli.interrupts import raise_again
from edge_agent.cli.lazy import LazyGroup
from edge_agent.errors import EdgeAgentError

COMMANDS = {
    "ask": "answer one question about a photo, clip, camera or microphone",
    "run": "watch a clip or camera and answer on change, sound, interval, or when asked",
    "serve": "the local API alone: OpenAI-compatible, health, metrics",
    "demo": "cloud, agent and a bundled clip, in one terminal",
    "features": "what the kernels see in a photo, clip or sound",
    "decide": "the offloading decision for a question, explained; nothing is run",
    "doctor": "what is wrong on this machine and what to type",
    "models": "list, verify and pull model bundles",
    "config": "explain every setting, or show what differs from the defaults",
    "outbox": "questions that wait for the cloud: list them, or ask them now",
    "calibrate": "a threshold from this agent's own traffic, with what to expect of it",
    "eval": "measure accuracy, latency, bytes and cost on a data set",
    "simulate": "policies on simulated devices and links, ranked, with confidence intervals",
    "bench": "speed of the kernels and of the decision against other libraries, on this machine",
    "service": "install as a systemd service",
}
EXIT_INTERRUPTED = 130
EXIT_BUG = 70
EXIT_OUTPUT = 74


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    package="edge_agent.cli",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="edge-agent", prog_name="edge-agent")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug logs.")
def cli(debug: bool) -> None:
    """Questions about what a camera sees, answered on this device, and in the cloud only when it pays."""
    raise_again()  # the command is imported by now
    level = logging.DEBUG if debug else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. Every failure is one line on stderr, unless --debug asks for more."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    if debug:  # taken anywhere, as people type it where they remember it
        arguments = ["--debug", *(a for a in arguments if a != "--debug")]
    try:
        result = cli.main(args=arguments, prog_name="edge-agent", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except click.UsageError as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # the name of a group alone
            click.echo(error.format_message(), err=True)
            return 2
        command = error.ctx.command_path if error.ctx else "edge-agent"
        return _fail(f"{' '.join(error.format_message().split())} (see `{command} --help`)", 2)
    except EdgeAgentError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except SystemExit as stop:  # a signal, after the clean-up; click ends with 1 where stdout's reader went away
        return _reader_left() if stop.code == 1 else int(stop.code or 0)
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        if debug:
            raise
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO):
            return _bug(error)
        _drop_stdout()
        return _fail(f"the output cannot be written: {error.strerror}", EXIT_OUTPUT)
    except Exception as error:
        if debug:
            raise
        return _bug(error)


def _bug(error: Exception) -> int:
    return _fail(f"a bug: {type(error).__name__}: {error}: please report it with the output of --debug", EXIT_BUG)


def _reader_left() -> int:
    """`| head` has seen enough: that is no failure, and nothing is left to say."""
    _drop_stdout()
    return 0


def _drop_stdout() -> None:
    """What is still buffered goes nowhere, else Python would complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(message: str, code: int) -> int:
    click.echo(f"edge-agent: {' '.join(message.split())}", err=True)
    return code
