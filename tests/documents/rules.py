"""Make the list of rules at the head of docs/model.md from what stands below it.

    python -m documents.rules [--write]

Prints the page; with --write to docs/model.md. Run in ``tests``.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "model.md"
#: The list stands between these lines.
BEGIN: Final = "<!-- The list is made by `python -m documents.rules --write`. -->\n"
END: Final = "<!-- end of the list -->\n"
#: Of what no other version is named.
_VERSION: Final = "v6.1"
_READ_IN: Final = re.compile(r"\bv\d+\.\d+(?:\.\d+)?(?: and v\d+\.\d+)?\b")
#: A sentence's end: not the dot of a file's name or of a version.
_END: Final = re.compile(r"\.(?=\s|$)|\*\*|\|")
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_NAME: Final = r"[A-Za-z_]\w*(?:\(\))?"
_SOURCE: Final = re.compile(
    r"(?P<file>(?:block|drivers|fs|include|kernel|lib|mm)/[\w/.-]+\.[ch]):\s?"
    # a constant, or functions
    rf"(?P<names>{_NAME}(?:,? (?:and )?[A-Za-z_]\w*\(\))*)"
)


def anchor(heading: str) -> str:
    """Return what a heading's link ends with."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield each heading of the page with what stands below it."""
    found = list(_HEADING.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    for one, end in zip(found, ends, strict=True):
        yield one[1], text[one.end() : end]


def sources(text: str) -> dict[tuple[str, str], list[str]]:
    """Return the kernel's functions that a section names, by file and version.

    The version is the next one that the sentence names.
    """
    found: dict[tuple[str, str], list[str]] = {}
    text = " ".join(text.split())
    for one in _SOURCE.finditer(text):
        end = _END.search(text, one.end())
        read = _READ_IN.search(text, one.end(), end.start() if end else len(text))
        names = found.setdefault((one["file"], read[0] if read else _VERSION), [])
        names += re.findall(_NAME, re.sub(r"\band\b", ",", one["names"]))
    return {key: list(dict.fromkeys(names)) for key, names in found.items()}


def listed(text: str) -> str:
    """Return the list's lines."""
    lines = ["| rule | kernel file | functions | read in |", "|---|---|---|---|"]
    for heading, section in sections(text):
        link = f"[{heading}](#{anchor(heading)})"
        for (file, version), names in sources(section).items():
            functions = ", ".join(f"`{name}`" for name in names)
            lines.append(f"| {link} | `{file}` | {functions} | {version} |")
            link = ""
        if link:
            lines.append(f"| {link} | | the model's own | |")
    return "\n".join([*lines, ""])


def page(text: str) -> str:
    """Return the page with its list made anew."""
    head, _, rest = text.partition(BEGIN)
    _, end, rest = rest.partition(END)
    assert end, f"{PAGE.name} has no place for the list"
    return f"{head}{BEGIN}\n{listed(rest)}\n{END}{rest}"


def main() -> None:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"to docs/{PAGE.name}")
    text = page(PAGE.read_text("utf-8"))
    if parser.parse_args().write:
        PAGE.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
