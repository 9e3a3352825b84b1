import pytest
import torch

from spikeseq.recipes.shared.images.augmentation import Augmentation


def test_shifts_stay_within_bounds_and_keep_pixels():
    pixels = torch.zeros(200, 2, 9, 9, dtype=torch.uint8)
    pixels[:, 0, 4, 4], pixels[:, 1, 4, 4] = 7, 9
    moved = Augmentation(2, False)(pixels, torch.Generator().manual_seed(0))
    assert moved.shape == pixels.shape and moved.dtype == torch.uint8
    assert torch.equal(moved[:, 0] == 7, moved[:, 1] == 9)  # channels move together
    places = (moved[:, 0] == 7).nonzero()[:, 1:]
    assert len(places) == 200 and places.min() == 2 and places.max() == 6
    assert len(places.unique(dim=0)) == 25


def test_flips_mirror_half_of_the_images():
    pixels = torch.arange(5, dtype=torch.uint8).expand(400, 1, 5, 5)
    turned = Augmentation(0, True)(pixels, torch.Generator().manual_seed(0))
    mirrored = (turned == pixels.flip(3)).all((1, 2, 3))
    assert ((turned == pixels).all((1, 2, 3)) ^ mirrored).all()
    assert 150 < int(mirrored.sum()) < 250


def test_a_square_is_erased():
    pixels = torch.full((50, 1, 12, 12), 255, dtype=torch.uint8)
    erased = Augmentation(0, False, erase=4)(pixels, torch.Generator().manual_seed(0))
    grey = (erased == 128).sum((1, 2, 3))
    assert grey.max() == 16 and grey.min() >= 4  # it may reach over the edge


@pytest.mark.parametrize("name", ["shift", "erase"])
def test_bad_augmentation(name):
    with pytest.raises(ValueError, match=f"data.{name} must be 0 or more pixels, got -1"):
        Augmentation(**{name: -1})
