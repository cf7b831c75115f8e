"""What must not be shown of an address opens its store, and is shown nowhere."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.common.addresses import secret_root, without_secrets
from replay.dataset.places import Place

#: What a user may put there by hand, quoted or not.
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6)


@pytest.mark.parametrize(
    ("told", "shown", "root"),
    [
        ("s3://KEY:SECRET@bucket/a/b", "s3://bucket/a/b", "s3://KEY:SECRET@bucket"),
        ("s3://K:SE/CRET@bucket/a", "s3://bucket/a", "s3://K:SE/CRET@bucket"),
        ("ftp://user@host/x", "ftp://host/x", "ftp://user@host"),
        (
            "s3://bucket/a?secret_key=S&region=x",
            "s3://bucket/a",
            "s3://bucket?secret_key=S&region=x",
        ),
    ],
)
def test_secrets_are_cut_out(told: str, shown: str, root: str) -> None:
    assert without_secrets(told) == shown
    assert secret_root(told) == root


@pytest.mark.parametrize(
    "text",
    ["hdfs://node:9000/a@b", "s3://bucket/a?.csv", "/local/a@b", "a:b@c", "memory://x"],
)
def test_what_has_none_is_left_alone(text: str) -> None:
    assert without_secrets(text) == text
    assert secret_root(text) == ""


@given(WORDS, WORDS, st.sampled_from(["s3", "ftp", "https", "abfs"]))
def test_no_message_shows_them(user: str, password: str, scheme: str) -> None:
    address = f"{scheme}://U{user}:P{password}@bucket/x"
    message = without_secrets(f"cannot open {address!r}: {address}: denied")
    assert f"U{user}" not in message
    assert f"P{password}" not in message


def test_a_place_hands_its_secret_on_and_does_not_show_it() -> None:
    place = Place.of("s3://KEY:SECRET@bucket/a") / "b"
    assert str(place) == place.text == "s3://bucket/a/b"
    assert "SECRET" not in repr(place)
    assert place.secret == "s3://KEY:SECRET@bucket"
    # a worker is another process
    assert pickle.loads(pickle.dumps(place)).secret == place.secret
    assert place.parent.secret == place.secret
