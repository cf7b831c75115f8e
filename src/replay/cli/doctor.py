"""``replay doctor``."""

from collections.abc import Iterable, Iterator

import click

from replay.cli import options


@click.command(epilog=options.examples("doctor", "doctor --json"))
@options.json
def doctor(as_json: bool) -> None:
    """Say what this machine can record and show, and what it lacks for it.

    Nothing is recorded and nothing is changed. Run it as who would record: root.
    """
    from replay.capture.doctor import examine
    from replay.common.plain import plain
    from replay.common.text import json_text

    found = examine()
    if as_json:
        click.echo(json_text(found.to_dict()))
        return
    told = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    lines = [
        told,
        "",
        "Recording",
        *_abilities((one.name, one.missing) for one in found.recording),
        f"  devices: {', '.join(found.devices) or 'none'}",
        f"  rules of a replay: {found.rules}",
        *(f"  {doubt}" for doubt in found.doubts),
        "",
        "Showing",
        *_abilities((one.name, one.missing) for one in found.extras),
    ]
    for line in lines:
        click.echo(plain(line))


def _abilities(pairs: Iterable[tuple[str, tuple[str, ...]]]) -> Iterator[str]:
    for name, missing in pairs:
        yield f"  {name}: {'no' if missing else 'yes'}"
        for line in missing:
            yield f"    {line}"
