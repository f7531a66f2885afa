"""What went wrong is found and set right: batches that vanished, and dead letters."""
