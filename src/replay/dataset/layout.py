"""Paths in a dataset, and the file that says which of them count.

    DATASET/
      charges/part-0002-00000.parquet     a table: files of many pairs each
      ...
      runs/part-0002-00000.parquet        a row for each pair
      _replay/
        dataset.json                      which files make the tables, by generation
        pairs-0002.arrow                  what each pair was made of, and its rows
        journal/0002-000000.arrow         records of pairs that are no rows yet
        traces/KEY.arrow                  converted recordings, shared by scenarios
        new/, old/, publish.json          while a generation takes the other's place
        lock

Programs that are given ``DATASET/charges`` leave out what begins with ``_``. A batch
writes records to the journal and touches the tables once, at its end: it makes the next
generation of them all and puts it in place (`replay.dataset.publish`).
"""

import hashlib
from pathlib import Path
from typing import Annotated, Final

import msgspec

from replay.common.errors import OutputError
from replay.common.version import VERSION
from replay.dataset.places import Place
from replay.dataset.rows import SCHEMAS

INTERNAL: Final = "_replay"
FORMAT: Final = 1
#: Scenarios whose order is kept.
MOST_NAMED: Final = 1000
_MANIFEST: Final = "dataset.json"


def _columns() -> str:
    told = "\n".join(
        f"{name} {field.name} {field.type}"
        for name, schema in SCHEMAS.items()
        for field in schema
    )
    return hashlib.sha256(told.encode()).hexdigest()[:16]


#: Identity of the columns that this program writes.
COLUMNS: Final = _columns()


class TablePart(msgspec.Struct, frozen=True, kw_only=True):
    """Facts on a table's file: this program has written it.

    Attributes
    ----------
    nbytes : int
    crc32 : int
        Of all its bytes.
    """

    nbytes: int
    crc32: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset's metadata.

    Attributes
    ----------
    format : int
        Of the layout.
    version : str
        Of replay, which wrote it last.
    generation : int
        0: there are no tables yet.
    tables : dict of str to list of str
        Files of each table, in their order, relative to the dataset.
    columns : str
        Identity of the tables' columns.
    parts : dict of str to TablePart
        Of the files in ``tables``; earlier versions noted none.
    scenarios : list of str
        Names of scenarios in the order in which batches named them, up to
        `MOST_NAMED`; the first one is what others are compared with. Earlier versions
        noted none.
    """

    format: int = FORMAT
    version: str = VERSION
    generation: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)] = 0
    tables: dict[str, list[str]] = {}
    columns: str = COLUMNS
    parts: dict[str, TablePart] = {}
    scenarios: list[str] = []


class _Format(msgspec.Struct):
    format: int


class DatasetLayout:
    """Places of a dataset's parts.

    Parameters
    ----------
    root : Place
        The dataset.
    """

    def __init__(self, root: Place) -> None:
        self.root = root
        self.internal = root / INTERNAL
        self.manifest = self.internal / _MANIFEST
        self.coming = self.internal / "publish.json"
        self.journal = self.internal / "journal"
        self.traces = self.internal / "traces"
        self.new = self.internal / "new"
        self.old = self.internal / "old"
        self.lock = self.internal / "lock"

    def table(self, name: str) -> Place:
        """Return the directory of a table's files."""
        return self.root / name

    def pairs(self, generation: int) -> Place:
        """Return the path of a generation's list of pairs."""
        return self.internal / f"pairs-{generation:04}.arrow"

    def segment(self, generation: int, number: int) -> Place:
        """Return the path of the journal's part behind a generation."""
        return self.journal / f"{generation:04}-{number:06}.arrow"


def segment_generation(place: Place) -> int:
    """Return the generation that a part of the journal follows; -1 if it is none."""
    head = place.name.partition("-")[0]
    return int(head) if head.isdecimal() and place.name.endswith(".arrow") else -1


def segment_number(place: Place) -> int:
    """Return the number of a part of the journal in its generation."""
    return int(place.name.removesuffix(".arrow").partition("-")[2])


def read_manifest(root: Place) -> Manifest:
    """Read what a dataset says about itself.

    Raises
    ------
    OutputError
        There is no dataset, or one that this program does not read.
    """
    place = DatasetLayout(root).manifest
    try:
        data = place.read()
    except FileNotFoundError:
        raise OutputError(
            f"{root}: is no dataset (it has no {INTERNAL}/{_MANIFEST}): name a "
            "directory written by 'replay batch'"
        ) from None
    except OSError as error:
        raise OutputError(
            f"{place}: cannot be read: {error.strerror or error}"
        ) from error
    return decode_manifest(data, place)


def decode_manifest(data: bytes, place: Place) -> Manifest:
    """Decode what `write_manifest` wrote."""
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found == FORMAT:
            return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError:
        raise OutputError(
            f"{place}: not written by replay: name another dataset"
        ) from None
    raise OutputError(
        f"{place}: has format {found}, this replay writes {FORMAT}: name another "
        "dataset"
    )


def write_manifest(place: Place, manifest: Manifest) -> None:
    """Write what a dataset says about itself, whole or not at all."""
    place.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def check_target(root: Place, shown: str) -> None:
    """Refuse a directory that holds something else than a dataset.

    Parameters
    ----------
    root : Place
    shown : str
        As the user wrote it.

    Raises
    ------
    OutputError
    """
    path = root.local
    if path is None:
        inside = [one.place for one in root.files() if one.place.text != root.text]
        if inside and DatasetLayout(root).manifest.find() is None:
            raise OutputError(_strange(shown, inside[0].name))
        return
    if not path.exists():
        if not path.parent.is_dir():
            raise OutputError(f"{shown}: there is no directory {path.parent}: make it")
        return
    if not path.is_dir():
        raise OutputError(f"{shown}: is not a directory: name another output")
    strange = [Path(child).name for child in path.iterdir() if child.name != INTERNAL]
    if strange and not (path / INTERNAL / _MANIFEST).is_file():
        raise OutputError(_strange(shown, min(strange)))


def _strange(shown: str, name: str) -> str:
    return (
        f"{shown}: holds {name!r} and is no dataset of 'replay batch': name another "
        "output"
    )
