"""`linewatch-agent measure-footprint`: what the agent takes of its computer, beside the bars."""
