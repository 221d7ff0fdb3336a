# Two commands for a new user: `make demo` and `make test`. Both set up .venv first.

VENV := .venv
PYTHON := $(VENV)/bin/python
SYSTEM_PYTHON := $(shell command -v python3.11 || command -v python3)
READY := $(VENV)/.ready
RIVALS := $(VENV)/.rivals

.PHONY: demo test bench fmt clean

demo: $(READY)
	$(PYTHON) examples/demo.py

test: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTHON) -m pytest -n 2 --dist loadgroup

bench: $(RIVALS)
	$(PYTHON) benchmarks/bench.py $(if $(CASE),--case $(CASE))

fmt: $(READY)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# torch comes first and pinned, so that nothing else chooses a build of it. lava-nc declares Python < 3.11 but runs on
# newer ones (neurocompile/backends/lava/compat.py); what it really needs is the extra "lava".
$(READY): pyproject.toml constraints.txt Makefile
	$(SYSTEM_PYTHON) -m venv --clear $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,lava,demo,dev]'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python -c constraints.txt lava-nc
	touch $@

# what we are measured against; by themselves these two would pull builds of torchvision and torchaudio
$(RIVALS): $(READY)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt snntorch spikingjelly
	touch $@
