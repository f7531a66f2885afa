"""The deployment, checked without a compiler and without Azure."""
