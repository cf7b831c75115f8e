"""A scenario's values, written in TOML."""

import json
from collections.abc import Iterable, Iterator, Mapping


def value_toml(value: object) -> str:
    """Write a text, number, truth value, or a list or mapping of them.

    Parameters
    ----------
    value : object
        As ``json`` takes it, without None.

    Returns
    -------
    str
        One line; a mapping is an inline table.
    """
    if isinstance(value, Mapping):
        return inline_table((name, value_toml(one)) for name, one in value.items())
    # JSON and TOML write the others alike, but for what no terminal should see
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(map(_toml_char, text))


def _toml_char(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def inline_table(values: Iterable[tuple[str, str]]) -> str:
    """Write an inline table.

    Parameters
    ----------
    values : iterable of (str, str)
        Bare keys, and values as they are written.
    """
    return f"{{ {', '.join(f'{name} = {text}' for name, text in values)} }}"


def size_toml(text: str) -> str:
    """Write bytes with the largest unit that they are a multiple of.

    Parameters
    ----------
    text : str
        An integer, or a word (``max``), which stays as it is.

    Returns
    -------
    str
        For example ``"64M"``, with the quotation marks.
    """
    if not text.isdecimal():
        return value_toml(text)
    number, unit = int(text), ""
    for larger in "KMGT":
        if not number or number % 1024:
            break
        number, unit = number // 1024, larger
    return value_toml(f"{number}{unit}")


def literal_pattern(name: str) -> str:
    """Make a pattern that matches this name alone."""
    return "".join(f"[{char}]" if char in "[*?" else char for char in name)


def one_line(text: str) -> str:
    """Make a text fit for a comment."""
    return "".join(char if char.isprintable() else "?" for char in text)


def service_section(
    models: Mapping[str, Mapping[str, str]], parallel: int | None
) -> Iterator[str]:
    """Write the section ``[service]`` of a linear model.

    Parameters
    ----------
    models : mapping of str to mapping
        By operation, the model's numbers as they are written.
    parallel : int or None
        Requests that the device serves at a time; None leaves the key out.

    Yields
    ------
    str
        Lines.
    """
    yield "[service]"
    yield 'model = "linear"'
    for operation, values in models.items():
        yield f"{operation} = {inline_table(values.items())}"
    if parallel is not None:
        yield f"parallel = {parallel}"
