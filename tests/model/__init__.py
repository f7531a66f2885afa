"""Tests of the model: its data, its training, and the file that is shipped."""
