"""Kedro datasets of this project's files."""
