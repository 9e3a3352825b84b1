"""Who asks what class a module is of: the places of a list, each with its reason, and no other.

`spikeseq.modules` says what a module is. What stands in the list chooses among parts of its own, or finds
what is to be read or replaced, and asks there whether it may. Questions about values (numbers, texts,
tensors) are free.
"""

import ast
from importlib import import_module
from pathlib import Path

from torch import nn

ROOT = Path(__file__).parents[1]
ROOMS = ("spikeseq", "recipes", "evaluation", "tokenizers")
PLACES = {  # a file, or a folder: at most how often, and why
    "spikeseq/modules.py": (4, "what a module is"),
    "spikeseq/outside.py": (1, "modules among whatever attributes hold"),
    "spikeseq/checks.py": (1, "that an argument is a module at all"),
    "spikeseq/explain.py": (1, "which local variable of a running call is a module"),
    "spikeseq/swap.py": (8, "which of torch's RNNs it replaces; layer or cell among what it made"),
    "spikeseq/quantisation/": (2, "the model that it rounds, then checked; neurons behind a convolution"),
    "spikeseq/fold.py": (10, "models, maps and rounded parts that it folds, each checked by `check_plain`"),
    "spikeseq/events.py": (2, "linear or convolution, of maps that layers declare; whether to fold first"),
    "spikeseq/conversion/": (
        7,
        "`survey.role`: what becomes neurons; what no spike stands for; kinds of pooling",
    ),
    "spikeseq/exchange/": (26, "which node of a graph a layer of ours is, and back"),
    "spikeseq/deploy/": (9, "which program serves a model of ours"),
    "spikeseq/spikes.py": (3, "the form in which a layer of ours hands on its spikes"),
    "spikeseq/monitor.py": (1, "the module around neurons that knows their sub-steps"),
    "spikeseq/nn/layer.py": (4, "parts that a wrapper or a map handed out stands in the place of"),
    "spikeseq/nn/network.py": (1, "whether there are neurons in the network at all"),
    "spikeseq/nn/statistics.py": (2, "torch's normalisations, whose statistics a second pass leaves alone"),
    "spikeseq/models/gesture/": (2, "a network of spikes inside a voting one"),
    "spikeseq/models/language/": (5, "parts that the kernel of streams reads; torch's layers beside them"),
    "spikeseq/models/seq2seq/": (4, "neurons or integrators among the layers of a stack"),
    "recipes/features/recipe.py": (1, "a type for mypy"),
    "recipes/images/task.py": (1, "whether the network trained spikes"),
    "recipes/language/writer.py": (1, "whether the model trained can be streamed"),
    "recipes/text/": (3, "which of the recipe's models it is"),
    "recipes/translation/": (2, "a type for mypy; a model after quantisation"),
    "evaluation/energy/measure.py": (1, "weights that are read at every place of an image, or once"),
    "evaluation/bench/cuda.py": (1, "which of the two layers timed it is"),
    "evaluation/report/content.py": (1, "cells have no rows in time to draw"),
}


def kinds_of(node, scope):
    """The classes that a call of isinstance names; None where only the running code knows."""
    try:
        found = eval(compile(ast.Expression(node), "", "eval"), vars(scope))
    except (AttributeError, NameError):
        return None
    kinds, left = [], [found]
    while left:
        one = left.pop()
        left += one if isinstance(one, tuple) else getattr(one, "__args__", ())
        kinds += [one] if isinstance(one, type) else []
    return kinds


def asked(path):
    """How often a file asks whether something is of a class of modules, or of one not to be read here."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = [node.args[1] for node in calls if getattr(node.func, "id", "") == "isinstance"]
    if not calls:
        return 0
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts if parts[0] == "spikeseq" else ("spikeseq", *parts))
    scope = import_module(name.removesuffix(".__init__"))
    kinds = [kinds_of(node, scope) for node in calls]
    unread = parts[0] == "spikeseq" and hasattr(scope, "nn")  # classes handed in, where modules are known
    return sum(unread if one is None else any(issubclass(kind, nn.Module) for kind in one) for one in kinds)


def test_only_these_places_ask_for_classes_of_modules():
    found = dict.fromkeys(PLACES, 0)
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        if count := asked(path):
            name = path.relative_to(ROOT).as_posix()
            place = next(
                (one for one in PLACES if name == one or (one[-1] == "/" and name.startswith(one))), None
            )
            assert place, f"{name} asks for classes of modules; ask spikeseq.modules, or add a reason here"
            found[place] += count
    for place, count in found.items():
        most, reason = PLACES[place]
        assert 0 < count <= most, f"{place} asks {count} times, {most} expected: {reason}"
