"""`edge-agent doctor`: what is wrong on this machine and what to type, on one screen; it never ends in a traceback.

Nothing here may import NumPy or anything that does (cli.options and cli.output do): a NumPy made for another processor
would end the doctor instead of being named by it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click

from edge_agent.cli.checks import machine, runtime, senses, setup, traps
from edge_agent.cli.checks.base import Check, Probed, Status, probe
from edge_agent.cli.checks.report import write_report
from edge_agent.cli.paths import FILE, Named
from edge_agent.config import Config

CLOUD_TIMEOUT_S = 2.0
PROBES_AT_ONCE = 2
COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red", Status.UNKNOWN: "cyan"}
WORST_FIRST = (runtime.SELF_TEST, runtime.CANNOT_ANSWER, setup.BAD_CONFIGURATION)
log = logging.getLogger(__name__)


@click.command()
@click.option("--cloud", "cloud_url", metavar="URL", help="Cloud to ask instead of the configured one.")
@click.option("--config", "config_path", type=FILE, help="Configuration file (TOML).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, logs on stderr.")
@click.option(
    "--report",
    type=Named(path_type=Path, dir_okay=False),
    help="Write one redacted file to attach to a bug report.",
)
def command(cloud_url: str | None, config_path: Path | None, as_json: bool, report: Path | None) -> int:
    """Check everything that answers need. Nothing is changed, and only the cloud's health is asked for.

    The file of --report holds these checks, versions, settings and counts: no question, answer, picture, address, name
    or secret. Read it before you send it.

    Exit code 0: questions can be answered here; 2: the configuration is wrong; 4: no usable model or runtime;
    5: a self-test failed.
    """
    waiting = sys.stderr.isatty() and not as_json
    if waiting:
        click.echo("looking; this takes some seconds ...", err=True, nl=False)
    checks = examine(config_path, cloud_url)
    if report is not None:
        write_report(report, checks, setup.read_config(config_path)[0])
    if waiting:
        click.echo("\r\033[K", err=True, nl=False)
    codes = {check.exit_code for check in checks}
    code = next((code for code in WORST_FIRST if code in codes), 0)
    if as_json:
        rows = [{"name": c.name, "status": c.status.value, "detail": c.detail, "fix": c.fix} for c in checks]
        click.echo(json.dumps({"checks": rows, "ok": code == 0}))
    else:
        _show(checks, code)
        if report is not None:
            click.echo(f"{report} can be attached to a bug report; read it first")
    return code


def examine(config_path: Path | None, cloud_url: str | None) -> list[Check]:
    """Every check, in the order of the report. Never raises."""
    loaded, config_check = setup.read_config(config_path)
    config = loaded.config
    url = config.cloud.url if cloud_url is None else cloud_url
    if config.limits.private:  # then nothing may connect, a health request neither
        url = ""
    pool = ThreadPoolExecutor(PROBES_AT_ONCE)
    try:
        found = _start_probes(pool, config, url)
        parts = (_of_runtime(found, config), _of_machine(found, config), _of_setup(found, url, config_check, config))
        return [check for part in parts for check in part]
    finally:
        pool.shutdown(cancel_futures=True)  # at Ctrl-C, those that have not begun never do


def _start_probes(pool: ThreadPoolExecutor, config: Config, url: str) -> dict[str, Future[Probed]]:
    """Each in a process of its own, the longest first."""
    model = config.model
    started = {
        "answer": pool.submit(probe, "answer", edge=model.edge, threads=model.threads),
        "kernels": pool.submit(probe, "kernels"),
        "models": pool.submit(probe, "models"),
    }
    if url:
        started["cloud"] = pool.submit(probe, "cloud", url=url, timeout_s=CLOUD_TIMEOUT_S)
    for library in runtime.LIBRARIES:
        names = list(library.distributions)
        started[library.module] = pool.submit(probe, "library", module=library.module, distributions=names)
    started["provider"] = pool.submit(probe, "provider", wanted=model.provider)
    started["mixture"] = pool.submit(probe, "mixture")
    started["microphones"] = pool.submit(probe, "microphones")
    if config.run.blur_faces:
        started["faces"] = pool.submit(probe, "faces", probes=senses.MODULE)
    if senses.wanted_of(config.voice):
        given = partial(probe, "voice", probes=senses.MODULE, settings=dataclasses.asdict(config.voice))
        sounds = {"microphone": config.run.microphone, "clip": config.run.clip}
        started["voice"] = pool.submit(partial(given, threads=model.threads, **sounds))
    started["state"] = pool.submit(probe, "state_folder", state_dir=config.run.state_dir)
    return started


def _of_runtime(found: dict[str, Future[Probed]], config: Config) -> list[Check]:
    def library(one: runtime.Library) -> Check:
        return runtime.check_library(one, found[one.module].result(), platform.release())

    edge = config.model.edge
    return [
        _guarded("python", lambda: runtime.check_python(sys.version_info[:3], platform.machine(), sys.maxsize > 2**32)),
        _guarded("kernels", lambda: runtime.check_kernels(found["kernels"].result())),
        *(_guarded(one.module, partial(library, one)) for one in runtime.LIBRARIES),
        _guarded("mixture", lambda: traps.check_mixed(found["mixture"].result())),
        _guarded(
            "provider",
            lambda: traps.check_provider(found["provider"].result(), config.model.provider, platform.release()),
        ),
        _guarded("models", lambda: runtime.check_models(found["models"].result(), edge)),
        _guarded("answer", lambda: runtime.check_answer(found["answer"].result(), edge)),
    ]


def _of_machine(found: dict[str, Future[Probed]], config: Config) -> list[Check]:
    def memory() -> Check:
        bundles = found["models"].result().values.get("bundles", [])
        sizes = [b["size_bytes"] / 1e6 for b in bundles if b["name"] == config.model.edge]
        return machine.check_memory(sizes[0] if sizes else None)

    tool = traps.check_camera_program(config.run.camera)
    return [
        _guarded("camera", lambda: machine.check_camera(config.run.camera)),
        *([] if tool is None else [tool]),
        _guarded("microphone", lambda: machine.check_microphone(found["microphones"].result(), config.run.microphone)),
        *_of_senses(found, config),
        _guarded("heat", machine.check_heat),
        _guarded("power", traps.check_power),
        _guarded("memory", memory),
        _guarded("disk", lambda: machine.check_disk(found["state"].result(), config.run.log_max_mb)),
    ]


def _of_senses(found: dict[str, Future[Probed]], config: Config) -> list[Check]:
    """Of what this configuration asks for beyond pictures and questions."""
    looks: dict[str, Callable[[], Check]] = {
        "faces": lambda: senses.check_faces(found["faces"].result()),
        "voice": lambda: senses.check_voice(found["voice"].result(), senses.wanted_of(config.voice)),
    }
    return [_guarded(name, look) for name, look in looks.items() if name in found]


def _of_setup(found: dict[str, Future[Probed]], url: str, config_check: Check, config: Config) -> list[Check]:
    asked, port = found.get("cloud"), traps.check_port(config.api)
    return [
        _guarded("clock", lambda: traps.check_clock(time.time())),
        config_check,
        *([] if port is None else [port]),
        _guarded("cloud", lambda: setup.check_cloud(url, asked.result() if asked else None)),
    ]


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    """The check, or that it could not be made: a machine in a state nobody thought of still gets its report."""
    try:
        return look()
    except Exception as error:
        log.debug("the check %s broke", name, exc_info=True)
        return Check(name, Status.UNKNOWN, f"could not be checked: {type(error).__name__}: {error}"[:200])


def _show(checks: list[Check], code: int) -> None:
    for check in checks:
        status = click.style(f"{check.status.value:<8}", fg=COLOURS[check.status])
        click.echo(f"{status}{check.name:<12}{check.detail}")
        if check.fix and check.status is not Status.OK:
            click.echo(f"{'':20}-> {check.fix}")
    if code == 0:
        click.secho("questions can be answered on this machine", bold=True)
    else:
        names = ", ".join(check.name for check in checks if check.exit_code)
        click.secho(f"questions cannot be answered here until this is mended: {names}", bold=True)
