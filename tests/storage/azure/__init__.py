"""The Azure adapters, beyond what the contract suites ask."""
