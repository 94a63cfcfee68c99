# make demo: install, run the digits study, race and retrain the best, make its page.  make test: install, lint, types, tests.
# make gpu: measure on a GPU.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: install demo test lint gpu clean
install: $(VENV)/.installed

# Reinstalls only when the dependencies change.
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

# The embedded data on any CPU; --resume so that a second call goes on, or shows what is there.
demo: install
	$(BIN)/python studies/run_study.py --resume
	$(BIN)/python studies/retrain.py results/digits --race 4 --genotype random:48 --seeds 3 --resume
	$(BIN)/autogan-ray report results/digits

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

# A file a process, in as many as there are processors, four at most: each holds about 1 GB.
test: lint
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations=30 --durations-min=10

# What only a GPU can answer, in ten minutes: OUT is the folder of the results, CIFAR a Parquet file (docs/gpu.md).
OUT ?= results/gpu
gpu: install
	$(BIN)/python benchmarks/gpu.py $(if $(wildcard $(OUT)),--resume,--out) $(OUT) $(if $(CIFAR),--cifar $(CIFAR)) $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
