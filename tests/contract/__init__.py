"""One suite per storage port, run over every adapter."""
