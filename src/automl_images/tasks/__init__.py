"""The only room that knows task types."""
