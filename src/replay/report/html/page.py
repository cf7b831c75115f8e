"""One self-contained page of results: a sentence, pictures, tables, provenance."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from replay.common.errors import OutputError
from replay.common.output import check_target, place_of, replacing
from replay.common.text import count_text, plain
from replay.report.html.anonymous import without_names
from replay.report.html.bundle import need_vega, vega_script
from replay.report.html.colours import colours
from replay.report.html.drawing import Picture
from replay.report.html.pictures import pictures
from replay.report.html.rows import by_io
from replay.report.text import render_text
from replay.results.result import Result
from replay.results.schema import TABLES

#: Tables that a page holds, and how many rows of each; those left out are aggregated.
_TABLES: Final = (
    *("charges", "interference", "latency", "memory", "io_stat", "workers"),
    *("kills", "errors"),
)
MOST_ROWS: Final = 500
#: Pictures that are open when the page is; the others are folded.
_OPEN: Final = 5


def write_report(
    results: Mapping[str, Result],
    path: str | Path,
    *,
    anonymous: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a page of one result or of several beside each other.

    Parameters
    ----------
    results : mapping of str to Result
        By the name that the page gives them; the first is the base.
    path : str or Path
        The HTML file. Everything it needs is in it; it loads nothing.
    anonymous : bool
        Replace the names of cgroups, files and processes.
    overwrite : bool
        Replace the file that is there.

    Raises
    ------
    OutputError
        What draws is not installed, or the file cannot be written.
    """
    path = Path(path)
    check_report(path, overwrite=overwrite)
    text = report_html(results, anonymous=anonymous)
    with replacing(path, overwrite=overwrite) as part:
        part.write_text(text, "utf-8")


def check_report(path: Path, *, overwrite: bool) -> None:
    """Refuse a page that could not be made, before any work is done.

    Raises
    ------
    OutputError
        As `write_report`.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{path}: name a file that ends in .html")
    check_target(place_of(path), path, overwrite=overwrite)
    need_vega(path)


def report_html(results: Mapping[str, Result], *, anonymous: bool = False) -> str:
    """Make the page; see `write_report`.

    Returns
    -------
    str
        HTML.
    """
    shown = without_names(results) if anonymous else results
    return _Page(shown, pictures(shown)).html()


class _Page:
    def __init__(
        self,
        results: Mapping[str, Result],
        drawn: Sequence[Picture],
    ) -> None:
        self.results = results
        self.drawn = drawn

    def html(self) -> str:
        """Put the page together."""
        title = self.headline()
        data = {
            "pictures": {one.name: one.spec for one in self.drawn},
            "tables": self.tables(),
        }
        cgroups = list(
            dict.fromkeys(n for r in self.results.values() for n in by_io(r))
        )
        chips = "".join(
            f'<button type="button" class="chip" data-cgroup="{escape(name)}" '
            f'style="--c:{colour}">{escape(name)}</button>'
            for name, colour in (
                (plain(name), colour)
                for name, colour in list(colours(cgroups).items())[:24]
            )
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
            f"<header><h1>{escape(title)}</h1>{self.subtitles()}</header>",
            f'<nav aria-label="cgroups">{chips}'
            '<button type="button" id="clear" hidden>show all (Esc)</button></nav>',
            f"<main>{self.figures()}</main>",
            '<section id="tables"><h2>Tables</h2></section>',
            self.provenance(),
            f'<script type="application/json" id="data">{_json(data)}</script>',
            f"<script>{vega_script()}</script>",
            f"<script>{_asset('page.js')}</script>",
            "</body></html>\n",
        ]
        return "\n".join(parts)

    def headline(self) -> str:
        """Say the answer in a sentence."""
        if self.drawn:
            first = next(
                (one for one in self.drawn if one.name in ("waits", "memory")),
                self.drawn[0],
            )
            kills = sum(result.kills.num_rows for result in self.results.values())
            memory = next((one for one in self.drawn if one.name == "memory"), None)
            if kills and memory is not None:
                first = memory
            return plain(first.title)
        if kills := [row for r in self.results.values() for row in r.kills.to_pylist()]:
            return plain(f"{kills[0]['task']} in {kills[0]['victim_cgroup']} is killed")
        return "Nothing was replayed, so there is nothing to see"

    def subtitles(self) -> str:
        """Say of each result what was replayed, and what is uncertain."""
        found = []
        for name, result in self.results.items():
            text = render_text(result, width=100)
            first, _, rest = text.partition("\n\n")
            shown = first.replace("\n", " ")
            if len(self.results) > 1:
                shown = f"{name}: {shown}"
            notes = "".join(
                f"<li>{escape(plain(note))}</li>" for note in result.info["notes"]
            )
            found.append(
                f"<p>{escape(plain(shown))}</p>"
                + (f'<ul class="notes">{notes}</ul>' if notes else "")
                + f"<details><summary>All in words</summary><pre>"
                f"{escape(plain(rest))}</pre></details>"
            )
        return "".join(found)

    def figures(self) -> str:
        """Make a place for each picture; the first are open."""
        found = []
        for i, one in enumerate(self.drawn):
            note = f"<p>{escape(plain(one.note))}</p>" if one.note else ""
            found.append(
                f'<details class="figure"{" open" if i < _OPEN else ""}>'
                f"<summary>{escape(plain(one.title))}</summary>"
                f'<figure aria-label="{escape(plain(one.title))}">'
                f'<div class="picture" id="picture-{one.name}"></div>'
                f'<figcaption>{note}<a href="#table-{one.table}">table '
                f"{one.table}</a></figcaption></figure></details>"
            )
        return "".join(found)

    def tables(self) -> list[dict[str, Any]]:
        """Return the tables that stand below the pictures."""
        found = []
        for i, (result_name, result) in enumerate(self.results.items()):
            for name in _TABLES:
                table = result.tables[name]
                if not table.num_rows:
                    continue
                title = name if len(self.results) == 1 else f"{name}: {result_name}"
                cut = table.num_rows - MOST_ROWS
                found.append(
                    {
                        "id": f"table-{name}" if not i else f"table-{name}-{i + 1}",
                        "title": title,
                        "about": TABLES[name].note,
                        "cut": ""
                        if cut <= 0
                        else f"the first {MOST_ROWS:,} of "
                        f"{count_text(table.num_rows, 'row')}; all of them stand in "
                        f"{name}.parquet (replay run -o OUTDIR)",
                        "columns": table.column_names,
                        "rows": [
                            list(row.values())
                            for row in table.slice(0, MOST_ROWS).to_pylist()
                        ],
                    }
                )
        return found

    def provenance(self) -> str:
        """Say how the results came about."""
        found = ["<section><h2>How this came about</h2>"]
        for name, result in self.results.items():
            told = {
                key: result.info[key]
                for key in ("versions", "trace", "quality", "scenario", "counts")
            }
            text = json.dumps(told, indent=1, ensure_ascii=False, default=str)
            found.append(
                f"<details><summary>{escape(plain(name))}: scenario, trace, losses"
                f"</summary><pre>{escape(plain(text))}</pre></details>"
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
