"""What lasts: durable writes, runs, datasets. Torch-free. Nothing outside this folder writes into a run, a dataset or a bundle."""
