# `make demo` and `make test` do all of their own set-up. Where there is a lock for this Python and platform: everything
# but torch as it is pinned there by hash, then torch, then the package; `LOCK=` does without. Elsewhere: a virtual
# environment, torch first, then the package; last the harness that judges our counts, without the torchaudio that it
# names, and tonic without its librosa.
# Bytecode is written even where it is not wished for elsewhere: an environment is installed without it (below).
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Other spiking libraries: torch first, and without the torchvision, torchaudio and samna that they name. Lava and brian2
# ask for an older Python or numpy, and get an environment of their own.
PEERS ?= .venv-peers
OLDER ?= .venv-older
DOCS ?= .venv-docs
OLDER_PYTHON ?= python3.10
# Bytecode is made of what is imported, when it is: that of all packages takes longer than their installing.
PIP := -m pip install --quiet --disable-pip-version-check --no-compile

TAG := $(shell $(PYTHON) -c 'import platform as p, sys; print(f"py{sys.version_info[0]}{sys.version_info[1]}-{sys.platform}-{p.machine()}")')
LOCK ?= $(wildcard .ci/lock-$(TAG).txt)

# Releases of torch that the core tests run with (docs/pytorch.md), and these tests.
TORCHES ?= 2.12.1 2.13.0 2.14.1
# Releases of torch that `make wheel` compiles the CPU kernel for; more than one brings environments as test-torch's.
WHEEL_TORCHES ?= $(shell sed -n 's/^torch==//p' constraints.txt)
CORE ?= tests/ops tests/functional tests/nn tests/models/test_language.py tests/models/test_convolutional.py \
  tests/test_swap.py

.PHONY: demo test test-data test-torch test-thirdparty wheel docs sanitize exchange bench audit fuzz lint pictures types native lock extras clean

$(READY): pyproject.toml constraints.txt $(LOCK)
	$(PYTHON) -m venv $(VENV)
ifneq ($(LOCK),)
	$(BIN)/python $(PIP) --require-hashes --no-deps -r $(LOCK)
	$(BIN)/python $(PIP) --no-warn-conflicts -c constraints.txt torch
	$(BIN)/python $(PIP) --no-deps --no-build-isolation -e .
else
	$(BIN)/python $(PIP) -c constraints.txt torch
	$(BIN)/python $(PIP) -c constraints.txt -e '.[all]'
	$(BIN)/python $(PIP) --no-deps 'neurobench>=2.3' 'snntorch>=1.0' 'tonic>=1.7'
endif
	@touch $@

# The lock of this Python and platform anew: the newest that go together, with the hash of every file of theirs.
lock:
	rm -rf .venv-lock
	$(MAKE) VENV=.venv-lock LOCK= .venv-lock/.ready
	.venv-lock/bin/python $(PIP) uv
	.venv-lock/bin/python .ci/lock.py .ci/lock-$(TAG).txt
	rm -rf .venv-lock

# What each extra would install on each Python: the table of docs/installing.md. Nothing is fetched but metadata.
extras: $(READY)
	$(BIN)/python $(PIP) --upgrade --target build/uv uv
	$(BIN)/python .ci/extras.py --uv build/uv/bin/uv --write docs/installing.md

# Three models on the embedded sample, a comparison table, and plots in runs/demo.
demo: $(READY)
	rm -rf runs/demo
	$(BIN)/spikeseq train imdb --model bow --out runs/demo/bow
	$(BIN)/spikeseq train imdb --model lstm --out runs/demo/lstm
	$(BIN)/spikeseq train imdb --model snn --out runs/demo/snn
	echo "In the first half the acting was very charming but by the last scene the pace was flat I think." \
	  | $(BIN)/spikeseq classify runs/demo/snn --trace runs/demo/trace.png
	@echo "plots: runs/demo/*/learning.png, runs/demo/trace.png"

# The report of three runs on the sample as a browser shows it, and, where `make docs` has built it, the first page of
# the site: docs/images/report.png, report-phone.png, site.png and site-phone.png.
PICTURES = runs/pictures
pictures: $(READY)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	  { echo "pictures of pages need chromium (apt-get install chromium), which is not installed" >&2; exit 1; }
	rm -rf $(PICTURES)
	for model in bow lstm snn; do $(BIN)/spikeseq train imdb --model $$model --out $(PICTURES)/$$model || exit 1; done
	$(BIN)/spikeseq report $(PICTURES)/snn $(PICTURES)/lstm $(PICTURES)/bow --out $(PICTURES)/report.html
	$(BIN)/python -m spikeseq.evaluation.report.screenshots $(PICTURES)/report.html docs/images
	[ ! -e build/site/index.html ] || $(BIN)/python -m spikeseq.evaluation.report.screenshots build/site/index.html docs/images site

# A worker for every core, up to eight, each with one thread; a worker that is done takes tests from another.
test: $(READY) lint types native
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

# The model that comes with the package, tested on real reviews: DATA is a folder with IMDB's test.parquet.
test-data: $(READY) native
	@test -n "$(DATA)" || { echo "expected DATA=DIR, a folder with train.parquet and test.parquet of IMDB" >&2; exit 1; }
	SPIKESEQ_REVIEWS="$(abspath $(DATA))" $(BIN)/python -m pytest -p no:xdist tests/recipes/shipped/test_reviews.py

$(PEERS)/.ready: pyproject.toml constraints.txt Makefile
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(PIP) -c constraints.txt torch
	$(PEERS)/bin/python $(PIP) -c constraints.txt -e '.[exchange]' pytest pytest-timeout \
	  loguru matplotlib opt-einsum pbr pyparsing scipy tqdm
	$(PEERS)/bin/python $(PIP) --no-deps nirtorch==2.6 snntorch==1.0.0 norse==1.1.0 spikingjelly==2.0.0 \
	  sinabs==3.1.3 rockpool==3.1.0 bindsnet==0.3.4 opacus==1.6.0
	@touch $@

