"""A run with a name: identity, resume, statuses."""
