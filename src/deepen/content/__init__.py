"""What items and answers are made of: cells of tables, pieces of texts, sounds, shapes of graphs, and texts as they are written. NumPy only."""
