"""The third wing: from a result to people."""
