"""A service watched: windows of sampled items against the training data, and who is told of it. Torch-free."""
