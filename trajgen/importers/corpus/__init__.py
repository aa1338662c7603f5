"""Corpora of other people: what reads their files, and the formats their rows have."""
