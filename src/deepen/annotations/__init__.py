"""Files of labels that other tools write and read. One file each, torch-free."""
