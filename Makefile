# Everything that one does with a clone: `make help`. The environment is .venv; it is made from requirements.lock, every
# package checked by its hash, when it is first needed and again when the lock or pyproject.toml has changed.
# PYTHON=/path/to/python makes it with that one; ARGS='...' goes to the program that a target runs.

BIN := .venv/bin
STAMP := .venv/installed
PYTHON ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check format bench soak docs screenshots lock clean

## help: this list
help:
	@sed -n 's/^## \([a-z]*\): /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F '|' '{ printf "make %-11s %s\n", $$1, $$2 }'

## run: start the registry on 127.0.0.1:5000 with its data in ./data
run: $(STAMP)
	@exec $(BIN)/naru serve $(ARGS)

## test: run the tests; one that needs a program that is absent is skipped, and the reason printed
test: $(STAMP)
	@$(BIN)/pytest -rs -n 2 --dist loadfile $(ARGS)

## check: format, lint, types, architecture and documents; the gate of every commit, with the tests
check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_architecture.py tests/test_docs.py

## format: bring the source into the form that check wants
format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

## bench: compare Naru with the peers that are installed, on this machine
bench: $(STAMP)
	@$(BIN)/python -m bench $(ARGS)

## soak: run the long tests: crashes, storms, floods; tens of minutes
soak: $(STAMP)
	@$(BIN)/pytest -rs -m soak $(ARGS)

## docs: write the generated pages of docs/reference
docs: $(STAMP)
	@$(BIN)/python scripts/docs.py

## screenshots: take the pictures of the console in docs/images anew; needs Chromium
screenshots: $(STAMP)
	@$(BIN)/python -m tests.console.pictures $(ARGS)

## lock: find the newest versions that pyproject.toml allows and write requirements.lock
lock: $(STAMP)
	@$(BIN)/python scripts/lock.py $(ARGS)

## clean: remove the environment and what tools left behind; keeps ./data
clean:
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist results
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml scripts/install.sh
	@PYTHON='$(PYTHON)' sh scripts/install.sh
	@touch $@
