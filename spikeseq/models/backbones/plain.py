"""Networks without shortcuts: VGG5 to VGG19, CIFARNet, LeNet."""

from torch import Tensor, nn

from .parts import Parts, scaled_width

POOL = 0  # in a plan: average pooling by two
PLANS: dict[str, tuple[list[int], list[int]]] = {
    "lenet": ([32, POOL, 64, POOL], [256]),
    "cifarnet": ([128, 256, POOL, 512, POOL, 1024, 512], [1024, 512]),
    "vgg5": ([64, POOL, 128, 128, POOL], [4096]),
    "vgg6": ([64, POOL, 128, 128, POOL], [4096, 4096]),
    "vgg9": ([64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL], [4096, 4096]),
    "vgg11": ([64, POOL, 128, POOL, *[256] * 2, POOL, *[512] * 2, POOL, *[512] * 2, POOL], [4096, 4096]),
    "vgg13": (
        [*[64] * 2, POOL, *[128] * 2, POOL, *[256] * 2, POOL, *[512] * 2, POOL, *[512] * 2, POOL],
        [4096, 4096],
    ),
    "vgg16": (
        [*[64] * 2, POOL, *[128] * 2, POOL, *[256] * 3, POOL, *[512] * 3, POOL, *[512] * 3, POOL],
        [4096, 4096],
    ),
    "vgg19": (
        [*[64] * 2, POOL, *[128] * 2, POOL, *[256] * 4, POOL, *[512] * 4, POOL, *[512] * 4, POOL],
        [4096, 4096],
    ),
}
"""Output channels of the 3 x 3 convolutions and where pooling comes, and widths of the hidden linear layers.

The number in a VGG's name counts maps, that to the classes included. CIFARNet as in Wu et al. (2019).
"""


class PlainNet(nn.Module):
    """Convolutions, average pooling, hidden linear layers, a map to the classes: (N, C, size, size) in.

    Args:
        plan: as in `PLANS`.
        classes, channels, size: of the data.
        width: factor on the channels. hidden: width of the hidden linear layers instead of the plan's.
        parts: the kind of network.
    Raises:
        ValueError: images too small for so many poolings, or a forward pass with images of another size.
    """

    def __init__(
        self,
        plan: tuple[list[int], list[int]],
        *,
        classes: int,
        channels: int,
        size: int,
        parts: Parts,
        width: float = 1.0,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        convolutions, linears = plan
        self.channels, self.size = channels, size
        side = size
        layers: list[nn.Module] = []
        for place, outputs in enumerate(convolutions):
            if outputs == POOL:
                layers.append(nn.AvgPool2d(2))
                side //= 2
                continue
            outputs = scaled_width(outputs, width)
            layers += [parts.conv(channels, outputs), parts.fire()]
            if convolutions[place + 1 : place + 2] != [POOL]:
                layers.append(parts.drop())
            channels = outputs
        if side == 0:
            smallest = 2 ** convolutions.count(POOL)
            raise ValueError(f"size must be at least {smallest} for so many poolings, got {size}")
        self.features = nn.Sequential(*layers)
        maps: list[nn.Module] = []
        features = channels * side * side
        for outputs in linears:
            outputs = hidden or outputs
            maps += parts.hidden(features, outputs)
            features = outputs
        self.classifier = nn.Sequential(*maps, parts.linear(features, classes))

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.channels, self.size)
        return self.classifier(self.features(x).flatten(1))  # type: ignore[no-any-return]


def check_images(x: Tensor, channels: int, size: int | None) -> None:
    """Raises TypeError or ValueError for images that a network was not made for; size None: any."""
    if not x.is_floating_point():
        raise TypeError(f"images must be floating-point, got {x.dtype}")
    sides = (size, size) if size is not None else tuple(x.shape[2:])
    if x.dim() != 4 or x.shape[1] != channels or tuple(x.shape[2:]) != sides:
        wanted = f"(N, {channels}, {size or 'height'}, {size or 'width'})"
        raise ValueError(f"images must be {wanted} for this network, got {tuple(x.shape)}")
