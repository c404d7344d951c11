"""`python -m edge_agent` is the same as `edge-agent`."""

from __future__ import annotations

import sys

from edge_agent.cli.main import main

sys.exit(main())
