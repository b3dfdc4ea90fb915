"""What is said of found boxes: how well they were found, and what a report shows of them. Torch-free."""
