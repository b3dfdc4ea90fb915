"""Methods: what is minimised. One small class per file."""
