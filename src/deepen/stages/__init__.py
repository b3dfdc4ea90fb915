"""The verbs. Each takes a directory and leaves one; only here are files read and written and people spoken to."""
