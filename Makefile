# make demo and make test do all their set-up by themselves: a Python 3.11+ with venv, and make, are enough.
# Where packages come from is pip's own configuration; nothing here says so.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# $(call PIP,environment,constraints): pins hold for what is built on the way, too; pip reads the second name from 25.3 on.
PIP     = PIP_CONSTRAINT=$(2) PIP_BUILD_CONSTRAINT=$(2) $(1)/bin/python -m pip --disable-pip-version-check install --quiet
# What an installation depends on; a newer one of these installs anew.
INPUTS := pyproject.toml constraints.txt hatch_build.py
PARTS  := '.[airflow,demo,dev,duckdb,mysql,plots,postgres,spark,web]'

# Airflow 2.11 has an environment of its own, with the SQLAlchemy 1.4 that it asks for.
AIRFLOW2        := var/airflow2
AIRFLOW2_PYTHON ?= $(PYTHON)
AIRFLOW2_INPUTS := pyproject.toml constraints-airflow2.txt hatch_build.py
# psycopg2, because SQLAlchemy 1.4 does not know psycopg 3.
AIRFLOW2_PARTS  := '.[airflow,demo,dev,duckdb,mysql,plots,postgres,web]' 'apache-airflow<3' psycopg2-binary

.PHONY: help demo test test-fast test-airflow lint bench soak docs constraints system-packages clean
.DELETE_ON_ERROR:

help:
	@echo "make demo             the three things dq is for, on real data, in a few minutes; output in var/demo/"
	@echo "make test             everything with PostgreSQL and Airflow 3.3; prints the seeded counts"
	@echo "make test-airflow     a real scheduler and triggerer on Airflow 3.3 and 2.11, and all Airflow tests on 2.11"
	@echo "make test-fast        without what is slow, MariaDB and Airflow: under 3 minutes"
	@echo "make lint             ruff, mypy --strict, import contracts"
	@echo "make bench            measurements (bench/)"
	@echo "make soak             random histories at full count; writes docs/proofs/DATE-soak-COMMIT.txt;"
	@echo "                      SOAK='FILE ...': only those of some files of tests"
	@echo "make docs             docs/cli.md from the help texts"
	@echo "make constraints      constraints*.txt anew, from what is newest today"
	@echo "make system-packages  MariaDB, Chromium and Java by apt, for the tests that can use them"
	@echo "make clean            removes what the others made, .venv included"

demo: $(VENV)/.demo
	$(BIN)/python -m tests.demo

test: $(VENV)/.dev
	$(PYTEST) -m "not slow and not airflow and not airflow2" --numprocesses auto --maxprocesses 4
	$(PYTEST) -m "(slow or airflow) and not components and not airflow2"

# Its Airflow tests run in .venv and start the Airflow of either line; the last ones are dq itself on SQLAlchemy 1.4.
test-airflow: $(VENV)/.dev $(AIRFLOW2)/.dev
	$(PYTEST) -m "components or airflow2"
	$(AIRFLOW2)/bin/python -m pytest -m "not slow and not airflow" --numprocesses auto --maxprocesses 4

test-fast: $(VENV)/.dev
	$(PYTEST) -m "not slow and not airflow" --numprocesses auto --maxprocesses 4

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	@set -e; for file in bench/[a-z]*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

soak: $(VENV)/.dev $(AIRFLOW2)/.dev
	$(BIN)/python -m tests.soak $(SOAK)

docs: $(VENV)/.dev
	$(BIN)/python -m dq.cli.reference > docs/cli.md

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "dq needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(INPUTS) | $(BIN)/python
	$(call PIP,$(VENV),constraints.txt) --editable '.[airflow,demo,duckdb]'
	@touch $@

$(VENV)/.dev: $(INPUTS) | $(BIN)/python
	$(call PIP,$(VENV),constraints.txt) --editable $(PARTS)
	@touch $(VENV)/.demo $@

$(AIRFLOW2)/.dev: $(AIRFLOW2_INPUTS)
	@$(AIRFLOW2_PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		|| { echo "Airflow 2.11 needs Python 3.11 or 3.12; name one: make AIRFLOW2_PYTHON=python3.12 ..." >&2; exit 2; }
	$(AIRFLOW2_PYTHON) -m venv $(AIRFLOW2)
	$(call PIP,$(AIRFLOW2),constraints-airflow2.txt) --editable $(AIRFLOW2_PARTS)
	@touch $@

constraints:
	$(call newest,$(PYTHON),constraints.txt,$(PARTS))
	$(call newest,$(AIRFLOW2_PYTHON),constraints-airflow2.txt,$(AIRFLOW2_PARTS))

define newest
rm -rf var/constraints && $(1) -m venv var/constraints
var/constraints/bin/pip install --quiet editables hatchling $(3)
var/constraints/bin/pip freeze --exclude pip --exclude setuptools --exclude dq-sla > $(2)
rm -rf var/constraints
endef

system-packages:
	@root=; [ "$$(id -u)" = 0 ] || root=sudo; set -ex; \
		$$root apt-get update -q; \
		DEBIAN_FRONTEND=noninteractive $$root apt-get install -q -y --no-install-recommends mariadb-server chromium default-jre-headless

clean:
	rm -rf $(VENV) var dist build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
