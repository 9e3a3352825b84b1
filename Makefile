# `make demo` and `make test` do all of their own set-up: a virtual environment, torch first, then the package;
# last the harness that judges our counts, without the torchaudio that it names, and tonic without its librosa.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test bench lint types native clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'neurobench>=2.3' 'snntorch>=1.0' 'tonic>=1.7'
	@touch $@

# Three models on the embedded sample, a comparison table, and plots in runs/demo.
demo: $(READY)
	rm -rf runs/demo
	$(BIN)/spikeseq train imdb --model bow --out runs/demo/bow
	$(BIN)/spikeseq train imdb --model lstm --out runs/demo/lstm
	$(BIN)/spikeseq train imdb --model snn --out runs/demo/snn
	echo "In the first half the acting was very charming but by the last scene the pace was flat I think." \
	  | $(BIN)/spikeseq classify runs/demo/snn --trace runs/demo/trace.png
	@echo "plots: runs/demo/*/learning.png, runs/demo/trace.png"

# A worker for every core, up to eight, each with one thread; a worker that is done takes tests from another.
test: $(READY) lint types native
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

# Against other spiking libraries, without the torchvision and torchaudio that two of them name.
bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt loguru h5py matplotlib tensorboard
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'spikingjelly>=2.0' 'norse>=1.1' nir nirtorch
	$(BIN)/spikeseq bench

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy does not follow the mapping of folders to packages, so it is shown the packages as they install.
types: $(READY)
	rm -rf build/types && mkdir -p build/types/spikeseq
	ln -s $(CURDIR)/spikeseq/* $(CURDIR)/recipes $(CURDIR)/tokenizers $(CURDIR)/evaluation build/types/spikeseq/
	cd build/types && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml -p spikeseq

# The kernel, built before the tests start their clocks.
native: $(READY)
	$(BIN)/python -c "import spikeseq; spikeseq.build('cpu')"

clean:
	rm -rf $(VENV) runs build dist *.egg-info
