PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
FOLDER ?= .

override ENGINE := $(filter-out 0 no,$(ENGINE))
override LIVE := $(filter-out 0 no,$(LIVE))

.PHONY: help demo test arguments docs golden matrix engine proxies apps package ray soak bench bench-quick pythons live models floors peers lint format

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: export FOLDER := $(FOLDER)
demo: export QUESTION := $(QUESTION)
demo: .venv-demo/installed $(if $(ENGINE),.venv-engine/models)  ## the quickstarts, on a local stand-in; LIVE=1: on the service, ENGINE=1: on small real models here; FOLDER=: your Markdown, QUESTION=: yours
ifneq ($(ENGINE),)
	.venv-engine/bin/python tests/engine/demo.py .venv-demo/bin/python "$$FOLDER" "$$QUESTION"
else
	@.venv-demo/bin/python docs/examples/demo.py $(if $(LIVE),--live) "$$FOLDER" "$$QUESTION"
endif

test: .venv/installed  ## every test that needs no network
	$(BIN)/python -m pytest --numprocesses auto

arguments: .venv/installed  ## the constructors' arguments, for the docs and for editors
	$(BIN)/python docs/arguments.py

docs: .venv-docs/installed  ## these pages as a site, in build/site; ONLINE=1: with links to the docs of Python and pydantic
	.venv-docs/bin/python -m sphinx --nitpicky --fail-on-warning --keep-going --quiet --fresh-env -d build/doctrees docs build/site
	@echo "Open build/site/index.html"

golden: .venv/installed  ## rewrite tests/golden/; then read the difference
	GOLDEN=1 $(BIN)/python -m pytest tests/test_golden.py tests/test_architecture.py

matrix: .venv/installed  ## each chat model with each feature in each way, in both frameworks; the newest langchain
	$(BIN)/python -m pip install --quiet --upgrade langchain langchain-core
	$(BIN)/python -m pytest --matrix tests/*/test_matrix.py tests/langchain_ovhcloud/test_by_name.py

engine: .venv/installed .venv-engine/models  ## a real engine (vLLM, on this machine's processor) with three small models; installs 4 GB
	$(BIN)/python -m pytest tests/engine

proxies: .venv/installed .venv-litellm/installed  ## nginx, HAProxy, tinyproxy, a bad link, LiteLLM's proxy; needs root and half an hour; writes a table
	$(BIN)/python -m pytest tests/proxies --seconds 60 --table docs/reliability.md
	$(BIN)/python -m pytest tests/litellm_proxy

apps: .venv-apps/installed .venv-apps-mcp/installed .venv-swaps/installed  ## apps and packages of others on our classes; ten minutes
	.venv-apps/bin/python -m pytest tests/apps --ignore tests/apps/test_mcp.py
	.venv-apps-mcp/bin/python -m pytest tests/apps/test_mcp.py
	.venv-swaps/bin/python -m pytest tests/swaps

package: .venv-package/installed  ## the wheel as users install it, with each extra alone, and the tests on it; DIST=: these files
	.venv-package/bin/python -m pytest tests/package $(if $(DIST),--files "$(DIST)")

ray: .venv-ray/installed  ## our classes for Ray Data, on a real Ray of this machine; a quarter of an hour; installs 0.8 GB
	.venv-ray/bin/python -m pytest tests/ray
	.venv-ray/bin/python tests/ray/many.py

soak: .venv/installed  ## load and faults for some minutes, and a peer that dies (which takes root); prints figures
	$(BIN)/python tests/soak/soak.py --seconds 120
	$(BIN)/python tests/soak/deadlines.py
	$(BIN)/python tests/soak/batches.py
	$(BIN)/python tests/soak/limits.py
	$(BIN)/python tests/soak/dead_peer.py

bench:  ## speed beside other packages, in environments of its own; writes docs/performance.md; takes half an hour
	for framework in langchain llama-index; do \
		$(PYTHON) -m venv .venv-bench/$$framework && \
		.venv-bench/$$framework/bin/python -m pip install --quiet --upgrade "pip>=25.1" && \
		.venv-bench/$$framework/bin/python -m pip install --quiet --editable ".[aiohttp,$$framework]" --group bench-$$framework || exit 1; \
	done
	.venv-bench/langchain/bin/python tests/benchmarks/bench.py --to docs

bench-quick: .venv/installed  ## the steps that calls take, beside those of the last commit of main; two minutes
	$(BIN)/python tests/benchmarks/quick.py

pythons:  ## every test on each Python from 3.12 on that can be found
	for python in $(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python) $(shell command -v python3.12 python3.13 python3.14); do \
		rm -rf .venv-pythons && $$python -m venv .venv-pythons && \
		.venv-pythons/bin/python -m pip install --quiet --editable ".[all]" --group dev && \
		.venv-pythons/bin/python -m pytest --numprocesses auto || exit 1; \
	done

live: .venv/installed  ## what we take the service to do, checked on the real one; says how long it takes, asks what it may cost (DOLLARS=); LIVE_URL=: another server
	$(BIN)/python tests/live/run.py $(if $(LIVE_URL),--url "$(LIVE_URL)") $(if $(DOLLARS),--dollars "$(DOLLARS)")

models: .venv/installed  ## a new catalogue from the service, and its page
	$(BIN)/python -m ovhcloud_ai_endpoints models --refresh --json > models.new
	mv models.new ovhcloud_ai_endpoints/_catalogue/models.json
	$(BIN)/python docs/models.py

floors:  ## every test with the lowest versions of the frameworks that are allowed
	$(PYTHON) -m venv .venv-floors
	.venv-floors/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-floors/bin/python -m pip install --quiet --editable ".[all]" --group dev --constraint tests/floors.txt
	.venv-floors/bin/python -m pytest --numprocesses auto

peers:  ## LlamaIndex's standard suite on the other classes that people use; writes the tables of docs/llama-index-suite.md
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-peers/bin/python -m pip install --quiet --editable ".[llama-index]" --group peers
	-.venv-peers/bin/python -m pytest -qq --tb=no -c /dev/null --rootdir=. -o pythonpath=tests/llama_index_ovhcloud --noconftest \
		--timeout=20 --junitxml=.venv-peers/peers.xml tests/llama_index_ovhcloud/standard/peers.py > .venv-peers/log
	.venv-peers/bin/python -m pytest -qq -c /dev/null --rootdir=. -o pythonpath=tests/llama_index_ovhcloud --noconftest \
		--timeout=20 --junitxml=.venv-peers/ours.xml tests/llama_index_ovhcloud/test_standard.py
	.venv-peers/bin/python tests/llama_index_ovhcloud/standard/table.py docs/llama-index-suite.md .venv-peers/ours.xml .venv-peers/peers.xml

lint: .venv/installed  ## style, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy tests/typing/*.py

format: .venv/installed  ## mends style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv-engine/models: tests/engine/models.py tests/engine/install.sh
	sh tests/engine/install.sh "$(PYTHON)" .venv-engine

.venv-litellm/installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(@D)/bin/python -m pip install --quiet --group litellm
	touch $@

.venv-demo/installed: pyproject.toml
	@echo "Installing LangChain, LlamaIndex and this package into .venv-demo, which takes a minute and 70 MB (325 MB unpacked):"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@bash -o pipefail -c '$(@D)/bin/python -m pip install --progress-bar off --editable ".[langchain,llama-index]" --group demo \
		| sed -n "s/^ *Downloading \(.*\)/  \1/p"'
	@touch $@

.venv-%/installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(@D)/bin/python -m pip install --quiet --editable ".[all]" --group $*
	touch $@

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	touch $@
