"""Random changes of training images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images.

    shift: pixels that an image moves at most, in either direction; what comes in is black.
    flip: mirror half of them.
    erase: side of a square that is made grey, 0 for none.
    """

    shift: int = 4
    flip: bool = True
    erase: int = 0

    def __post_init__(self) -> None:
        for name in ("shift", "erase"):
            if getattr(self, name) < 0:
                raise ValueError(f"data.{name} must be 0 or more pixels, got {getattr(self, name)}")

    def __call__(self, pixels: Tensor, rng: torch.Generator) -> Tensor:
        """(B, C, H, W) bytes to the same, channels last in memory."""
        batch, _, height, width = pixels.shape
        padded = nn.functional.pad(pixels, [self.shift] * 4)
        down, right = torch.randint(0, 2 * self.shift + 1, (2, batch, 1), generator=rng).unbind()
        rows, columns = down + torch.arange(height), right + torch.arange(width)
        if self.flip:
            mirrored = torch.rand(batch, 1, generator=rng) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        number = torch.arange(batch).view(-1, 1, 1)
        moved = padded[number, :, rows.unsqueeze(2), columns.unsqueeze(1)]  # (B, H, W, C)
        if self.erase:
            sides = torch.tensor([height, width]).view(2, 1, 1)
            centres = torch.rand(2, batch, 1, generator=rng) * sides
            near = [
                ((torch.arange(size) + 0.5 - centre).abs() <= self.erase / 2)
                for size, centre in zip((height, width), centres, strict=True)
            ]
            moved[near[0].unsqueeze(2) & near[1].unsqueeze(1)] = 128
        return moved.permute(0, 3, 1, 2)
