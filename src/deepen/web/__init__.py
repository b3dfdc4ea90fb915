"""Pages served on this machine. Torch-free."""
