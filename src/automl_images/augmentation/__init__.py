"""Augmentation plans (data) and the transforms that carry them out."""
