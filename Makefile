# Everything a fresh machine needs goes into .venv: Python 3.11, Java 17, Maven and git are all that must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEXTFLOW := $(VENV)/nextflow

.PHONY: install demo test lint check bench docs nextflow wheel clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: install
	$(BIN)/tlimb run recipes/demo.tlr --store runs

nextflow: $(NEXTFLOW)/installed

$(NEXTFLOW)/installed: .ci/nextflow/pom.xml .ci/nextflow/install
	.ci/nextflow/install $(NEXTFLOW)
	touch $@

test: install nextflow
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tlimb.components.signatures --check
	$(BIN)/python docs/generate.py --check

check: lint test

bench: install
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

docs: install
	$(BIN)/python docs/generate.py

wheel: install
	.ci/wheel

clean:
	rm -rf $(VENV) dist build runs
