"""The first wing: from the sea to a batch."""
