"""Boots the systemd unit in a container of its own and sees whether it becomes ready, survives and stops."""
