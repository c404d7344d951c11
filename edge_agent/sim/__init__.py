"""Settings in which offloading is measured without a device: conversations with recorded responses."""
