"""Where things are kept: the ports, and one adapter per place."""
