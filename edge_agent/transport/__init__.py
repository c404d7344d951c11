"""How a question travels to a cloud: frames, codecs and the client of EAP/1 (docs/protocol.md)."""
