# `make` alone prints this help. Every target can be run again at any time.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXPERIMENTS ?= experiments/broker-restart.json experiments/sink-kill.json experiments/source-kill.json

.DEFAULT_GOAL := help
.PHONY: help setup engine check format docs test fuzz lab lab-down demo chaos bench soak failing-well lock clean
.PHONY: test-e2e test-e2e-pipeline test-e2e-health test-e2e-freshness test-e2e-scenarios test-e2e-changed test-e2e-foreign
.PHONY: bugs tour residue validate-pipeline e2e-report e2e-soak e2e-criteria

# The end-to-end suite brings the lab up itself, where it is not; `make test` leaves it out.
E2E     := $(BIN)/python -m pytest
E2ETOOL := $(BIN)/python -m tools.e2e
RUNS    ?= 50
FUZZ    ?= 100000
BUGS    ?=
FILE    ?= pipelines/k2.yaml
BASE    ?= main
N       ?= 1000
CORE    := -m "e2e and not scenario"

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed engine ## Install everything: Python packages (pinned, hashed) and a container engine

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) tools/environment.py $(VENV)
	@touch $@

engine: $(VENV)/.installed
	@$(BIN)/k2chaos lab engine

check: $(VENV)/.installed ## Format, lint, types, import contracts, generated docs, size budgets
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd stack/services && ../../$(BIN)/mypy -p exchange -p binance_stream -p consumer_crypto -p query_api -p lab_bugs --config-file ../../pyproject.toml
	$(BIN)/lint-imports
	$(BIN)/python -m tools.reference --check
	$(BIN)/python -m tools.e2e pages --check
	$(BIN)/python -m pytest -q tests/budgets

format: $(VENV)/.installed ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.installed ## Write the pages that are made from the code and from the tests
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tools.e2e pages

test: setup ## Unit tests, and the contract suite on fakes and on the real engine
	$(BIN)/python -m pytest --durations=15

fuzz: $(VENV)/.installed ## FUZZ (100000) pairs of pipeline and experiment files: nothing outside the scope is touched
	K2CHAOS_FUZZ_EXAMPLES=$(FUZZ) $(BIN)/python -m pytest -q --timeout=0 tests/unit/test_fuzz.py --hypothesis-show-statistics

test-e2e: setup ## End-to-end tests on the lab: the pipeline whole (under five minutes)
	$(E2E) tests/e2e $(CORE)

test-e2e-pipeline: setup ## ... only the way of the data, record by record
	$(E2E) tests/e2e/test_complete_pipeline.py tests/e2e/test_api_answers.py $(CORE)

test-e2e-health: setup ## ... only the stack: order, health, restarts, limits
	$(E2E) tests/e2e/test_docker_stack.py $(CORE)

test-e2e-freshness: setup ## ... only freshness, throughput, answers and what they use
	$(E2E) tests/e2e/test_data_freshness.py $(CORE)

test-e2e-scenarios: setup ## ... the advanced scenarios, which the others leave out
	$(E2E) tests/e2e -m scenario

test-e2e-foreign: setup ## ... only what looks, on the pipeline of FILE (any system of yours)
	K2CHAOS_E2E_PIPELINE=$(FILE) $(E2E) tests/e2e -m readonly

test-e2e-changed: setup ## ... only what the changes since BASE (main) need; in doubt all
	@$(E2ETOOL) changed --base $(BASE)

e2e-report: $(VENV)/.installed ## Trends of the end-to-end tests over runs; drawn in journals/e2e/report.html
	@$(E2ETOOL) report --html journals/e2e/report.html

e2e-soak: setup ## The end-to-end suite RUNS times more (50); adds up in a file
	@$(E2ETOOL) soak --runs $(RUNS)

e2e-criteria: $(VENV)/.installed ## Write the page of success criteria from the last complete run and the soak
	@$(E2ETOOL) criteria

validate-pipeline: setup ## Look at the running pipeline: services, freshness, flow, a window of records; breaks nothing
	@$(BIN)/k2chaos validate-pipeline

lab: setup ## Bring the lab up and wait until all of it is healthy
	@$(BIN)/k2chaos lab up

lab-down: $(VENV)/.installed ## Take the lab down; its data stays
	@$(BIN)/k2chaos lab down

demo: lab ## Set everything up, run three experiments, print the verdicts
	@$(BIN)/chaos run $(EXPERIMENTS)

chaos: lab ## Run every experiment
	@$(BIN)/chaos run experiments/*.json

bench: $(VENV)/.installed ## Measure what the docs quote, on a running lab (about seven minutes)
	@for script in audit topic lab rate api observer; do $(BIN)/python benchmarks/$$script.py || exit 1; done

bugs: setup ## Every bug on purpose, one by one, and whether its experiment finds it (BUGS=name,name: some)
	@$(BIN)/python -m tools.bugs $(BUGS)

tour: setup ## Every fault once on the lab, by the real command line; a table of what was seen
	@$(BIN)/python -m tools.tour

residue: setup ## Kill N runs (1000) at the steps of every fault (of topic and table: on the lab, if it is up)
	@$(BIN)/python -m tools.residue $(N)

soak: lab ## The lab over two hours: samples in journals/soak.jsonl, then the report
	@$(BIN)/python benchmarks/soak.py run 2 && $(BIN)/python benchmarks/soak.py report

failing-well: lab ## Everything the lab leans on killed, frozen and starved, one by one (90 minutes)
	@$(BIN)/python benchmarks/failing_well.py

lock: $(VENV)/.installed ## Resolve the dependencies anew
	$(BIN)/uv pip compile -q --generate-hashes --python-version 3.13 --python-platform linux stack/services/requirements.in -o stack/services/requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --all-extras pyproject.toml -c stack/services/requirements.lock -o requirements.lock

clean: ## Remove what `make` made here (not the lab: see lab-down)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
