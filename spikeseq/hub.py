"""Models with the `save_pretrained`, `from_pretrained` and `push_to_hub` of Hugging Face's hub:

    from spikeseq.hub import SpikingClassifier

    model = SpikingClassifier(20_000, hidden_size=64)  # as spikeseq.models has it
    model.save_pretrained("folder")
    model = SpikingClassifier.from_pretrained("folder")  # or a repository of the hub

They hold weights and what the model was made with, and no vocabulary: `spikeseq export RUN --to hub` makes a
folder of a trained run with all that it needs. Needs huggingface_hub: `pip install 'spikeseq[hub]'`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from . import __version__, models
from .functional import SURROGATES
from .models import language, seq2seq
from .nn import rnn
from .surrogates import Surrogate

try:
    from huggingface_hub import PyTorchModelHubMixin
except ImportError:
    raise ImportError("spikeseq.hub needs huggingface_hub: pip install 'spikeseq[hub]'") from None

MARK = "spikeseq"
"""The key of `config.json` under which the class stands, beside its arguments."""
CARD = """---
{{ card_data }}
---

A `{{ kind | default("model") }}` of spikeseq, sequence learning on spiking layers:

```python
from spikeseq import hub

model = hub.{{ kind | default("SpikingClassifier") }}.from_pretrained("FOLDER OR REPOSITORY")
```
"""
LEFT_OUT = (Tensor, torch.device, torch.dtype)
"""What models may be made with and a file of arguments need not keep: the weights tell it."""


class OnHub(
    PyTorchModelHubMixin, library_name="spikeseq", tags=["spiking-neural-network"], model_card_template=CARD
):
    """The hub's mixin for our models.

    Surrogates and tuples come back as such, weights in their own type, and all of them. Raises ValueError for
    a folder of something else or of another model, TypeError for arguments that `config.json` cannot hold.
    """

    @classmethod
    def _is_jsonable(cls, value: Any) -> bool:
        if isinstance(value, LEFT_OUT):
            return False
        try:
            json.dumps(encoded(value))
        except TypeError:
            raise TypeError(
                f"{cls.__name__}: {value!r:.60} cannot be kept in config.json; expected numbers, strings,"
                " lists of them, or a surrogate of spikeseq"
            ) from None
        return True

    @classmethod
    def _encode_arg(cls, arg: Any) -> Any:
        return encoded(arg)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> Any:
        return super().generate_model_card(*args, **{"kind": type(self).__name__, **kwargs})

    def _save_pretrained(self, save_directory: Path) -> None:
        super()._save_pretrained(save_directory)
        kept: Any = self._hub_mixin_config or {}
        about = {MARK: {"class": type(self).__name__, "version": __version__}, **kept}
        (save_directory / "config.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, config: Any = None, **given: Any) -> Any:
        """As the mixin's, with the arguments that `config.json` has; what is given beside goes first."""
        made = config.get(MARK) if isinstance(config, dict) else None
        if not isinstance(made, dict):
            raise ValueError(f"{model_id} is of no model of spikeseq: its config.json has no {MARK!r}")
        kind = made.get("class")
        if kind != cls.__name__:
            raise ValueError(f"{model_id} holds a {kind}; read it with spikeseq.hub.{kind}")
        # The mixin hands on as given what the class takes under these names, and all of it to some classes.
        arguments = {name: decoded(value) for name, value in (config | given).items() if name != MARK}
        try:
            return super()._from_pretrained(model_id=model_id, **{"strict": True, **arguments})
        except (TypeError, RuntimeError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ValueError(f"{model_id}: {' '.join(lines[:3])}") from None

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        with safe_open(model_file, framework="pt") as file:
            types = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        floating = [one for one in types if one.is_floating_point]
        if len(floating) == 1:
            model = model.to(floating[0])
        return super()._load_as_safetensor(model, model_file, map_location, strict)  # type: ignore[misc]


def encoded(value: Any) -> Any:
    """An argument in words of JSON."""
    if isinstance(value, Surrogate):
        if type(value) is not SURROGATES.get(value.name):
            return value  # another's, which no name tells
        return {"surrogate": value.name, **vars(value)}
    if isinstance(value, tuple):
        return {"tuple": [encoded(one) for one in value]}
    return value


def decoded(value: Any) -> Any:
    """What `encoded` was given."""
    if not isinstance(value, Mapping):
        return value
    if "tuple" in value:
        return tuple(decoded(one) for one in value["tuple"])
    if value.get("surrogate") in SURROGATES:
        shape = {name: one for name, one in value.items() if name != "surrogate"}
        return SURROGATES[value["surrogate"]](**shape)
    return value


def on_hub(kind: type[nn.Module]) -> Any:
    """A class of models with the mixin, in all else the same."""
    about = {"__doc__": kind.__doc__, "__module__": __name__, "__qualname__": kind.__name__}
    return type(kind.__name__, (kind, OnHub), about)


SpikingClassifier = on_hub(models.SpikingClassifier)
RecurrentClassifier = on_hub(models.RecurrentClassifier)
BagOfWords = on_hub(models.BagOfWords)
SpikingLanguageModel = on_hub(language.SpikingLanguageModel)
RecurrentLanguageModel = on_hub(language.RecurrentLanguageModel)
TransformerLanguageModel = on_hub(language.TransformerLanguageModel)
ConvSeq2Seq = on_hub(seq2seq.ConvSeq2Seq)
RecurrentSeq2Seq = on_hub(seq2seq.RecurrentSeq2Seq)
SpikingRNN = on_hub(rnn.SpikingRNN)

__all__ = [
    "BagOfWords",
    "ConvSeq2Seq",
    "RecurrentClassifier",
    "RecurrentLanguageModel",
    "RecurrentSeq2Seq",
    "SpikingClassifier",
    "SpikingLanguageModel",
    "SpikingRNN",
    "TransformerLanguageModel",
]