$(OLDER)/.ready: Makefile
	@$(OLDER_PYTHON) --version >/dev/null 2>&1 || \
	  { echo "lava and brian2 need $(OLDER_PYTHON), which does not run; set OLDER_PYTHON=PATH" >&2; exit 1; }
	$(OLDER_PYTHON) -m venv $(OLDER)
	$(OLDER)/bin/python $(PIP) lava-nc==0.10.0 brian2==2.9.0
	@touch $@

# What passes through a file to another library and back, and each library's neuron, spike by spike.
test-thirdparty: $(READY) $(PEERS)/.ready $(OLDER)/.ready
	OMP_NUM_THREADS=1 SPIKESEQ_THIRDPARTY=$(abspath $(OLDER))/bin/python $(PEERS)/bin/python -m pytest \
	  tests/exchange tests/evaluation/exchange tests/nn/test_private.py
	SPIKESEQ_COMPILED=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/deploy

# The CPU kernel built with sanitizers: its tests, and random cases of every layer and op, 1,100 of each kind.
# Leaks are not looked for: Python and torch keep what they hold until the end. -s shows what ends the process.
SANITIZERS = $(foreach name,asan ubsan stdc++,$(shell g++ -print-file-name=lib$(name).so))
sanitize: $(READY)
	SPIKESEQ_SANITIZE=address,undefined SPIKESEQ_BACKEND=native SPIKESEQ_CASES=1100 OMP_NUM_THREADS=2 \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 LD_PRELOAD="$(SANITIZERS)" \
	  $(BIN)/python -m pytest -s -p no:xdist --timeout 3000 tests/functional tests/stdp tests/ops \
	  --ignore=tests/ops/test_build.py --ignore=tests/ops/test_nvcc.py --ignore=tests/ops/test_cuda_twin.py \
	  --ignore=tests/ops/test_registration.py

# The kernel and the core tests with each release of torch, in an environment of its own: .venv-torch-2.14.1.
test-torch: $(TORCHES:%=test-torch-%)

.PRECIOUS: .venv-torch-%/.ready
.venv-torch-%/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-torch-$*
	.venv-torch-$*/bin/python $(PIP) torch==$*
	.venv-torch-$*/bin/python $(PIP) -e . hypothesis omegaconf pytest pytest-timeout
	@touch $@

test-torch-%: .venv-torch-%/.ready
	OMP_NUM_THREADS=1 SPIKESEQ_BACKEND=native .venv-torch-$*/bin/python -m pytest $(CORE)

# A wheel in dist/ that needs no compiler: it brings the CPU kernel for each of WHEEL_TORCHES (docs/installing.md).
wheel: $(READY) $(WHEEL_TORCHES:%=.venv-torch-%/.ready)
	rm -rf spikeseq/kernels build/lib* build/bdist.* dist/spikeseq-*.whl
	for torch in $(WHEEL_TORCHES); do \
	  .venv-torch-$$torch/bin/python -c "from spikeseq.ops.build import ship; print(ship())" || exit; done
	$(BIN)/python -m build --wheel --config-setting=--build-option=--plat-name=linux_x86_64
	rm -rf spikeseq/kernels

# The tables of docs/exchange.md and docs/neurons.md.
exchange: $(PEERS)/.ready $(OLDER)/.ready
	OMP_NUM_THREADS=1 $(PEERS)/bin/python -m spikeseq.evaluation.exchange agreement --write docs/exchange.md
	OMP_NUM_THREADS=1 $(PEERS)/bin/python -m spikeseq.evaluation.exchange neurons --write docs/neurons.md \
	  --python $(OLDER)/bin/python

# Against other spiking libraries, without the torchvision and torchaudio that two of them name.
bench: $(READY)
	$(BIN)/python $(PIP) -c constraints.txt loguru h5py matplotlib tensorboard
	$(BIN)/python $(PIP) --no-deps 'spikingjelly>=2.0' 'norse>=1.1' nir nirtorch
	$(BIN)/spikeseq bench

# Known advisories of what is installed, where their database can be reached; packages that it does not know are listed.
audit: $(READY)
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python $(PIP) pip-audit
	.venv-audit/bin/pip-audit --progress-spinner off --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

# Twenty thousand damaged files: the table of docs/reliability.md.
fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m spikeseq.evaluation.reliability fuzz --write docs/reliability.md

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy and mkdocstrings do not follow the mapping of folders to packages, so they are shown them as they install.
build/types: FORCE
	rm -rf build/types && mkdir -p build/types/spikeseq
	ln -s $(CURDIR)/spikeseq/* $(CURDIR)/recipes $(CURDIR)/tokenizers $(CURDIR)/evaluation build/types/spikeseq/
FORCE:

types: $(READY) build/types
	cd build/types && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml -p spikeseq

# The site, in build/site: links are checked, every Python block of a page runs, and every command is one that there is.
docs: $(READY) build/types $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/docs
	@echo "the site: build/site/index.html"

$(DOCS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python $(PIP) 'mkdocs-material>=9.7,<10' 'mkdocstrings[python]>=1.0'
	@touch $@

# The kernel, built before the tests start their clocks.
native: $(READY)
	$(BIN)/python -c "import spikeseq; spikeseq.build('cpu')"

clean:
	rm -rf $(VENV) $(PEERS) $(OLDER) $(DOCS) .venv-lock .venv-torch-* runs build dist *.egg-info
