"""Reading from the web."""
