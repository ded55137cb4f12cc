"""The training loop, blind to task types."""
