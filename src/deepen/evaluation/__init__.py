"""Measuring: intervals, and the report."""
