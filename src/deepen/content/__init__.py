"""What items and answers are made of: cells of tables, pieces of texts, sounds, and texts as they are written. NumPy only."""
