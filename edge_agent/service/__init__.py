"""The agent as a systemd service: notifications, the watchdog's food, and the unit."""
