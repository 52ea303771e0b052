# Everything a fresh machine needs goes into .venv: Python 3.11, Java 17, Maven and git are all that must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEXTFLOW := $(VENV)/nextflow

# Without bytecode every process compiles what it imports anew, which for torch takes longer than a small stage.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test lint check bench docs nextflow slurm wheel clean

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

# Slurm for the tests that need it, where one is root on Debian or Ubuntu; elsewhere they are skipped.
slurm:
	.ci/slurm install

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

# The workload needs the folder of the script that it is compared with: make bench PEER=FOLDER.
bench: install
	for script in compile loader engine compute methods; do $(BIN)/python benchmarks/bench_$$script.py || exit 1; done
	$(if $(PEER),$(BIN)/python benchmarks/bench_workload.py --peer $(PEER))

docs: install
	$(BIN)/python docs/generate.py

wheel: install
	.ci/wheel

clean:
	rm -rf $(VENV) dist build runs
