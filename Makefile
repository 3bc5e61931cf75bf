# Two commands matter: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: help install demo test test-slow lint bench docs clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## virtual environment with pinned versions, in .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 install"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local,dev]'
	touch $(STAMP)

demo: $(STAMP) ## the main job on real servers: sealed files in, one approved patient out
	$(BIN)/spv demo

test: $(STAMP) ## the tests, under 12 minutes on 2 cores
	$(BIN)/pytest -m 'not slow' -n 2 --dist loadfile

test-slow: $(STAMP) ## the tests that take minutes each
	$(BIN)/pytest -m slow

lint: $(STAMP) ## style, security rules, types, secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --baseline .secrets.baseline

bench: $(STAMP) ## every figure of the README; takes hours
	$(BIN)/spv bench latency --json
	$(BIN)/spv bench ingest --mb 1000 --json
	$(BIN)/spv bench ingest --mb 2000 --json
	$(BIN)/spv bench ingest --mb 2000 --workers 2 --json
	$(BIN)/spv bench large --json
	$(BIN)/spv bench discovery --objects 1000000 --json
	$(BIN)/spv bench publish --rows 100000 --rows 10000000 --batches 12 --json
	$(BIN)/spv bench recovery --json
	$(BIN)/spv bench load --minutes 10 --times 3 --json
	$(BIN)/spv bench match --json
	$(BIN)/spv bench match --patients 1000000 --cohorts 1000 --json

docs: $(STAMP) ## the pages that are made from the code
	$(BIN)/spv docs tables > docs/tables.md
	$(BIN)/spv docs reason-codes > docs/reason-codes.md
	$(BIN)/spv docs contract > docs/contract.md
	$(BIN)/spv docs criteria-schema > docs/criteria.schema.json

clean: ## remove the virtual environment and caches
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
