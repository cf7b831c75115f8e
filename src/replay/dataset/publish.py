"""Puts a generation of tables in the place of the one before.

Before it counts, everything that it needs is on the disk. On this machine the new
tables lie aside; what is to come is written down, and then each table's directory takes
the place of the old one, a rename each: whoever finds half of that after a kill
finishes it. On an object store the new files lie beside the old ones, and the manifest,
written last, says which of them count.
"""

import shutil
from pathlib import Path

import msgspec

from replay.common.errors import OutputError
from replay.common.output import sync
from replay.dataset.generation import Pairs, make_generation
from replay.dataset.journal import Parts
from replay.dataset.layout import (
    COLUMNS,
    INTERNAL,
    DatasetLayout,
    Manifest,
    decode_manifest,
    segment_generation,
    segment_number,
    write_manifest,
)
from replay.dataset.lock import HeldDataset
from replay.dataset.rows import SCHEMAS


def publish(layout: DatasetLayout, manifest: Manifest, held: HeldDataset) -> Manifest:
    """Take the journal into the tables.

    Parameters
    ----------
    layout : DatasetLayout
    manifest : Manifest
        Of the tables that are there.
    held : HeldDataset
        The lock of the dataset.

    Returns
    -------
    Manifest
        Of the new ones.

    Raises
    ------
    OSError
        Something cannot be written; the tables are as they were.
    OutputError
        Another batch took the dataset over: its tables are as they were.
    """
    held.check()
    with Parts(layout, manifest.generation) as parts:
        try:
            coming = make_generation(layout, manifest, parts)
        except BaseException:
            # what another batch has written since is no remainder of this one
            held.check()
            _clear(layout, manifest)
            raise
    # that took a while
    held.check()
    there = decode_manifest(layout.manifest.read(), layout.manifest).generation
    if there != manifest.generation:
        raise OutputError(
            f"{layout.root}: another batch has changed it meanwhile: run the same "
            "command again"
        )
    if layout.root.local is not None:
        write_manifest(layout.coming, coming)
        _put_in_place(layout)
    write_manifest(layout.manifest, coming)
    held.check()
    _clear(layout, coming)
    return coming


def recover(layout: DatasetLayout, held: HeldDataset) -> Manifest:
    """Finish or undo what a killed batch was at; make the dataset if there is none.

    Parameters
    ----------
    layout : DatasetLayout
    held : HeldDataset
        The lock of the dataset.

    Returns
    -------
    Manifest

    Raises
    ------
    OutputError
        The dataset has other columns than this program writes.
    """
    if layout.coming.find() is not None:
        manifest = decode_manifest(layout.coming.read(), layout.coming)
        _put_in_place(layout)
        write_manifest(layout.manifest, manifest)
    elif layout.manifest.find() is not None:
        manifest = decode_manifest(layout.manifest.read(), layout.manifest)
    else:
        manifest = Manifest()
        write_manifest(layout.manifest, manifest)
    if manifest.columns != COLUMNS:
        raise OutputError(
            f"{layout.root}: made by replay {manifest.version}, whose tables have "
            "other columns: name another dataset"
        )
    for place in (layout.journal, layout.traces):
        place.make_directory()
    if held.taken_over:
        manifest = _out_of_reach(layout, manifest)
        held.check()
    _clear(layout, manifest)
    return manifest


def _out_of_reach(layout: DatasetLayout, manifest: Manifest) -> Manifest:
    """Go on under names that a batch which was taken for dead does not use.

    If it lives after all, it may still write a part of the journal of this generation,
    or tables and pairs of the next one: both are skipped.
    """
    before, generation = manifest.generation, manifest.generation + 2
    for file in layout.journal.files():
        if segment_generation(file.place) == before:
            target = layout.segment(generation, segment_number(file.place))
            target.write(file.place.read())
    Pairs.read(layout, before).write(layout.pairs(generation))
    manifest = msgspec.structs.replace(manifest, generation=generation)
    write_manifest(layout.manifest, manifest)
    return manifest


def _put_in_place(layout: DatasetLayout) -> None:
    """Let new tables take the place of the old ones; can be done again."""
    root, new, old = (
        _path(place.local) for place in (layout.root, layout.new, layout.old)
    )
    old.mkdir(exist_ok=True)
    for name in SCHEMAS:
        if not (new / name).exists():
            continue
        if (root / name).exists():
            shutil.rmtree(old / name, ignore_errors=True)
            (root / name).rename(old / name)
        (new / name).rename(root / name)
    sync(root)


def _clear(layout: DatasetLayout, manifest: Manifest) -> None:
    """Remove what does not count."""
    layout.coming.remove()
    if layout.root.local is not None:
        for place in (layout.new, layout.old):
            shutil.rmtree(_path(place.local), ignore_errors=True)
    else:
        counting = {file for files in manifest.tables.values() for file in files}
        for name in SCHEMAS:
            for file in layout.table(name).files():
                if f"{name}/{file.place.name}" not in counting:
                    file.place.remove()
    for file in layout.journal.files():
        if segment_generation(file.place) != manifest.generation:
            file.place.remove()
    for file in layout.internal.files():
        name = file.place.name
        listed = name.startswith("pairs-")
        if name.endswith(".part") or (
            listed and name != layout.pairs(manifest.generation).name
        ):
            file.place.remove()
    for file in layout.traces.files():
        # what a killed worker was writing
        if not file.place.name.endswith(".arrow"):
            file.place.remove()


def _path(path: Path | None) -> Path:
    assert path is not None, f"{INTERNAL} of another file system has no such part"
    return path
