"""The reference cloud: takes compressed embeddings over EAP/1, runs the larger decoder, streams tokens back."""
