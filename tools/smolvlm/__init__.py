"""A random-weight model of SmolVLM's architecture, its export, and the proof that the runtime equals transformers."""
