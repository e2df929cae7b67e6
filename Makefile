# make demo: set up and find moments in real video.   make test: set up and run the tests.
# Everything goes into .venv; nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
TORCH := .venv-torch/bin
LIMIT := $(shell command -v timeout >/dev/null && echo timeout 900)
VIDEOS ?= demo/videos

# make serve: the page, the API and the MCP endpoint on the demo's library (run make demo first).
.PHONY: demo serve test test-ray test-stores test-torch lint bench clean

demo: .venv/.demo
	$(BIN)/python demo/demo.py $(VIDEOS)

serve: .venv/.serve
	@test -d $(VIDEOS) || { echo "there is nothing to serve yet: run make demo first"; exit 1; }
	$(BIN)/footage serve --library demo/.footage --allow-dir $(VIDEOS) $(ARGS)

# Three at a time, a file or a class of tests after the other: much of it waits (for servers, for what was killed to come
# back).
test: .venv/.test
	$(BIN)/python -m pytest -m "not ray" --numprocesses 3 --dist loadscope $(ARGS)

# Several raylets on this machine, some of which are killed; some three minutes.
test-ray: .venv/.test
	$(BIN)/python -m pytest -m ray tests/test_ray.py $(ARGS)

# The stores alone: one contract on memory, Lance, Milvus Lite and a real Milvus server, which is started in a network
# namespace of its own (as root, or where users may make namespaces) and stopped; it is skipped where that is not allowed.
test-stores: .venv/.test
	$(BIN)/python -m pytest tests/test_stores.py tests/test_texts.py tests/test_store_processes.py tests/test_milvus.py tests/test_cached.py \
	  tests/test_migrate.py $(ARGS)

# The models on torch, beside the libraries they come from, in an environment of their own (some 1.5 GB with a CPU
# torch). Where torch cannot be installed within a quarter of an hour it says so and is no failure; a failing test is one.
test-torch: .venv-torch/.done
	@if test -e $<; then \
	  $(TORCH)/python -m pytest tests/test_torch_*.py tests/test_onnx.py tests/test_preprocess.py tests/test_tokens.py \
	    tests/test_rows.py $(ARGS); \
	else echo "torch could not be installed: the tests of its models are skipped"; fi

lint: .venv/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: .venv/.test
	$(BIN)/python demo/demo.py >/dev/null  # fills demo/videos
	$(BIN)/python bench/sampling.py demo/videos/*.mp4
	$(BIN)/python bench/index.py
	$(BIN)/python bench/search.py 10000
	$(BIN)/python bench/search.py 100000
	$(BIN)/python bench/search.py 1000000

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/.demo: pyproject.toml | .venv/bin/python
	@echo "installing Footage into .venv (some 900 MB the first time)"
	$(BIN)/python -m pip install --quiet -e ".[demo]"
	@touch $@

.venv/.serve: .venv/.demo
	@echo "installing the server and the page"
	$(BIN)/python -m pip install --quiet -e ".[demo,serve,export]"
	@touch $@

.venv/.test: .venv/.serve
	$(BIN)/python -m pip install --quiet -e . --group test
	@touch $@

.venv-torch/.done: pyproject.toml
	@echo "installing torch and what stands on it into .venv-torch"
	@rm -f $@
	-$(PYTHON) -m venv .venv-torch && $(TORCH)/python -m pip install --quiet --upgrade pip && \
	  $(LIMIT) $(TORCH)/python -m pip install --quiet --no-compile -e . --group torch && touch $@

.venv/.lint: .venv/.test
	$(BIN)/python -m pip install --quiet --group lint
	@touch $@

clean:
	rm -rf .venv .venv-torch demo/videos demo/.footage .pytest_cache .ruff_cache
