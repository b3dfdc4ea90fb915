"""Answering requests. A transport-free core, bytes in and bytes out, with thin adapters. Torch-free."""
