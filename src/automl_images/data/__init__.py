"""Annotations and images: reading, checking, splitting, tiling; knows no network."""
