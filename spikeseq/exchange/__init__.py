"""Networks in the formats of others: NIR, both ways, with readers that are told what they would misread.

Needs the package `nir`: pip install 'spikeseq[exchange]'.
"""

from .agreement import Agreement, check, settle
from .files import read_nir
from .lossy import LossyExchange
from .network import Network
from .readers import READERS
from .reading import from_nir
from .writers import WRITERS
from .writing import to_nir, write_nir

__all__ = [
    "READERS",
    "WRITERS",
    "Agreement",
    "LossyExchange",
    "Network",
    "check",
    "from_nir",
    "read_nir",
    "settle",
    "to_nir",
    "write_nir",
]
