"""The registry of models, tested room by room."""
