"""What Haro says of itself while it works: spans and metrics, by the OpenTelemetry API.

Without an exporter (`export`, `page`) all of it costs next to nothing and goes nowhere.
"""
