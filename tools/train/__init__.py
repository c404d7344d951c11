"""Training, measuring and exporting the model pair. Needs torch; nothing under `edge_agent` imports it."""
