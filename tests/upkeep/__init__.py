"""Setting right what went wrong."""
