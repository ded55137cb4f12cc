"""One package a stage."""
