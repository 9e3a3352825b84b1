import io
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_case import (
    NAMES,
    batch,
    cifar10_batches,
    cifar100_batches,
    cycle,
    encoded,
    expect,
    idx_set,
    image_folders,
    load,
    mat_set,
    message,
    parquet_set,
    pickled,
    pictures,
    write_parquet,
)
from PIL import Image

from spikeseq.recipes.shared.errors import DataError
from spikeseq.recipes.shared.images.files import find_parts
from spikeseq.recipes.shared.images.names import CIFAR100, HUB, KNOWN, same_names
from spikeseq.recipes.shared.images.parquet import hub_parts
from spikeseq.recipes.shared.images.pixels import decode_images

# Layouts


def test_parquet_files(tmp_path):
    parquet_set(tmp_path)
    expect(load(tmp_path, "cifar10"), cycle(40), NAMES, 8)
    expect(load(tmp_path, "cifar10", "test"), cycle(20), NAMES, 8)


def test_parquet_files_in_pieces_and_only_some_rows_of_them(tmp_path):
    for i, count in enumerate((20, 30, 10)):
        write_parquet(tmp_path / "data" / f"train-0000{i}-of-00003.parquet", cycle(count), image="image")
    pixels, labels, _ = load(tmp_path, "svhn", rows=[3, 19, 20, 48, 59])
    assert labels.tolist() == cycle(20) + cycle(30) + cycle(10)
    assert pixels[:, 0, 0, 0].tolist() == [3, 19, 0, 28, 9]


def test_parquet_files_of_which_one_is_missing(tmp_path):
    """As after a download that was broken off."""
    for i in (0, 2):
        write_parquet(tmp_path / "data" / f"train-0000{i}-of-00003.parquet", cycle(20))
    assert f"train-00000-of-00003.parquet: 2 of them in {tmp_path}/data; expected 3" in message(tmp_path)


def test_parquet_columns_of_bytes_and_of_fine_labels(tmp_path):
    contents = [encoded(array) for array in pictures([5, 7])]
    table = pa.table({"image": contents, "fine_label": [5, 7], "coarse_label": [0, 1]})
    pq.write_table(table, tmp_path / "train.parquet")
    expect(load(tmp_path, "cifar100"), [5, 7], None, 8)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP"])
def test_formats_of_encoded_images(tmp_path, form):
    write_parquet(
        tmp_path / "train.parquet", [3] * 4, form=form, images=[encoded(pictures([3])[0], form)] * 4
    )
    rows = find_parts(str(tmp_path), "cifar10")[1]["train"].read()
    pixels, jpeg = decode_images(rows.take(range(4)), 4, 3, None)
    assert jpeg == (form == "JPEG")
    assert abs(pixels[..., 4:, 4:].int() - 25).max() <= (3 if form in ("JPEG", "WEBP") else 0)


