# The few habits of this project. People and CI call the same targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Tests start hundreds of processes. Where an environment forbids to keep compiled modules, each would compile them all.
export PYTHONDONTWRITEBYTECODE =
PYTHON_CODE := src tests benchmarks demo docs
QUICK_TESTS := tests/domain tests/filters tests/settings tests/validation tests/wire/test_decoding.py tests/test_errors.py \
	tests/test_glossary.py

.PHONY: install demo quick browser test test-all test-newest chaos attack fuzz audit dist site check format docs bench bench-quick migration assets screenshots lock clean

install: $(VENV)/.installed

demo: install
	$(BIN)/python -m demo.run

# Unit tests that start no server: what to run after each change.
quick: install
	$(BIN)/pytest -n 2 $(QUICK_TESTS)

# A Chromium for the tests of the page, from Debian's packages. Without one they are skipped, and say so.
browser:
	-@command -v chromium || command -v google-chrome || (apt-get update -q && apt-get install -y -q chromium)

# The tests of a file stay together, as they share servers. One process more than the smallest machine has cores: a
# process waits for its servers most of the time. Each takes up to two gigabytes with its servers: TEST_PROCESSES=2
# where there are fewer than eight.
TEST_PROCESSES ?= 3
test: install
	$(BIN)/pytest -n $(TEST_PROCESSES) --durations 15 -m "not slow"

# With the lines and branches that are run, also in the processes that tests start. The heavy tests measure memory and
# fill the machine by themselves: one after the other. Properties are tried with other examples than `make test` has,
# and with others each time.
test-all: install
	rm -rf .cache/coverage
	$(BIN)/coverage run -m pytest -n 2 --dist loadgroup -m "not slow"
	$(BIN)/pytest --hypothesis-profile=default -m "slow or hypothesis"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --sort=cover

# Client, wire and readers on the newest supported Python of this machine.
test-newest: install
	$(BIN)/python -m tests.support.newest

# Two hundred kills of servers and workers on each catalog; CHAOS_SEED=7 makes another run, and the same one again.
CHAOS_SEED ?= 1
chaos: install
	PENSTOCK_CHAOS_KILLS=200 PENSTOCK_CHAOS_SEED=$(CHAOS_SEED) $(BIN)/pytest -s tests/chaos

# Ten thousand broken files, thousands of broken calls; ATTACK_SEED=7 makes other files.
ATTACK_FILES ?= 10000
ATTACK_SEED ?= 1
attack: install
	PENSTOCK_ATTACK_FILES=$(ATTACK_FILES) PENSTOCK_ATTACK_SEED=$(ATTACK_SEED) \
		PENSTOCK_ATTACK_EXAMPLES=60 PENSTOCK_ATTACK_BODIES=6000 $(BIN)/pytest -s tests/attack

# Coverage-guided fuzzing, so many seconds for each target: FUZZ_TARGETS="csv paths" takes these only.
FUZZ_SECONDS ?= 60
fuzz: install
	$(BIN)/python -m tests.fuzz.campaign --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# Asks for known weaknesses of all that is locked; exit code 3 says that nobody could be asked.
audit: install
	$(BIN)/python -m tests.support.advisories

# Build and check the sdist and the wheel, with bills of materials, into dist/. Nothing is uploaded.
dist: install
	$(BIN)/python -m tests.support.distributions

# The figures of docs/benchmarks.md; half an hour of full load. BENCH="--only parquet-768 json-768" measures these sections
# only, BENCH=--quick shows in minutes that all of it runs.
bench: install
	$(BIN)/python -m benchmarks.peers $(BENCH)
	$(BIN)/python -m benchmarks.job_list
	$(BIN)/python -m benchmarks.load

# Under five minutes: exit code 1 if an import has become 1.3 times slower than the limit of the machine, "decode + write +
# fsync", says. BENCH="--only parquet-768" measures this case only; BENCH=--record writes the ratios to compare with.
bench-quick: install
	$(BIN)/python -m benchmarks.quick $(BENCH)

# uv comes from the same package index as the rest; it is only the faster installer.
$(VENV)/.installed: requirements/tools.txt requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

# A migration for what catalog/tables.py has and the migrations don't yet: make migration MESSAGE="why"
migration: install
	$(BIN)/python -m tests.support.migrations $(MESSAGE)
	$(BIN)/ruff format --quiet src/penstock/catalog/migrations

# Scripts and styles of others that the page serves: from npm, with the hashes of their lock.json. They are committed.
assets: install
	$(BIN)/python -m tests.support.assets

# The pictures of docs/page.md, by a Chromium that looks at a server.
screenshots: install
	$(BIN)/python -m tests.support.screenshots

# The locks of the base package and of the server have the versions that development has.
lock:
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" requirements/tools.in --output-file requirements/tools.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --constraint requirements/dev.txt --output-file requirements/base.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --constraint requirements/dev.txt --extra server --output-file requirements/server.txt
	for group in audit dist site; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --group $$group --output-file requirements/$$group.txt || exit 1; \
	done
	for each in benchmarks/environments/*.in tests/clients/*.in tests/fuzz/*.in tests/server/http/uvicorn/*.in; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock" $$each --output-file $${each%.in}.txt || exit 1; \
	done

check: install
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src
	$(BIN)/python -m tests.support.dependencies

format: install
	$(BIN)/ruff format $(PYTHON_CODE)
	$(BIN)/ruff check --fix $(PYTHON_CODE)

# docs/settings.md and the other pages that are made from tables in the code.
docs: install
	$(BIN)/python -m docs.generate

# The documentation as a site, into site/VERSION; broken links and anchors end it.
site: docs
	$(BIN)/python -m docs.site

clean:
	rm -rf $(VENV) .cache
