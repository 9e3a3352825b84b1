"""`python -m spikeseq`, which is `spikeseq`."""

from spikeseq.cli import main

if __name__ == "__main__":
    main()
