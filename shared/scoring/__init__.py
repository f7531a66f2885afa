"""The second wing: from a batch to a result."""
