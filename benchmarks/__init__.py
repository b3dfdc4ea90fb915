"""One command per claim about speed and size: `python -m benchmarks` lists them, `python -m benchmarks training` runs one."""
