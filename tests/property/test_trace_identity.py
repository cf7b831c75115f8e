"""A trace's identity is the hash of one text, however that text is made."""

import hashlib
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from replay.results.run_info import trace_identity
from replay.trace.file.metadata import Cgroup, Message, Process, ProcessName, Quality
from support.traces import metadata_of, summary_of

NUMBERS = st.integers(-(2**63), 2**64 - 1)
ODD = st.sampled_from('é"\\/\x7f \x00😀')
TEXTS = st.text(st.one_of(st.characters(max_codepoint=127), ODD), max_size=6)


@given(
    st.lists(st.builds(Cgroup, id=NUMBERS, n_requests=NUMBERS, n_bios=NUMBERS,
                       nbytes=NUMBERS, path=st.one_of(st.none(), TEXTS)), max_size=3),
    st.lists(TEXTS, max_size=3),
    st.dictionaries(TEXTS, NUMBERS, max_size=3),
)  # fmt: skip
def test_identity_is_the_hash_of_the_summary_as_python_writes_it(
    cgroups: list[Cgroup], texts: list[str], counts: dict[str, int]
) -> None:
    # GIVEN a summary with any letters and numbers
    metadata = metadata_of(
        summary_of(
            1,
            cgroups=cgroups,
            processes=[
                Process(
                    pid=place,
                    names=[ProcessName(time_ns=0, name=text)],
                    n_requests=1,
                )
                for place, text in enumerate(texts)
            ],
            messages=[Message(time_ns=1, cpu=0, text=text) for text in texts],
            quality=Quality(events=counts),
            notes=texts,
        )
    )
    # THEN its identity is that of Python's JSON with the keys in order
    told = msgspec.to_builtins(metadata.summary)
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    assert trace_identity(metadata) == hashlib.sha256(text.encode()).hexdigest()
