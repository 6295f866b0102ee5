"""What a release of the agent is: its version, and the manifest that its operator signs."""
