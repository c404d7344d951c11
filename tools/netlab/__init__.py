"""The network lab: agent and cloud as real processes with an emulated link between them (`python -m tools.netlab`)."""
