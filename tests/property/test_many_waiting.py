"""More cgroups at one place than are told apart: 64 are, the others count together."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.setup import ArrivalEvent, Policy, Resource, Setup
from support.engines import (
    columns_of,
    difference,
    request,
    run_engine,
    run_reference,
    setup_of,
)

#: With as many cgroups as the second there is no table of who waited for whom.
TREES = (86, 300)


@st.composite
def crowds(
    draw: st.DrawFn,
    /,
    policies: tuple[Policy, ...],
    tags: tuple[int, ...] = (128,),
    **fields: Any,
) -> tuple[Setup, Columns]:
    """Return more than 64 cgroups that all write at once, and some later ones."""
    n = draw(st.integers(70, 84))
    n_cgroups = draw(st.sampled_from(TREES))
    highs = draw(st.sampled_from([{}, {}, {1: 3, 2: 0, 3: 300}]))
    pages = st.sampled_from([1, 1, 2, 40, 130] if highs else [1, 1, 2, 9])
    setup = setup_of(
        [-1, *[0] * (n_cgroups - 1)],
        highs=highs,
        policy=draw(st.sampled_from(policies)),
        write_base_ns=draw(st.sampled_from([1000, 7777])),
        write_ns_per_byte=draw(st.sampled_from([0, 333_333])),
        interval_ns=draw(st.sampled_from([0, 50_000])),
        tags=draw(st.sampled_from(tags)),
        hz=1000,
        **fields,
    )
    rows = [
        request(at, issuer, "write", page=512 * at, pages=draw(pages))
        for at, issuer in enumerate(draw(st.permutations(range(1, n + 1))))
    ]
    later = st.tuples(
        st.sampled_from([0, 1, 1000, 1003, 90_000, 2_000_000]),
        st.integers(1, n),
        st.sampled_from(["write", "write", "write", "read", "discard"]),
        pages,
        st.integers(0, 2),
    )
    at = n
    for gap, issuer, op, n_pages, pid in draw(st.lists(later, max_size=60)):
        at += gap
        place = {"page": 512 * (at % 90), "pages": n_pages}
        rows.append(request(at, issuer, op, pid=100 * issuer + pid, **place))
    return setup, columns_of(rows)


def agreed(run: tuple[Setup, Columns]) -> Raw:
    """Return what the reference says, having seen that the engine says the same."""
    setup, columns = run
    raw = run_reference(setup, columns)
    assert difference(raw, run_engine(setup, columns)) is None
    return raw


def others_waited(run: tuple[Setup, Columns], raw: Raw, resource: Resource) -> bool:
    """Return True if any waited that were not told apart."""
    waits = raw["interference"]
    others = waits["waiting"] == len(run[0].parent)
    return bool((others & (waits["resource"] == resource)).any())


@given(
    crowds(
        (Policy.PER_CGROUP, Policy.SYNCHRONOUS, Policy.SYNCHRONOUS),
        lock_per_page=True,
        tmpfs=True,
    )
)
def test_lock_that_more_than_64_cgroups_share(run: tuple[Setup, Columns]) -> None:
    raw = agreed(run)
    assert others_waited(run, raw, Resource.LOCK)


@given(
    crowds(
        (Policy.PER_CGROUP, Policy.NAIVE),
        tags=(1, 2, 3),
        event=ArrivalEvent.QUEUE,
        tmpfs=True,
    )
)
def test_tags_that_more_than_64_cgroups_wait_for(run: tuple[Setup, Columns]) -> None:
    raw = agreed(run)
    assert others_waited(run, raw, Resource.TAG)


@given(crowds((Policy.ROOT, Policy.NAIVE), lock_per_page=True, tmpfs=True))
def test_worker_that_more_than_64_cgroups_wait_for(run: tuple[Setup, Columns]) -> None:
    raw = agreed(run)
    assert others_waited(run, raw, Resource.WORKER)
