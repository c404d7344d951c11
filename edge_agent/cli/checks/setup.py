"""Checks of what the user has set up: the configuration file and the cloud."""

from __future__ import annotations

from pathlib import Path

from edge_agent.cli.checks.base import Check, Probed, Status
from edge_agent.config import Config, Loaded, default_paths, load, path_in_use
from edge_agent.errors import UsageError

BAD_CONFIGURATION = 2
STUB = "python -m cloud_stub"


def read_config(path: Path | None) -> tuple[Loaded, Check]:
    """The configuration in use; with one that cannot be read, the defaults, so that all else can be looked at."""
    try:
        loaded = load(path)
        return loaded, Check("config", Status.OK, _in_use(path, loaded))
    except UsageError as error:
        return _defaults(), Check("config", Status.FAIL, error.message, error.hint, BAD_CONFIGURATION)
    except OSError as error:
        fix = "make it readable, or name another with --config"
        return _defaults(), Check("config", Status.FAIL, f"it cannot be looked for: {error}", fix, BAD_CONFIGURATION)


def _defaults() -> Loaded:
    return Loaded(Config(), {})


def _in_use(path: Path | None, loaded: Loaded) -> str:
    used = path_in_use(path)
    if used is None:
        return f"no file, all defaults; it would be {default_paths()[0]}"
    changed = [leaf for leaf in loaded.settings() if leaf.value != leaf.default]
    return f"{used}: {len(changed)} setting(s) differ from the defaults"


def check_cloud(url: str, probed: Probed | None) -> Check:
    """The cloud answers its health request. Without one the device answers alone, so this never fails."""
    if not url or probed is None:
        return Check("cloud", Status.OK, "none is set: everything is answered on the device")
    start = STUB if _is_here(url) else f"curl {url.rstrip('/')}/healthz"
    if probed.error:
        return Check("cloud", Status.WARN, f"{url}: {probed.error}", start)
    values = probed.values
    if values["misused"]:
        return Check("cloud", Status.WARN, values["detail"], f"cloud.url: {values['misused']}")
    if not values["reachable"]:
        fix = "set SSL_CERT_FILE to the cloud's certificate" if "certificate" in values["detail"] else start
        return Check("cloud", Status.WARN, f"{url} does not answer ({values['detail']}): answers stay local", fix)
    return Check("cloud", Status.OK, f"{url} is well, {values['rtt_ms']:.0f} ms away")


def _is_here(url: str) -> bool:
    return any(f"//{host}" in url for host in ("127.", "localhost", "[::1]"))
