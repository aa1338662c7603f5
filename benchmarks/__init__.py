"""Measurements of the package; not part of the wheel."""
