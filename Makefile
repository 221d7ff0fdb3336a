# Two commands for a new user: `make demo` and `make test`. Both set up .venv first.

VENV := .venv
PYTHON := $(VENV)/bin/python
SYSTEM_PYTHON := $(shell command -v python3.11 || command -v python3)
READY := $(VENV)/.ready
FRAMEWORKS := $(VENV)/.frameworks
LAVA_DL := build/wheels/lava_dl-0.6.0-py3-none-any.whl

.PHONY: demo test bench fmt clean

demo: $(READY)
	$(PYTHON) examples/demo.py

test: $(FRAMEWORKS) $(LAVA_DL)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTHON) -m pytest -n 2 --dist loadgroup

bench: $(FRAMEWORKS)
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
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,lava,formats,demo,dev]'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python -c constraints.txt lava-nc
	touch $@

# The frameworks that networks come from. By themselves they would pull other builds of torch (torchvision, torchaudio),
# an older nir, a simulator of one chip, or refuse this Python; what they really import is the extra "frameworks". With
# them comes SANA-FE, a simulator to compare with.
$(FRAMEWORKS): $(READY)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[frameworks,sanafe]'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python -c constraints.txt \
		snntorch spikingjelly norse sinabs lava-dl
	touch $@

# its own tests, in the wheel, have trained networks with their spikes
$(LAVA_DL): $(READY)
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --ignore-requires-python \
		-c constraints.txt -d $(dir $@) lava-dl
	touch $@
