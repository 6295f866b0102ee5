"""The server: where the fleet is managed and its records are kept and shown."""
