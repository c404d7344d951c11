"""The engines that answer: the device's own model and the cloud."""
