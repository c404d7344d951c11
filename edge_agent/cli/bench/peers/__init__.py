"""What other libraries do for the same work: one file a library, each with `contenders`."""
