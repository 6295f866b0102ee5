"""The pure half of the agent: schedule, configuration, retention, roll-ups."""
