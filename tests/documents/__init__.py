"""What passes between stages."""
