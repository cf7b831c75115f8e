"""What is going to go is told in one line, where it is used."""

import warnings

from replay.common.deprecated import deprecated


def old_function() -> None:
    deprecated("old_function()", since="0.3", until="0.4", instead="new_function()")


def test_the_caller_is_warned() -> None:
    # GIVEN a function that is going to go
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # WHEN it is called
        old_function()
    # THEN the caller's line is told what to write
    (one,) = caught
    assert one.category is FutureWarning
    assert one.filename == __file__
    assert str(one.message) == (
        "old_function() is deprecated since 0.3 and gone in 0.4: use new_function()"
    )
