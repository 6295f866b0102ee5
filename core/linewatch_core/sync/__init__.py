"""The machines of the sync protocol and the messages they exchange; pure."""
