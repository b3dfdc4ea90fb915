"""Runtimes load an exported graph and run it on arrays. Torch-free."""
