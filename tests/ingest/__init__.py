"""From the sea to a batch."""
