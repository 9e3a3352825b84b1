"""Two models that other people wrote, swapped to spikes with one call and trained.

    pip install stanza tianshou
    python examples/swap_third_party.py

- `stanza.models.common.seq2seq_model.Seq2SeqModel` (Stanford NLP; lemmas): a packed bidirectional encoder
  whose (h, c) start an nn.LSTMCell decoder with attention. Here it learns to write letters in reverse order.
- `tianshou.utils.net.common.Recurrent` (reinforcement learning): an nn.LSTM that hands (h, c) to its caller.
  Here it learns which of two events came first.

Neither model's code is changed. Data are drawn anew for each batch, so that nothing can be memorised, and
order carries the answer: the same model, trained on the same data with the tokens of each source sequence
shuffled, cannot do as well. The exit status is 1 if a swapped model is not better than that. Then come the
scale of what the layers give, and spike rates. `--sweep` goes over learning rates and clipping instead.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from spikeseq.monitor import monitor
from spikeseq.nn import project_parameters
from spikeseq.swap import SwappedLSTM, SwappedLSTMCell, swap

Loss = Callable[[nn.Module, torch.Generator, bool], Tensor]
BATCH = 32
PAD, SOS, EOS, SPECIAL = 0, 2, 3, 4  # stanza's constants
LETTERS = 12


def reversal_model() -> nn.Module:
    """stanza's lemmatizer network, without a copy gate."""
    from stanza.models.common.seq2seq_model import Seq2SeqModel

    sizes = {
        "vocab_size": SPECIAL + LETTERS,
        "emb_dim": 32,
        "hidden_dim": 64,
        "num_layers": 1,
        "max_dec_len": 10,
    }
    return Seq2SeqModel({**sizes, "dropout": 0.0, "attn_type": "soft"})


def reversal_loss(model: nn.Module, random: torch.Generator, shuffle: bool) -> Tensor:
    """Different letters in, the same in reverse order out: cross-entropy per letter, teacher forcing."""
    lengths = torch.randint(4, 9, (BATCH,), generator=random).sort(descending=True).values
    longest = int(lengths[0])
    letters = torch.rand(BATCH, LETTERS, generator=random).argsort(1)[:, :longest] + SPECIAL
    at = torch.arange(longest)
    mask = at >= lengths[:, None]
    src = letters.masked_fill(mask, PAD)
    back = (lengths[:, None] - 1 - at).clamp(min=0)
    target = src.gather(1, back).masked_fill(mask, PAD)
    tgt_in = torch.cat([torch.full((BATCH, 1), SOS), target], 1)
    tgt_out = torch.cat([target, torch.zeros(BATCH, 1, dtype=torch.long)], 1)
    tgt_out[torch.arange(BATCH), lengths] = EOS
    if shuffle:  # padding stays at the end
        src = src.gather(1, torch.rand(src.shape, generator=random).masked_fill(mask, 2).argsort(1))
    log_probs, _ = model(src, mask, tgt_in)
    return F.nll_loss(log_probs.flatten(0, 1), tgt_out.flatten(), ignore_index=PAD)


def order_model() -> nn.Module:
    """tianshou's recurrent network for partially observed environments."""
    from tianshou.utils.net.common import Recurrent

    return Recurrent(layer_num=1, state_shape=8, action_shape=2, hidden_layer_size=64)


def order_loss(model: nn.Module, random: torch.Generator, shuffle: bool) -> Tensor:
    """Noise with event A in one of 12 observations, B in another: which came first? Chance is 0.693."""
    length = 12
    obs = 0.5 * torch.randn(BATCH, length, 8, generator=random)
    places = torch.rand(BATCH, length, generator=random).argsort(1)[:, :2]
    rows = torch.arange(BATCH)
    obs[rows, places[:, 0], 0] += 3.0
    obs[rows, places[:, 1], 1] += 3.0
    if shuffle:
        order = torch.rand(BATCH, length, generator=random).argsort(1)
        obs = obs.gather(1, order[:, :, None].expand_as(obs))
    logits, state = model(obs)
    assert {"hidden", "cell"} <= set(state.keys())
    return F.cross_entropy(logits, (places[:, 0] < places[:, 1]).long())


TASKS: dict[str, tuple[Callable[[], nn.Module], Loss, int]] = {
    "stanza Seq2SeqModel": (reversal_model, reversal_loss, 500),
    "tianshou Recurrent": (order_model, order_loss, 300),
}


class Run(NamedTuple):
    """A trained model, its mean loss over the first ten and the last fifty steps, and every gradient norm."""

    model: nn.Module
    first: float
    last: float
    norms: Tensor


