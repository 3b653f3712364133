# The few habits of this project. People and CI call the same targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-all check format bench lock clean

install: $(VENV)/.installed

# uv comes from the same package index as the rest; it is only the faster installer.
$(VENV)/.installed: requirements/tools.txt requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

lock:
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" requirements/tools.in --output-file requirements/tools.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --output-file requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --all-extras --output-file requirements/dev.txt

check: install
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

clean:
	rm -rf $(VENV) .cache
