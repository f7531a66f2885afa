"""The local adapters, beyond what the contract suites ask."""
