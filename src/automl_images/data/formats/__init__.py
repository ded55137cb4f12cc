"""Annotation formats; each reader registers itself."""
