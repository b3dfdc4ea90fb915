"""Sources read what the user has, as it lies. One file each; `read()` gives Items."""
