"""What the reference cloud may run behind its protocol."""
