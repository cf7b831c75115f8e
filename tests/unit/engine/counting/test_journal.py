"""A file system whose journal failed is read-only (model.md, Kills)."""

from typing import Any

from replay.trace.file.schema import FLAGS
from support.engines import A, B, pick, replayed, request, setup_of, write

S = 10**9
EIO, EROFS = 5, 30
META = FLAGS["meta"]


def written(**fields: Any) -> Any:
    """Fill a backing file of ten pages with data, then write a page of metadata."""
    setup = setup_of(fs_pages=10, **fields)
    return replayed(
        setup,
        write(0, A, pages=10),
        write(S, A, pages=1, sector=1 << 12),
        write(2 * S, B, pages=1, sector=1 << 13, flags=META),
        write(3 * S, A, pages=1),
        request(4 * S, B, op="read"),
        request(5 * S, B, op="flush", nbytes=0),
    )


def test_a_failed_write_of_metadata_stops_all_later_writes() -> None:
    raw = written(journaled=True)
    # THEN what fails of data stops nothing, of metadata everything but reads
    assert pick(raw, "errors", "cgroup", "errno", "count") == [
        (A, EIO, 1),
        (A, EROFS, 1),
        (B, EIO, 1),
        (B, EROFS, 1),
    ]
    counts = {name: int(value[0]) for name, value in raw["counts"].items()}
    assert counts["read_only"] == 2
    assert (counts["requests"], counts["failed"], counts["completed"]) == (4, 2, 2)


def test_without_a_journal_all_of_them_come() -> None:
    raw = written()
    assert pick(raw, "errors", "errno") == [EIO, EIO]
    assert int(raw["counts"]["read_only"][0]) == 0
