# make demo and make test do everything on a fresh machine: both set up first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test slow timm proof check fix bench docs clean

setup: .venv/ready

# torch first and by its exact version, so that nothing else may choose another build of it
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/ready

demo: setup
	$(BIN)/python examples/demo.py

test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile

slow: setup timm
	$(BIN)/python -m pytest -m slow -n auto --dist worksteal

# timm needs torchvision, and transformers fails where torchvision lies beside the CPU's torch: a folder of their own
timm: setup
	test -d .venv/timm || $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --target .venv/timm timm torchvision
	PYTHONPATH=.venv/timm $(BIN)/python -m pytest -m slow tests/models/test_timm.py

check: setup
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist loadfile

fix: setup
	$(BIN)/ruff check --fix src tests benchmarks examples
	$(BIN)/ruff format src tests benchmarks examples

bench: setup
	$(BIN)/python -m benchmarks

docs: setup
	$(BIN)/python docs/reference.py

proof: setup timm
	$(BIN)/python -m pytest -m "slow or not slow"
	$(BIN)/python -m benchmarks --write docs/performance.md

clean:
	rm -rf .venv build src/*.egg-info
