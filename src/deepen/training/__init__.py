"""The loop that trains every method, and what it needs: optimizers, schedules, averages, checkpoints, recovery."""
