# Two commands for newcomers: `make demo` and `make test`. `make help` lists all.

PYTHON ?= python3
# Where torch comes from; on Linux without a GPU, https://download.pytorch.org/whl/cpu saves gigabytes.
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEPENDENCIES := setup.cfg pyproject.toml constraints.txt
FOLDERS := configuration detection engines evaluation hub modeling_lxmert processing scenes training visualization

.PHONY: help demo test check format types common-tests clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

demo: $(VENV)/demo ## train on easy-VQA, evaluate, reload, answer questions about pictures, draw runs/demo/report.png
	$(BIN)/python examples/0_demo_train.py
	$(BIN)/python examples/0_demo_evaluate.py
	$(BIN)/python examples/0_demo_answer.py

test: check ## lint, types and all tests, on all cores
	$(BIN)/pytest --numprocesses auto --dist loadfile

check: $(VENV)/development types ## ruff, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/development ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

common-tests: $(VENV)/development ## transformers' own model tests, from its source distribution, on our classes
	TRANSFORMERS_SOURCE=$$(sh tests/parity/fetch_transformers_source.sh $(BIN)/python) \
		$(BIN)/pytest tests/parity/test_transformers_common.py

# mypy reads folders, not installed mappings: links give it the tree that an installed package has.
types:
	@mkdir -p build/types/lxmert
	@for name in lxmert/__init__.py lxmert/py.typed $(FOLDERS); do \
		ln -sfn ../../../$$name build/types/lxmert/$$(basename $$name); done

$(VENV)/python: constraints.txt
	@echo "Making $(VENV) and installing torch and the libraries; a few minutes once ..."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@touch $@

$(VENV)/demo: $(VENV)/python $(DEPENDENCIES)
	$(INSTALL) --editable .[demo]
	@touch $@

$(VENV)/development: $(VENV)/python $(DEPENDENCIES)
	$(INSTALL) --editable .[development]
	@touch $@

clean: ## remove what make made, the virtual environment included
	rm -rf $(VENV) build runs *.egg-info
