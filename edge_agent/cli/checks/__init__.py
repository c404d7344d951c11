"""What `edge-agent doctor` looks at: each check is a function that returns one Check and changes nothing."""
