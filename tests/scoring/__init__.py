"""The second wing, tested room by room."""
