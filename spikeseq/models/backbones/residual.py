"""Residual networks with the three plain convolutions that conversion wants in front (thesis 4.4.2)."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from ...checks import choice
from .parts import Parts, scaled_width
from .plain import check_images

STEMS = ("three", "imagenet")


@dataclass(frozen=True)
class Plan:
    """Blocks of each stage, and whether they are bottlenecks of three convolutions."""

    blocks: tuple[int, ...]
    bottleneck: bool = False


PLANS = {
    "resnet8": Plan((1, 1)),
    "resnet20": Plan((2, 2, 2, 2)),
    "resnet34": Plan((3, 4, 6, 3)),
    "resnet50": Plan((3, 4, 6, 3), bottleneck=True),
}
"""The depth counts maps: of ResNet8 and 20 with a stem of three convolutions, of the others with one."""
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4  # of a bottleneck's output


class Residual(nn.Module):
    """Convolutions beside a shortcut; their currents are added before the neurons fire.

    Args:
        inputs, inner, outputs: channels. stride: of the first convolution and the shortcut.
        bottleneck: 1 x 1, 3 x 3, 1 x 1 instead of two 3 x 3.
        gain: of the last convolution's start weights.
    """

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        *,
        stride: int,
        bottleneck: bool,
        gain: float,
        parts: Parts,
    ) -> None:
        super().__init__()
        if bottleneck:
            layers = [
                *(parts.conv(inputs, inner, 1), parts.fire()),
                *(parts.conv(inner, inner, stride=stride), parts.fire(), parts.drop()),
                parts.conv(inner, outputs, 1, gain=gain),
            ]
        else:
            layers = [
                *(parts.conv(inputs, inner, stride=stride), parts.fire(), parts.drop()),
                parts.conv(inner, outputs, gain=gain),
            ]
        self.body = nn.Sequential(*layers)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else parts.conv(inputs, outputs, 1, stride=stride)
        self.fire = parts.fire()

    def forward(self, x: Tensor) -> Tensor:
        beside = self.shortcut(x)
        return self.fire(self.body(x) + beside)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """Stem, stages of residual blocks, mean over pixels, a map to the classes: (N, C, height, width) in.

    Args:
        plan: as in `PLANS`.
        classes, channels: of the data.
        stem: "three" 3 x 3 convolutions, which lose less in conversion (thesis 4.4.2), or that of "imagenet",
            7 x 7 with stride 2.
        width: factor on the channels.
        parts: the kind of network.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        classes: int,
        channels: int,
        parts: Parts,
        stem: str = "three",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        choice("stem", stem, STEMS)
        self.channels = channels
        base = scaled_width(WIDTHS[0], width)
        if stem == "three":
            layers: list[nn.Module] = [parts.conv(channels, base), parts.fire(), parts.drop()]
            layers += [parts.conv(base, base), parts.fire(), parts.drop()]
            layers += [parts.conv(base, base), parts.fire(), nn.AvgPool2d(2)]
        else:
            layers = [parts.conv(channels, base, 7, stride=2), parts.fire(), nn.AvgPool2d(3, 2, padding=1)]
        self.stem = nn.Sequential(*layers)
        # Without normalisation every block adds variance; so much smaller, all together double it.
        gain = 1.0 if parts.norm != "none" else 1 / math.sqrt(sum(plan.blocks))
        blocks: list[nn.Module] = []
        inputs = base
        for stage, count in enumerate(plan.blocks):
            inner = scaled_width(WIDTHS[stage], width)
            outputs = inner * (EXPANSION if plan.bottleneck else 1)
            for place in range(count):
                stride = 2 if place == 0 and stage > 0 else 1
                blocks.append(
                    Residual(
                        inputs, inner, outputs,
                        stride=stride, bottleneck=plan.bottleneck, gain=gain, parts=parts,
                    )
                )  # fmt: skip
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = parts.linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.channels, None)
        return self.classifier(self.pool(self.blocks(self.stem(x))).flatten(1))  # type: ignore[no-any-return]
