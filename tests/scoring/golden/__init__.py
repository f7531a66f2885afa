"""Features worked out independently of the code under test."""
