"""Third-party systems at the edge."""
