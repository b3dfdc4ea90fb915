"""From raw items to batches: checked, split, encoded, gathered by index, augmented on the device."""
