"""What is known of the device and its link; a monitor that fails says None and never takes the agent down."""
