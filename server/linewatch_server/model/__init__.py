"""The pure half of the server: ingest decisions, interval maths, view models."""
