"""Ways to carry a turn to the server. A driver is one file."""
