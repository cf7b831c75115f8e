"""One self-contained page: a sentence, pictures, tables, and how they came about."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from msgspec import Struct

from replay.common.errors import OutputError
from replay.common.output import check_target, place_of, replacing
from replay.common.plain import plain
from replay.common.text import count_text
from replay.report.html.bundle import need_vega, vega_script
from replay.report.html.drawing import Picture

#: Rows of a table that a page holds.
MOST_ROWS: Final = 500
#: Pictures that are open when the page is; the others are folded.
_OPEN: Final = 5
#: Cgroups that have a button.
_CHIPS: Final = 24


class Told(Struct, frozen=True, kw_only=True):
    """What stands under the headline.

    Attributes
    ----------
    text : str
        A line.
    notes : list of str
        What is uncertain.
    words : str
        What is folded; may be empty.
    label : str
        What stands there: by default what the pictures say, in words.
    """

    text: str
    notes: Sequence[str] = ()
    words: str = ""
    label: str = "All in words"


class PageTable(Struct, frozen=True, kw_only=True):
    """A table below the pictures.

    Attributes
    ----------
    name : str
        Pictures name it; of two of one name they mean the first.
    title : str
    about : str
    table : pyarrow.Table
    where : str
        Where all of its rows stand, if they are too many.
    """

    name: str
    title: str
    about: str
    table: pa.Table
    where: str = ""


class Content(Struct, frozen=True, kw_only=True):
    """What a page holds.

    Attributes
    ----------
    title : str
        The answer, in a sentence.
    told : list of Told
    pictures : list of Picture
    tables : list of PageTable
    colours : dict of str to str
        Cgroups that have a button, with their colours.
    provenance : dict of str to object
        How it came about, by title; what JSON holds.
    """

    title: str
    told: Sequence[Told]
    pictures: Sequence[Picture]
    tables: Sequence[PageTable]
    colours: Mapping[str, str]
    provenance: Mapping[str, Any]


def write_page(content: Content, path: Path, *, overwrite: bool = False) -> None:
    """Write a page.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = page_html(content)
    with replacing(path, overwrite=overwrite) as part:
        part.write_text(text, "utf-8")


def check_report(path: Path, *, overwrite: bool) -> None:
    """Refuse a page that could not be made, before any work is done.

    Raises
    ------
    OutputError
        What draws is not installed, or the file cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{path}: name a file that ends in .html")
    check_target(place_of(path), path, overwrite=overwrite)
    need_vega(path)


def page_html(content: Content) -> str:
    """Put a page together.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    title = plain(content.title)
    data = {
        "pictures": {one.name: one.spec for one in content.pictures},
        "tables": _tables(content.tables),
    }
    chips = "".join(
        f'<button type="button" class="chip" data-cgroup="{escape(plain(name))}" '
        f'style="--c:{colour}">{escape(plain(name))}</button>'
        for name, colour in list(content.colours.items())[:_CHIPS]
    )
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # scripts and styles are in the page; nothing is loaded, nothing is sent
        '<meta http-equiv="Content-Security-Policy" content="default-src '
        "'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        'img-src data: blob:">',
        f"<title>{escape(title)}</title>",
        f"<style>{_asset('page.css')}</style></head><body>",
        f"<header><h1>{escape(title)}</h1>"
        f"{''.join(_told(one) for one in content.told)}</header>",
        f'<nav aria-label="cgroups">{chips}'
        '<button type="button" id="clear" hidden>show all (Esc)</button></nav>',
        f"<main>{_figures(content.pictures, content.tables)}</main>",
        f'<section id="tables"{"" if content.tables else " hidden"}>'
        "<h2>Tables</h2></section>",
        _provenance(content.provenance),
        f'<script type="application/json" id="data">{_json(data)}</script>',
        f"<script>{vega_script()}</script>",
        f"<script>{_asset('page.js')}</script>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _told(one: Told) -> str:
    notes = "".join(f"<li>{escape(plain(note))}</li>" for note in one.notes)
    found = f"<p>{escape(plain(one.text))}</p>"
    if notes:
        found += f'<ul class="notes">{notes}</ul>'
    if one.words:
        # plain() would take the line breaks away
        words = "\n".join(plain(line) for line in one.words.split("\n"))
        found += (
            f"<details><summary>{escape(one.label)}</summary>"
            f"<pre>{escape(words)}</pre></details>"
        )
    return found


def _figures(pictures: Sequence[Picture], tables: Sequence[PageTable]) -> str:
    """Make a place for each picture; the first are open."""
    found = []
    # others are files of the result alone
    there = {one.name for one in tables if one.table.num_rows}
    for i, one in enumerate(pictures):
        note = f"<p>{escape(plain(one.note))}</p>" if one.note else ""
        table = (
            f'<a href="#table-{one.table}">table {one.table}</a>'
            if one.table in there
            else ""
        )
        found.append(
            f'<details class="figure"{" open" if i < _OPEN else ""}>'
            f"<summary>{escape(plain(one.title))}</summary>"
            f'<figure aria-label="{escape(plain(one.title))}">'
            f'<div class="picture" id="picture-{one.name}"></div>'
            f"<figcaption>{note}{table}</figcaption></figure></details>"
        )
    return "".join(found)


def _tables(tables: Sequence[PageTable]) -> list[dict[str, Any]]:
    """Return the tables that have rows, cut."""
    found: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for one in tables:
        if not one.table.num_rows:
            continue
        seen[one.name] = number = seen.get(one.name, 0) + 1
        cut = ""
        if one.table.num_rows > MOST_ROWS:
            n_rows = count_text(one.table.num_rows, "row")
            cut = f"the first {MOST_ROWS:,} of {n_rows}{one.where}"
        rows = one.table.slice(0, MOST_ROWS).to_pylist()
        found.append(
            {
                "id": f"table-{one.name}"
                if number == 1
                else f"table-{one.name}-{number}",
                "title": one.title,
                "about": one.about,
                "cut": cut,
                "columns": one.table.column_names,
                "rows": [list(row.values()) for row in rows],
            }
        )
    return found


def _provenance(told: Mapping[str, Any]) -> str:
    """Say how it came about."""
    if not told:
        return ""
    found = ["<section><h2>How this came about</h2>"]
    for name, what in told.items():
        lines = json.dumps(what, indent=1, ensure_ascii=False, default=str).split("\n")
        text = "\n".join(plain(line) for line in lines)
        found.append(
            f"<details><summary>{escape(plain(name))}</summary>"
            f"<pre>{escape(text)}</pre></details>"
        )
    return "".join([*found, "</section>"])


def _json(data: Any) -> str:
    """Write data so that no text in it ends the script that holds it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # "</script>" and "<!--" begin with it; the others end a line of a script
    for mark in "<\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _asset(name: str) -> str:
    return (files("replay.report.html") / "assets" / name).read_text("utf-8")