def train(name: str, spiking: bool, shuffle: bool, args: argparse.Namespace) -> Run:
    """An ordinary training loop. What spikes add are `swap` and `project_parameters`."""
    make, loss_of, steps = TASKS[name]
    torch.manual_seed(args.seed)
    random = torch.Generator().manual_seed(args.seed + 1)
    model = make()
    if spiking:
        norm = None if args.norm == "none" else args.norm
        model = swap(model, args.substeps, norm=norm, recurrent=args.recurrent)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)  # built after the swap
    losses, norms = [], []
    for _ in range(max(100, int(steps * args.scale))):
        loss = loss_of(model, random, shuffle)
        optimizer.zero_grad()
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), args.clip).item())
        optimizer.step()
        project_parameters(model)
        losses.append(loss.item())
    return Run(model, sum(losses[:10]) / 10, sum(losses[-50:]) / 50, torch.tensor(norms))


def output_scale(model: nn.Module, loss_of: Loss) -> str:
    """Standard deviation and range of what each recurrent layer gives over ten batches."""
    outputs: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object, out: tuple[Tensor | PackedSequence, object]) -> None:
            values = out[0].data if isinstance(out[0], PackedSequence) else out[0]
            outputs.setdefault(name, []).append(values.detach().flatten())

        return hook

    rnns = nn.LSTM | nn.LSTMCell | SwappedLSTM | SwappedLSTMCell
    handles = [m.register_forward_hook(keep(n)) for n, m in model.named_modules() if isinstance(m, rnns)]
    with torch.no_grad():
        for seed in range(10):
            loss_of(model, torch.Generator().manual_seed(seed), False)
    for handle in handles:
        handle.remove()
    parts = []
    for name, chunks in outputs.items():
        x = torch.cat(chunks)
        parts.append(f"{name} std {x.std():.2f}, {x.min():.1f} to {x.max():.1f}")
    return "; ".join(parts)


def compare(args: argparse.Namespace) -> int:
    """The table of three runs per model; 1 if a spiking model is no better than on shuffled tokens."""
    print(
        "| model | first steps | LSTM, after | spiking, after | spiking on shuffled tokens, after | seconds |"
    )
    print("|---|---|---|---|---|---|")
    status = 0
    notes = []
    for name, (_, loss_of, _) in TASKS.items():
        start = time.perf_counter()
        lstm = train(name, False, False, args)
        ordered = train(name, True, False, args)
        shuffled = train(name, True, True, args)
        figures = [ordered.first, lstm.last, ordered.last, shuffled.last]
        seconds = time.perf_counter() - start
        print("|", " | ".join([name, *(f"{x:.3f}" for x in figures), f"{seconds:.0f}"]), "|", flush=True)
        if not ordered.last < shuffled.last:
            print(f"{name}: no better than on shuffled tokens", file=sys.stderr)
            status = 1
        with monitor(ordered.model) as watch:
            spiking_scale = output_scale(ordered.model, loss_of)
        lstm_scale = output_scale(lstm.model, loss_of)
        notes += ["", name, f"output of the LSTM: {lstm_scale}", f"spiking: {spiking_scale}", watch.table()]
    print("\n".join(notes))
    return status


def sweep(args: argparse.Namespace) -> int:
    """Loss after training and gradient norms, for learning rates and clipping norms, LSTM beside spikes."""
    print("| model | learning rate | clip | LSTM | spiking | LSTM gradient, median, max | spiking gradient |")
    print("|---|---|---|---|---|---|---|")
    settings = [(lr, 0.3) for lr in (3e-4, 1e-3, 3e-3, 1e-2)] + [
        (3e-3, clip) for clip in (0.03, 0.1, 1.0, 1e9)
    ]
    for name in TASKS:
        for args.lr, args.clip in settings:
            runs = [train(name, spiking, False, args) for spiking in (False, True)]
            cells = [name, f"{args.lr:g}", f"{args.clip:g}", *(f"{run.last:.3f}" for run in runs)]
            cells += [f"{run.norms.median():.2f}, {run.norms.max():.1f}" for run in runs]
            print("|", " | ".join(cells), "|", flush=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--substeps", type=int, default=5, help="sub-steps per token (default 5)")
    parser.add_argument("--norm", choices=["layer", "none"], default="layer", help="of the currents")
    parser.add_argument("--recurrent", action="store_true", help="explicit feedback of spikes")
    parser.add_argument("--lr", type=float, default=3e-3, help="Adam's learning rate (default 3e-3)")
    parser.add_argument("--clip", type=float, default=0.3, help="largest gradient norm (default 0.3)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of steps (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", action="store_true", help="sweep learning rate and clipping instead")
    args = parser.parse_args()
    torch.set_num_threads(1)
    return sweep(args) if args.sweep else compare(args)


if __name__ == "__main__":
    sys.exit(main())
