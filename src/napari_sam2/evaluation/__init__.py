"""Scores, floors, simulated clicks, validation sequences and reports (numpy and scipy)."""
