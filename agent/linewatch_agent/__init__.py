"""The agent that runs on a probe."""
