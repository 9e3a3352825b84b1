"""Labelled images in parquet files as the Hugging Face hub lays them out, or from the hub itself."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spikeseq.recipes.recipe import SPLITS
from spikeseq.recipes.shared.errors import DataError, check_one, shown
from spikeseq.recipes.shared.files import parquet
from spikeseq.recipes.shared.images.names import HUB, IMAGENETS
from spikeseq.recipes.shared.images.parts import Image, Part, Parts, Rows, file_part

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label")


def find_parquet(folder: Path) -> Parts:
    """Files such as train.parquet or train-00000-of-00002.parquet, in the folder or its `data`."""
    parts: Parts = {}
    for split in SPLITS:
        names = (f"{split}.parquet", f"{split}-*.parquet")
        globs = [sorted(place.glob(name)) for place in (folder / "data", folder) for name in names]
        found = [files for files in globs if files]
        check_one(folder, [str(files[0].relative_to(folder)) for files in found])
        for files in found:
            parquet.check_whole(files)
            parts[split] = file_part(files, partial(read_parquet, files))
    return parts


def read_parquet(files: Sequence[Path]) -> Rows:
    """Rows of the files, one after another, in the columns by which the hub calls images and labels."""
    labels, names = [], None
    for path in files:
        with parquet.opened(path) as file:
            schema = file.schema_arrow
            parquet.column_of(str(path), schema.names, IMAGE_COLUMNS)
            column = parquet.column_of(str(path), schema.names, LABEL_COLUMNS)
            labels.append(_labels(str(path), file.read(columns=[column]).column(column)))
            names = names or parquet.class_names(schema.metadata, column) or None
    starts = np.cumsum([0, *map(len, labels)])

    def take(rows: Sequence[int]) -> Iterator[Image]:
        wanted = np.asarray(rows)
        for path, start, end in zip(files, starts[:-1], starts[1:], strict=True):
            yield from _taken(path, _inside(wanted, start, end) - start)

    origin = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    return Rows(origin, np.concatenate(labels), take, names)


def hub_parts(recipe: str) -> Parts:
    """The data set's parts on the hub; nothing is fetched before one is read."""
    name, config = HUB[recipe]
    test = "validation" if recipe in IMAGENETS else "test"
    return {
        role: Part(["hub", name, config, split], partial(_read_hub, name, config, split))
        for role, split in (("train", "train"), ("test", test))
    }


def _read_hub(name: str, config: str | None, split: str) -> Rows:
    where = f"hub: {name}, {split}"
    try:
        import datasets

        try:
            loaded = datasets.load_dataset(name, config, split=split)
        except RuntimeError:  # it is a script, which newer versions refuse; the hub keeps a converted copy
            loaded = datasets.load_dataset(name, config, split=split, revision="refs/convert/parquet")
    except ImportError as error:
        raise DataError(f"hub: no datasets package ({error}); pip install 'spikeseq[recipes]'") from None
    except Exception as error:  # which type says "offline" differs between versions of datasets
        advice = "expected a network, or instead of hub a folder with train.parquet and test.parquet"
        raise DataError(f"{where} cannot be fetched ({shown(str(error), 120)}); {advice}") from error
    label = parquet.column_of(where, loaded.column_names, LABEL_COLUMNS)
    images = loaded.data.column(parquet.column_of(where, loaded.column_names, IMAGE_COLUMNS))

    def take(rows: Sequence[int]) -> Iterator[Image]:
        return (_image(f"{where}, row {row + 1}", images[row]) for row in rows)

    names = getattr(loaded.features[label], "names", None)
    return Rows(where, _labels(where, loaded.data.column(label)), take, names)


def _taken(path: Path, wanted: np.ndarray) -> Iterator[Image]:
    """The images of rows of one file; row groups that hold none of them are not read."""
    with parquet.opened(path) as file:
        column = parquet.column_of(str(path), file.schema_arrow.names, IMAGE_COLUMNS)
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            inside = _inside(wanted, start, end)
            if len(inside):
                images = file.read_row_group(group, columns=[column]).column(column)
                for row in inside.tolist():
                    yield _image(f"{path}, row {row + 1}", images[row - start])
            start = end


def _inside(rows: np.ndarray, start: int, end: int) -> np.ndarray:
    return rows[(rows >= start) & (rows < end)]


def _image(where: str, scalar: Any) -> Image:
    """The encoded file: of a column of bytes, or of the struct that `datasets` stores for an Image."""
    value = parquet.value(scalar, where, "image")
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes) or not content:
        raise DataError(f"{where}: the image is {shown(value)}; expected the bytes of an image file")
    return where, content


def _labels(where: str, column: Any) -> np.ndarray:
    from pyarrow import types

    if not types.is_integer(column.type):
        raise DataError(f"{where}: labels of type {column.type}; expected integers from 0 up")
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{where}, row {row + 1}: the label is null; expected an integer from 0 up")
    return column.to_numpy().astype(np.int64)
