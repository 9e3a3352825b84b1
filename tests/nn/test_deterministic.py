"""Training of every public module and model under `torch.use_deterministic_algorithms(True)`.

Fresh memory is filled with NaN there, so that nothing that comes out has read what was never written.
"""

import pytest
import torch
from zoo import ROWS, tensors_of


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def trained(row):
    """The weights after two steps from a seed, with dropout."""
    torch.manual_seed(7)
    model = row.make().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        outputs = tensors_of(row.call(model, *row.inputs()))
        sum(out.float().square().mean() for out in outputs if out.requires_grad).backward()
        optimizer.step()
    return model.state_dict()


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if list(row.make().parameters())])
def test_the_same_seed_gives_the_same_weights_to_the_last_bit(name, deterministic):
    first, again = trained(ROWS[name]), trained(ROWS[name])
    for key, value in first.items():
        assert value.isfinite().all() and torch.equal(value, again[key]), key
