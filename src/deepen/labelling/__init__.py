"""Labels by people: the desk that hands out items, how far people agree, files of other tools. Torch-free."""
