"""Stand-ins for the services of Azure, on loopback, for the unmodified SDKs."""
