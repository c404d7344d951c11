"""Measuring what node profiles do with real questions: the parts of `tools/measure_nodes.py`."""
