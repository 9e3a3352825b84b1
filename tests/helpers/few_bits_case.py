"""Small encoder-decoders of few bits, a batch for them, and attention alone."""

import torch
from torch import nn

from spikeseq.evaluation import measure_energy
from spikeseq.models.seq2seq import build_seq2seq


def small(name, bits, **shape):
    """An encoder-decoder with start weights that are the same for everybody."""
    torch.manual_seed(0)
    return build_seq2seq({"name": name, "bits": bits, **shape}, 20, 24)


def pair():
    """Sources (6, 3), their lengths, targets (5, 3)."""
    generator = torch.Generator().manual_seed(1)
    source, target = (torch.randint(4, 20, (n, 3), generator=generator) for n in (6, 5))
    return source, torch.tensor([6, 2, 4]), target


def check_whole_is_token_by_token(net):
    """In float64; gives the outputs of the whole."""
    source, lengths, target = pair()
    memory = net.encode(source, lengths)
    whole, state, rows = net.decode(target, memory).hidden, None, []
    for row in target:
        decoded = net.decode(row.unsqueeze(0), memory, state)
        state = decoded.state
        rows.append(decoded.hidden)
    torch.testing.assert_close(torch.cat(rows), whole)
    return whole


class Asked(nn.Module):
    """Attention on states that it prepares itself."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, query, states):
        return self.attention(query, self.attention.prepare(states))[0]


def counts_of_attention(attention, query, states):
    """What an attention alone counts, all of which is known."""
    account = measure_energy(Asked(attention), [(query, states)], tokens=1)
    assert account["not_counted"] == [] and account["guessed"] == []
    return account["layers"]["attention"]