@pytest.mark.parametrize("inside", ["", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("between", ["-", "."])
def test_idx_files(tmp_path, inside, packed, between):
    idx_set(tmp_path / inside, packed=packed, between=between)
    digits = [str(i) for i in range(10)]
    expect(load(tmp_path, "mnist", channels=1), cycle(40), digits, 28, 1)
    expect(load(tmp_path, "mnist", "test", channels=1), cycle(20), digits, 28, 1)


def test_mat_files_where_10_is_digit_0(tmp_path):
    mat_set(tmp_path)
    expect(load(tmp_path, "svhn", "test"), cycle(20), [str(i) for i in range(10)], 32)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_batches_of_cifar_10(tmp_path, protocol):
    cifar10_batches(tmp_path, protocol=protocol)
    for folder in (tmp_path, tmp_path / "cifar-10-batches-py"):
        pixels, labels, names = load(folder, "cifar10")
        assert labels.tolist() == cycle(20) * 5 and names == NAMES
        assert np.array_equal(pixels[20:40], pictures(cycle(20), 32).transpose(0, 3, 1, 2))
        expect(load(folder, "cifar10", "test"), cycle(20), NAMES, 32)


def test_a_batch_that_python_2_wrote(tmp_path):
    """Its strings are bytes, and numpy's modules have their old names."""
    inside = cifar10_batches(tmp_path) / "cifar-10-batches-py"
    content = pickle.dumps(batch(cycle(20)), 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    content = content.replace(b"X\x04\x00\x00\x00data", b"U\x04data")
    (inside / "test_batch").write_bytes(content)
    assert b"numpy.core.multiarray" in content and b"U\x04data" in content
    expect(load(tmp_path, "cifar10", "test"), cycle(20), NAMES, 32)


def test_batches_of_cifar_100_without_its_names(tmp_path):
    expect(load(cifar100_batches(tmp_path), "cifar100", "test"), cycle(200, 100), None, 32)


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        (("train", "val"), "train test"),
        (("train", "test"), "train test"),
        (("train", "validation"), "train test"),
        (("train", "val", "test"), "train validation test"),
    ],
)
def test_image_folders(tmp_path, roles, found):
    image_folders(tmp_path, roles)
    (tmp_path / "train" / "notes.txt").write_text("no class")
    (tmp_path / "train" / ".hidden").mkdir()
    parts = find_parts(str(tmp_path), "cifar10")[1]
    assert set(parts) == set(found.split())
    for role in parts:
        pixels, labels, names = load(tmp_path, "cifar10", role)
        assert labels.tolist() == [0] * 8 + [1] * 8 and names == ["cat", "dog"]
        assert pixels[:, 0, 0, 0].tolist() == [*range(8), *range(8)] and pixels[9, 0, 4, 4] == 9


def test_two_names_of_one_split_are_refused(tmp_path):
    """As texts do: one of the two would be missed by nobody."""
    image_folders(tmp_path, ("train", "val", "test"))
    (tmp_path / "validation").mkdir()  # nothing in it
    assert set(find_parts(str(tmp_path), "cifar10")[1]) == {"train", "validation", "test"}
    image_folders(tmp_path, ("validation",))
    with pytest.raises(DataError, match="both validation and val; expected one of the two"):
        find_parts(str(tmp_path), "cifar10")


TWICE = {
    "parquet": (parquet_set, lambda at: parquet_set(at / "data"), "data/train.parquet and train.parquet"),
    "pieces": (
        parquet_set,
        lambda at: write_parquet(at / "train-0.parquet", cycle(9)),
        "train.parquet and train-0.parquet",
    ),
    "idx": (
        idx_set,
        lambda at: idx_set(at / "MNIST" / "raw"),
        "MNIST/raw/train-images-idx3-ubyte.gz and train-images-idx3-ubyte.gz",
    ),
    "batches": (
        cifar10_batches,
        lambda at: pickled(at / "data_batch_1", {}),
        "data_batch_1 and cifar-10-batches-py/data_batch_1",
    ),
    "parquet, folders": (parquet_set, image_folders, "train.parquet and train/cat/000.png"),
    "idx, folders": (idx_set, image_folders, "train-images-idx3-ubyte.gz and train/cat/000.png"),
    "mat, parquet": (mat_set, parquet_set, "train.parquet and train_32x32.mat"),
}


@pytest.mark.parametrize("case", TWICE)
@pytest.mark.parametrize("recipe", ["cifar10", "mnist", "svhn"])
def test_images_in_two_places_of_a_folder_are_refused(tmp_path, case, recipe):
    """One of the two had been taken, and nothing said."""
    first, second, named = TWICE[case]
    first(tmp_path)
    assert set(find_parts(str(tmp_path), recipe)[1]) == {"train", "test"}
    second(tmp_path)
    with pytest.raises(DataError, match=rf"^{tmp_path}: both {named}; expected one of the two$"):
        find_parts(str(tmp_path), recipe)


def test_folders_of_other_things_beside_a_layout_are_none(tmp_path):
    parquet_set(tmp_path)
    for name in ("test/unit/test_a.py", "val/a/x.txt", "validation/a/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert set(find_parts(str(tmp_path), "cifar10")[1]) == {"train", "test"}


def test_of_several_publishers_arrays_in_a_folder_the_recipes_own_are_read(tmp_path):
    """As torchvision leaves them in one root."""
    for write in (cifar10_batches, cifar100_batches, mat_set, lambda at: idx_set(at / "MNIST" / "raw")):
        write(tmp_path)
    origins = {
        "cifar10": "cifar-10-batches-py/data_batch_1",
        "cifar100": "cifar-100-python/train",
        "svhn": "train_32x32.mat",
        "mnist": "MNIST/raw/train-images-idx3-ubyte.gz",
    }
    for recipe, origin in origins.items():
        assert find_parts(str(tmp_path), recipe)[1]["train"].read().origin == str(tmp_path / origin)
    with pytest.raises(DataError, match=r"both MNIST/raw/\S+ and train_32x32.mat; expected one of the two"):
        find_parts(str(tmp_path), "imagenette")


def test_a_recipes_own_folder_comes_before_anothers_arrays_beside_it(tmp_path):
    mat_set(tmp_path)
    idx_set(tmp_path / "mnist")
    name, parts = find_parts(str(tmp_path), "mnist")
    assert name == "mnist" and "idx3" in parts["train"].read().origin
    assert find_parts(str(tmp_path), "svhn")[1]["train"].read().origin.endswith("train_32x32.mat")
    image_folders(tmp_path, ("train", "test"))
    with pytest.raises(DataError, match=r"both train_32x32.mat and train/\S+; expected one of the two"):
        find_parts(str(tmp_path), "mnist")


def test_a_damaged_folder_called_as_the_recipe_does_not_hide_a_whole_one(tmp_path):
    image_folders(tmp_path, ("train", "test"))
    cifar10_batches(tmp_path / "cifar10")
    next((tmp_path / "cifar10").rglob("data_batch_2")).unlink()
    assert find_parts(str(tmp_path), "cifar10")[0] == tmp_path.name


def test_images_of_other_kinds_are_read_or_named_but_never_left_out(tmp_path):
    image_folders(tmp_path, ("train", "test"))
    for name in ("z.webp", "Z.BMP"):
        Image.new("RGB", (8, 8), (40, 40, 40)).save(tmp_path / "train" / "cat" / name)
    pixels, labels, _ = load(tmp_path, "cifar10")
    assert labels.tolist() == [0] * 10 + [1] * 8 and abs(pixels[8:10].astype(int) - 40).max() <= 3
    Image.new("RGB", (8, 8)).save(tmp_path / "train" / "dog" / "more.gif")
    with pytest.raises(DataError, match=r"dog/more\.gif: an image of a kind that is not read; .*webp"):
        find_parts(str(tmp_path), "cifar10")


def test_the_validation_images_of_imagenets_are_the_test_split(tmp_path):
    image_folders(tmp_path, ("train", "val", "test"), suffix=".JPEG")
    parts = find_parts(str(tmp_path), "imagenet")[1]
    assert set(parts) == {"train", "test"}
    assert parts["test"].read().origin == str(tmp_path / "val")


def test_a_folder_that_holds_one_called_as_the_recipe(tmp_path):
    parquet_set(tmp_path / "cifar10")
    idx_set(tmp_path / "mnist")
    assert find_parts(str(tmp_path), "cifar10")[0] == "cifar10"
    assert find_parts(str(tmp_path), "mnist")[0] == "mnist"


# Pixels


def test_channels_become_those_of_the_recipe(tmp_path):
    grey = pictures(cycle(4), 8, 1)
    parquet_set(tmp_path, 4, 4, images=[encoded(array) for array in grey])
    pixels, _, _ = load(tmp_path, "cifar10")
    assert np.array_equal(pixels, np.repeat(grey[:, None], 3, 1))
    idx_set(tmp_path / "idx", 4, 4)
    assert load(tmp_path / "idx", "cifar10")[0].shape == (4, 3, 28, 28)
    for array in (pictures([3])[0], np.full((8, 8, 4), 25, np.uint8)):
        parquet_set(tmp_path, 4, 4, images=[encoded(array)] * 4)
        pixels, _, _ = load(tmp_path, "mnist", channels=1)
        assert pixels.shape == (4, 1, 8, 8) and pixels[0, 0, 4, 4] == 25


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (12, 12), (4, 6)])
def test_images_are_cut_in_their_middle_and_resized(tmp_path, shape):
    """The middle of a horizontal and a vertical ramp stays in the middle, in steps of the shorter side."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    ramp = np.stack([10 * y, 10 * x, 0 * x], -1).astype(np.uint8)
    path = tmp_path / "ramp.png"
    Image.fromarray(ramp).save(path)
    pixels = decode_images([("a", path), ("b", ramp)], 2, 3, 6)[0].double()
    assert pixels.shape == (2, 3, 6, 6) and (pixels[0] == pixels[1]).all()
    step = 10 * min(shape) / 6
    for axis, length in enumerate(shape):
        line = pixels[0, axis, :, 3] if axis == 0 else pixels[0, axis, 3]
        assert line.mean() == pytest.approx(5 * (length - 1), abs=1)
        assert (line[4] - line[1]) / 3 == pytest.approx(step, abs=1)


def test_many_images_stay_in_order():
    arrays = np.arange(3000, dtype=np.uint32).view(np.uint8).reshape(-1, 2, 2)
    pixels, jpeg = decode_images(((str(i), array) for i, array in enumerate(arrays)), 3000, 1, None)
    assert np.array_equal(pixels[:, 0].numpy(), arrays) and not jpeg


def test_images_of_two_sizes_need_data_size(tmp_path):
    images = [encoded(pictures([0], side)[0]) for side in (8, 8, 9)]
    path = write_parquet(tmp_path / "train.parquet", cycle(3), images=images)
    text = message(tmp_path)
    assert f"{path}, row 3: 9 x 9 pixels" in text and "8 x 8" in text and "data.size" in text
    assert load(tmp_path, "cifar10", size=8)[0].shape == (3, 3, 8, 8)


def test_an_image_that_is_no_square_needs_data_size(tmp_path):
    Image.new("RGB", (10, 8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: 8 x 10 pixels; expected a square, or data\.size"):
        decode_images([("a.png", tmp_path / "a.png")], 1, 3, None)


def test_more_pixels_than_memory_holds():
    image = np.zeros((224, 224, 3), np.uint8)
    with pytest.raises(DataError, match=r"192\.9 GB .* at most 4 GB.*data\.size=32 or .*data\.limit=26000"):
        decode_images([("first", image)], 1_281_167, 3, 224)
    with pytest.raises(DataError, match=r"data\.size=96 or"):
        decode_images([("first", image)], 130_000, 3, 224)


def test_sixteen_bits_are_not_clipped_to_eight(tmp_path):
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"mode I;16; expected 8 bits"):
        decode_images([("a.png", tmp_path / "a.png")], 1, 1, None)


# The hub


class FakeHub:
    """`datasets.load_dataset` without a network: what was asked of it, and what it answers."""

    def __init__(self, monkeypatch, answer):
        self.asked, self.answer = [], answer
        monkeypatch.setattr("datasets.load_dataset", self)

    def __call__(self, name, config, **options):
        self.asked.append((name, config, options))
        return self.answer(**options)


def hub_data(folder, **columns):
    import datasets

    write_parquet(folder / "hub.parquet", cycle(30), **columns)
    return datasets.Dataset.from_parquet(str(folder / "hub.parquet"), cache_dir=str(folder / "datasets"))


@pytest.mark.parametrize("recipe", HUB)
def test_the_hub(tmp_path, monkeypatch, recipe):
    import datasets

    label = "fine_label" if recipe == "cifar100" else "label"
    loaded = hub_data(tmp_path, names=None, label=label).cast_column(label, datasets.ClassLabel(names=NAMES))
    hub = FakeHub(monkeypatch, lambda **options: loaded)
    rows = hub_parts(recipe)["test"].read()
    assert hub.asked == [(*HUB[recipe], {"split": "validation" if "imagenet" in recipe else "test"})]
    assert rows.classes == NAMES and rows.labels.tolist() == cycle(30)
    pixels, _ = decode_images(rows.take([4, 29]), 2, 3, None)
    assert np.array_equal(pixels, pictures(cycle(30))[[4, 29]].transpose(0, 3, 1, 2))


def test_a_script_on_the_hub_is_read_from_its_converted_copy(tmp_path, monkeypatch):
    loaded = hub_data(tmp_path)

    def answer(split, revision=None):
        if revision is None:
            raise RuntimeError("Dataset scripts are no longer supported, but found imagenette.py")
        return loaded

    hub = FakeHub(monkeypatch, answer)
    assert len(hub_parts("imagenette")["train"].read().labels) == 30
    assert hub.asked[-1][2] == {"split": "train", "revision": "refs/convert/parquet"}


@pytest.mark.parametrize("error", [ConnectionError("offline"), RuntimeError("a\nb"), ValueError("gone")])
def test_a_hub_out_of_reach(monkeypatch, error):
    def answer(**options):
        raise error

    FakeHub(monkeypatch, answer)
    with pytest.raises(
        DataError, match=r"hub: uoft-cs/cifar10, train cannot be fetched .*; expected a network"
    ):
        hub_parts("cifar10")["train"].read()


# Names


def test_known_names():
    assert {recipe: len(names) for recipe, names in KNOWN.items()} == {
        **dict.fromkeys(("cifar10", "mnist", "svhn", "imagenette"), 10), "cifar100": 100
    }  # fmt: skip
    assert sorted(CIFAR100) == CIFAR100 and len(set(CIFAR100)) == 100
    assert same_names("imagenette", ["n01440764", "else"]) == ["tench", "else"]
    assert same_names("cifar100", ["couch", "cra"]) == ["couch", "crab"]
    assert same_names("cifar10", ["cra"]) == ["cra"]


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_photograph_is_upright_as_its_exif_says(form):
    array = np.zeros((8, 8, 3), np.uint8)
    array[:4] = 255  # the upper half is bright
    turned, upright = io.BytesIO(), Image.fromarray(array)
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees, clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(turned, form, exif=exif, quality=100)
    pixels, _ = decode_images([("a", turned.getvalue())], 1, 3, None)
    assert pixels[0, :, :4].min() > 250 and pixels[0, :, 4:].max() < 5
