# The few commands of Darkroom. All of them set up .venv first, when it is missing or out of date.
#
# A machine without a GPU saves several gigabytes of CUDA libraries by taking PyTorch's CPU build:
#   make demo PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STATE  ?= .darkroom
# Test processes that run in parallel. Many tests wait for other processes: four keep two cores busy.
TEST_WORKERS ?= 4

# Of `make images`: docker, podman or buildah (the first that works when unset), more arguments for it, and what stands in
# front of the names of the images (registry.example/darkroom/; docker.io/library/ when unset).
BUILDER      ?=
IMAGE_ARGS   ?=
IMAGE_PREFIX ?=

# Of `make lock`.
UV        ?= 0.13.9
LOCK_ARGS ?=

# Of `make chaos`.
JOBS   ?= 60
SEED   ?= 1
SEEDS  ?= 1

# Of `make fuzz`: requests for each operation in each phase. SEED counts here too.
EXAMPLES ?= 100

# Test workers and the processes that tests start would otherwise compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-fast test-interop check generate golden conformance stories chaos fuzz bench images save-images sbom test-images pictures screenshots vendor lock pin-images constraints clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Install everything into .venv

# torch goes first and alone: whatever else asks for "any torch" then finds it there.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Darkroom needs Python 3.11 or newer; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m darkroom_runner.run.model_index >/dev/null
	@touch $@

demo: setup ## Learn a subject from five photos, then make a picture and a video of it
	$(BIN)/darkroom demo

up: setup ## Run the whole system on this machine until Ctrl-C
	$(BIN)/darkroom up --state-dir $(STATE)

test: setup ## Run the whole test suite on embedded servers
	env -u KUBECONFIG OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: setup ## Run the tests that need no torch and no cluster, in a minute or two
	env -u KUBECONFIG $(BIN)/python -m pytest -m fast -n $(TEST_WORKERS) --dist worksteal

test-interop: setup ## Read our LoRA files, images and clips with other programs, and their LoRA files with ours; installs them into build/interop
	env -u KUBECONFIG OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/interop

# mypy checks only those tests that CI, which has no GPU, never runs.
check: setup ## Style, types (of the page too), import contracts, generated files, the English of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/gpu benchmarks
	$(BIN)/lint-imports
	$(BIN)/python page/check_types.py
	$(BIN)/python -m pytest -q tests/unit/contract/test_crd.py tests/unit/contract/test_reference.py tests/chart/test_crds.py \
		tests/docs/test_configuration.py tests/docs/test_english.py tests/docs/test_architecture.py tests/docs/test_links.py

generate: setup ## Write the CRDs (crds/, chart), docs/reference.md and docs/configuration.md from the code
	$(BIN)/python -m darkroom_contract.crd.definitions crds charts/darkroom/files/crds
	$(BIN)/python -m darkroom_contract.crd.reference docs/reference.md
	$(BIN)/python docs/generate_configuration.py

golden: setup ## Rewrite tests/chart/golden: the chart rendered with its default values
	DARKROOM_WRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/chart/test_golden.py

conformance: setup ## Check an API server for what Darkroom relies on: the one of KUBECONFIG, or the embedded one
	$(BIN)/python -m pytest tests/conformance

stories: setup ## Run the user stories on the API server of KUBECONFIG, or on the embedded one
	$(BIN)/python -m pytest tests/stories

chaos: setup ## Kill every process and evict pods repeatedly while 60 jobs run; SEEDS=5 for five seeds, SEED=7 for the seventh
	env -u KUBECONFIG CHAOS_JOBS=$(JOBS) CHAOS_SEED=$(SEED) CHAOS_SEEDS=$(SEEDS) $(BIN)/python -m pytest tests/chaos

fuzz: setup ## Check the gateway's responses to generated requests against its OpenAPI description; EXAMPLES=200, SEED=7
	env -u KUBECONFIG GENERATED_EXAMPLES=$(EXAMPLES) GENERATED_SEED=$(SEED) $(BIN)/python -m pytest tests/unit/gateway/docs/test_openapi.py

bench: setup ## Measure the U-Net cache, the hand-over of the slot, photos and the gateway on this machine
	$(BIN)/python benchmarks/unet_cache.py
	$(BIN)/python benchmarks/admission.py
	$(BIN)/python benchmarks/photos.py
	$(BIN)/python benchmarks/http_server.py
	$(BIN)/python benchmarks/gateway.py

images: ## Build the images with docker, podman or buildah; TORCH_BUILD=cpu for a runner without CUDA
	$(PYTHON) images/build.py --builder '$(BUILDER)' --prefix '$(IMAGE_PREFIX)' -- $(IMAGE_ARGS)

save-images: ## Write the built images into files for nodes without a registry (ctr images import), in build/images
	$(PYTHON) images/build.py --builder '$(BUILDER)' --prefix '$(IMAGE_PREFIX)' --save build/images

sbom: ## Copy the images' lists of parts (CycloneDX) into build/sbom
	$(PYTHON) images/build.py --builder '$(BUILDER)' --prefix '$(IMAGE_PREFIX)' --sbom build/sbom

test-images: setup ## Build the images, inspect and run them; needs docker or podman
	env -u KUBECONFIG BUILDER='$(BUILDER)' $(BIN)/python -m pytest tests/images

pictures: setup ## Make the pictures of README and docs (docs/pictures) from a real run
	OMP_NUM_THREADS=1 $(BIN)/python docs/pictures/make.py

screenshots: setup ## Make the pictures of the page (docs/pictures/page-*.webp) from a running page; needs Chromium
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python docs/pictures/page.py

vendor: setup ## Copy the page's libraries from npm (page/package-lock.json) into the page, with licences and hashes
	$(BIN)/python page/vendor.py

# Run it after `make constraints`, and when pyproject.toml asks for another package.
lock: ## Write images/locks and images/tools.txt: the packages of the images, with the SHA-256 of each of their files
	$(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install --quiet 'uv==$(UV)'
	$(PYTHON) images/lock.py --uv build/uv/bin/uv $(LOCK_ARGS)

pin-images: ## Put the digest that the base image's tag has now into the Dockerfiles; with skopeo, crane or docker
	$(PYTHON) images/pin.py

constraints: setup ## Write constraints.txt from what is installed
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## Remove .venv and caches; state and demo output stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
