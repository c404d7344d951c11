"""The local HTTP API and page: an OpenAI-compatible server on loopback, health, metrics; see docs/api.md."""
