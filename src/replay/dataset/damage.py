"""Files of a dataset that cannot be read: one line that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from replay.common.errors import OutputError
from replay.dataset.places import Place


@contextmanager
def intact(place: Place) -> Iterator[None]:
    """Refuse a file that is damaged or gone.

    Parameters
    ----------
    place : Place
        Of the file that the body reads, or of the table.

    Raises
    ------
    OutputError
        It cannot be read as what it is.
    """
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise OutputError(
            f"{place}: is damaged: restore it, or make the dataset anew ({reason})"
        ) from error
