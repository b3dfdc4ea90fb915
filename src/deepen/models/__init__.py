"""Networks: plain nn.Module that take the signature's normalised inputs in order and end in `width` numbers.

Where it makes sense a network is an Encoder: `features(*inputs)` gives (B, d), the forward adds the last layer.
"""
