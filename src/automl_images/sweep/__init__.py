"""Which configurations are tried, in which processes, and which one wins."""
