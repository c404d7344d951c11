"""A conversation with the reference cloud, frame by frame."""

from __future__ import annotations

import asyncio

from clouds import asked, raw_client, request, running_cloud, until
from edge_agent.transport.client import CloudClient


def talk(script, backend=None, **options):
    """Run `script(client, cloud)` against a server; then show that it still serves others and holds no place."""

    async def main():
        async with running_cloud(backend, **options) as cloud:
            async with raw_client(cloud.url) as client:
                result = await script(client, cloud)
            await until(lambda: cloud.desk.in_flight == 0)
            if cloud.desk.backend.stop_before is None:
                async with CloudClient(cloud.url) as other:
                    assert (await asked(other, request()))[0] == "w0 w1 w2"
            return result

    return asyncio.run(main())
