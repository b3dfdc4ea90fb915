"""Keras on torch with one crop for all pictures of a batch: what its RandomCrop does, which is less than the others do."""

from benchmarks.contenders.keras_torch import batch_cropped, train

train(batch_cropped())
