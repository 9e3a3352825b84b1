"""`python -m spikeseq`, which is `spikeseq`."""

from spikeseq.cli import run

if __name__ == "__main__":
    run()
