"""Models that are changed without a deploy: kept, tried out, promoted, rolled back and taken up."""
