"""Who is compared: one file each, run as a process of its own by the driver in `pairs`."""
