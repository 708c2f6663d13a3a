PYTHON ?= python3
ALGO ?= PPO
ARGS ?=
SEED ?= 0
PORT ?= 6006

# The path of this folder may hold any characters: everything below is named from here, never by its whole path.
# The folder, with or without quotes around its name; what stands in parentheses in a name will do: ALGO=DQN.
name := $(subst ",,$(subst ',,$(ALGO)))
folder = $(shell if [ -f "$(name)/main.py" ]; then echo "$(name)"; else ls -d *"($(name))" 2>/dev/null; fi)
python := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help train watch curves test format test-faults learn learn-resumed films notes read diff twins clean known

help: ## what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 15
	@echo; echo 'ALGO= names the folder (now: $(ALGO)), ARGS= are passed on: make train ALGO=QLearning ARGS="--seed 7"'

train: .venv/ready known ## train ALGO
	@cd "$(folder)" && exec ../$(python) main.py $(ARGS)

watch: .venv/ready known ## watch the newest trained agent of ALGO
	@cd "$(folder)" && exec ../$(python) main.py --watch $(ARGS)

curves: .venv/ready ## TensorBoard over all folders
	@exec $(python) -m tensorboard.main --logdir . --port $(PORT)

test: .venv/ready-dev ## lint and all tests
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m pytest -n 2 --dist loadgroup $(ARGS)

format: .venv/ready-dev ## put the code into its form
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

test-faults: .venv/ready-dev ## faults tried against all folders: kills, signals, damage
	$(python) -m pytest -n 2 --dist loadgroup tests/long_faults.py $(ARGS)

learn: .venv/ready ## train every folder from scratch with seed SEED and print a table
	@exec $(python) benchmarks/learn.py --seed $(SEED) $(ARGS)

learn-resumed: .venv/ready ## the same, each stopped on the way and resumed
	@exec $(python) benchmarks/resume.py --seed $(SEED) $(ARGS)

films: .venv/ready-dev ## train every folder and film its agent before and after
	@exec $(python) benchmarks/films.py $(ARGS)

notes: .venv/ready-dev ## build the book as a site: build/notes/
	@exec $(python) site/build.py

read: .venv/ready-dev ## the same, and open it in the browser
	@exec $(python) site/build.py --serve $(ARGS)

diff: known ## ALGO against its parent, file by file
	@"$(PYTHON)" tests/lineage.py diff "$(folder)"

twins: ## rewrite the copies of shared pieces from the first folder that holds them
	@"$(PYTHON)" tests/lineage.py twins

clean: ## remove the environment and the site; runs stay
	rm -rf .venv .pytest_cache .ruff_cache build

known:
	@[ -n "$(folder)" ] || { echo 'error: there is no folder ALGO=$(name)' >&2; exit 2; }

# The marks are written last: a set-up that was interrupted has none, and is begun anew.
.venv/ready: requirements.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
		|| { echo 'error: Python 3.10 to 3.13 is needed; name one: make PYTHON=python3.11' >&2; exit 2; }
	rm -rf .venv
	"$(PYTHON)" -m venv .venv
	$(python) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	$(python) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
