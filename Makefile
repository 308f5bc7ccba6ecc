# make help prints the targets. All set up what they need on their first run. PYTHON=… picks the interpreter (3.11 to 3.14).

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))
# Nothing was run on 3.14, so that it has to be named.
TESTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(TESTED)' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
MMAGIC ?= $(VENV)-mmagic
# The theme works with version 11.
MERMAID_VERSION = 11.17.2
MERMAID ?= .cache/mermaid.min.js
MMAGIC_READY = $(MMAGIC)/.ready
NEWEST ?= .venv-newest
# The versions that are installed; empty: the newest.
CONSTRAINTS ?= constraints.txt
PINNED = $(addprefix -c ,$(CONSTRAINTS))
# setuptools warns that an editable package hides an installed one, which is what it is for.
EDITABLE = PYTHONWARNINGS="ignore:Editable installation" $(1)/bin/python -m pip install -q $(PINNED) --no-build-isolation
# Threads that wait give their core away, so that a busy machine slows a training by its share and not tenfold.
export OMP_WAIT_POLICY ?= passive
REAL ?=
JUDGE ?=
TESTS ?= tests
WORKERS ?= 2

.PHONY: help demo test test-mmagic test-wheel test-newest newest gpu lock lint docs docs-serve install clean-demo
.DELETE_ON_ERROR:

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

install: $(READY)  ## set up .venv with the versions of constraints.txt

# basicsr is built by itself: without --no-build-isolation its build would fetch torch, and from Python 3.13 on it needs
# the sitecustomize of packaging/py313, which changes nothing on older versions.
# basicsr wants opencv-python and pyiqa opencv-python-headless; both write the same cv2 folder. The headless build of the
# same version is written last: it needs no libGL, and pip still finds both requirements satisfied.
$(READY): setup.py pyproject.toml packaging/py313/sitecustomize.py $(CONSTRAINTS)
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' || { echo "wxr_plugin needs Python 3.11, 3.12 or 3.13 (3.14 has to be \
	named, nothing was run on it); name one: make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q $(PINNED) setuptools wheel
	PYTHONPATH=$$PWD/packaging/py313 $(BIN)/python -m pip install -q --no-build-isolation --no-deps basicsr==1.4.2
	$(call EDITABLE,$(VENV)) -e ".[all,dev]"
	$(BIN)/python -m pip install -q --force-reinstall --no-deps opencv-python-headless==$$( \
	$(BIN)/python -c 'from importlib.metadata import version; print(version("opencv-python"))')
	$(BIN)/python -c 'import cv2, wxr_plugin'
	@touch $(READY)

demo: $(READY)  ## train a small network with a vision-language model in the loop and show the result; REAL=FOLDER, JUDGE=RATER
	$(BIN)/wxr demo -o demo $(if $(REAL),--real "$(REAL)") $(if $(JUDGE),--judge "$(JUDGE)")

test: $(READY)  ## run the tests in two processes with one thread each; TESTS=…, WORKERS=0 for one process
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --ignore tests/wheel $(TESTS)

gpu: $(READY)  ## run the tests marked gpu and the benchmarks on a CUDA device (docs/gpu.md)
	$(BIN)/python -m benchmarks.gpu -o gpu.json

# The extra's packages alone are installed; everything else is seen through a .pth file. mediapipe, which mmagic asks for
# and training does not need, brings another cv2, which is taken out again: it wants libGL.
$(MMAGIC_READY): $(READY)
	rm -rf $(MMAGIC)
	$(BIN)/python -m venv $(MMAGIC)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	> $$($(MMAGIC)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/below.pth
	$(call EDITABLE,$(MMAGIC)) -e ".[mmagic]"
	$(MMAGIC)/bin/python -m pip uninstall -q -y opencv-contrib-python
	$(MMAGIC)/bin/python -c 'import cv2, wxr_plugin.mm.mmagic_bridge'
	@touch $(MMAGIC_READY)

test-mmagic: $(MMAGIC_READY)  ## run tests/mmagic next to mmagic 1.2.0, in .venv-mmagic, which lies over .venv
	OMP_NUM_THREADS=1 $(MMAGIC)/bin/python -m pytest tests/mmagic

test-wheel: $(READY)  ## build the wheel and run the commands from it, in an environment over .venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/wheel

newest:
	rm -rf $(NEWEST) $(NEWEST)-mmagic
	$(MAKE) $(NEWEST)-mmagic/.ready VENV=$(NEWEST) CONSTRAINTS= PYTHON=$(PYTHON)

test-newest: newest  ## run the tests on the newest versions of all packages, in .venv-newest
	$(MAKE) test test-mmagic VENV=$(NEWEST) CONSTRAINTS=

# Versions for Python 3.11 run on later ones, the other way round not always.
lock: PYTHON := python3.11
lock: newest  ## write constraints.txt: the newest version of every package
	$(NEWEST)-mmagic/bin/python tools/lock.py constraints.txt

# The script that draws diagrams, from npm's registry, goes into the site. MERMAID= builds without it: the theme then fetches
# it when a page with a diagram is read.
.cache/mermaid.min.js:
	mkdir -p .cache
	cd .cache && npm pack --silent mermaid@$(MERMAID_VERSION) >/dev/null
	tar -xzOf .cache/mermaid-$(MERMAID_VERSION).tgz package/dist/mermaid.min.js > $@
	rm .cache/mermaid-$(MERMAID_VERSION).tgz

# Both packages print notices about the future of MkDocs at every build.
docs: $(READY) $(MERMAID)  ## build the documentation as a site, in site/; every broken link is an error
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

docs-serve: $(READY) $(MERMAID)  ## show the site at http://127.0.0.1:8000 while pages are edited
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs serve

lint: $(READY)  ## check style, formatting, the floors of the package, types, the Containerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/hadolint Containerfile

clean-demo:  ## delete the results of make demo
	rm -rf demo
