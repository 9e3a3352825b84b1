"""A data set whose items are made by what recipes and layers do; workers of a DataLoader import it."""

from functools import cached_property

import numpy as np
import torch
from gesture_case import random_events
from torch.utils.data import Dataset

from spikeseq import compile_events
from spikeseq.functional import lif
from spikeseq.models import SpikingClassifier
from spikeseq.models.gesture.frames import Encoding
from spikeseq.nn import SpikingRNN
from spikeseq.recipes.gestures.frames import encode
from spikeseq.tokenizers import SubwordTokenizer, Vocab, WhitespaceTokenizer

TEXTS = ["The acting was superb, and I loved it.", "Two cats don't sit still.", "Flat (and dull).", "Fine."]


class Items(Dataset):
    """Item i: what a layer says of numbers, words of a text and what a model says of it, event frames."""

    def __init__(self):
        torch.manual_seed(0)
        self.rnn = SpikingRNN(8, 16, num_layers=2)
        self.tokenizer = WhitespaceTokenizer()
        self.vocab = Vocab.build(map(self.tokenizer, TEXTS))
        self.subwords = SubwordTokenizer.train(TEXTS * 5, 285)
        model = SpikingClassifier(len(self.vocab), 2, embedding_size=6, hidden_size=8).eval()
        self.model = compile_events(model)

    def __len__(self):
        return 4

    @torch.no_grad()
    def __getitem__(self, i):
        x = torch.randn(64, 4, 8, generator=torch.Generator().manual_seed(i))
        ids = torch.tensor(self.vocab.encode(self.tokenizer(TEXTS[i])))
        events = random_events(np.random.default_rng(i), 300)
        frames = encode(events, Encoding("frames", frames=3, size=32, frame_ms=20.0), "events")
        pieces = self.subwords(TEXTS[i])
        return self.rnn(x)[0], self.model(ids.unsqueeze(1), torch.tensor([len(ids)])), frames, pieces

    @cached_property
    def expected(self):
        return [gathered([self[i]]) for i in range(len(self))]


def gathered(batch):
    """A collate function with a layer in it: large enough for several threads, where there are any."""
    outs, scores, frames, pieces = zip(*batch, strict=True)
    current = torch.stack(outs, 1).flatten(2).repeat(1, 1, 40)
    spikes, _ = lif(current, leak=0.9, threshold=0.5, substeps=4)
    return spikes.to(torch.uint8), torch.cat(scores), torch.from_numpy(np.stack(frames)), pieces
