"""A `python -m cloud_stub` child process: started on a free port, awaited until it listens, ended with its owner."""

from __future__ import annotations

import asyncio
import ctypes
import json
import signal
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from edge_agent.clock import within
from edge_agent.errors import CloudError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Runs in the child: ask Linux to end it when its parent dies, however that happens; prctl(2)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class CloudProcess:
    """Use as `async with`: `url` is set once it listens. If it does not, CloudError gives the child's last line."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> CloudProcess:
        # Away from the working directory, so that a source tree there is not run in place of what is installed.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cloud_stub", "--port", "0", "--json", *self._arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(tempfile.gettempdir()),
            preexec_fn=_end_with_parent,
        )
        try:
            self.url = await within(self._listening(self._process), START_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            await self.stop()
            raise CloudError(
                f"the cloud did not start within {START_TIMEOUT_S:g} s", "run `python -m cloud_stub`"
            ) from error
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Ask the child to end, then make it. May be called twice."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await within(process.communicate(), STOP_TIMEOUT_S)
        except asyncio.TimeoutError:
            process.kill()
            await process.communicate()

    async def kill(self) -> None:
        """End the child at once, as a power cut does."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.communicate()

    async def _listening(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        assert process.stderr is not None
        line = await process.stdout.readline()
        try:
            return str(json.loads(line)["url"])
        except (ValueError, KeyError, TypeError) as error:
            said = (await process.stderr.read(4096)).decode(errors="replace").strip().splitlines()
            raise CloudError(f"the cloud did not start: {said[-1] if said else 'it said nothing'}") from error
