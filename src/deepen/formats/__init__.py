"""Formats translate a trained network into a graph another runtime runs."""
