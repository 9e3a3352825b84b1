"""Shows examples to a network of ensembles; `spikeseq.stdp.showing` packs its arguments."""

from . import library

library.define(
    "stdp_present(Tensor(a!)[] weights, Tensor[] possible, Tensor(b!)[] thetas, Tensor[] rates,"
    " Tensor(c!)[] counts, Tensor(d!) shown, float[] constants, int[] whole, int first, int batch) -> ()"
)
