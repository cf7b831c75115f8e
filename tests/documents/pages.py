"""Pages whose examples are run: blocks behind a mark, and the commands in them.

``python -m documents.pages README.md docs/sweep.md`` (in ``tests``) puts what the
commands of console blocks print today in the place of what stands there: read the
difference.
"""

import doctest
import os
import re
import subprocess
import sys
import tempfile
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import replay

TOP = Path(__file__).parents[2]
#: A fenced block that stands behind the mark.
BLOCK = re.compile(r"^<!-- checked -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What differs between equal runs: the last line's time and rate, versions.
VARIES = (
    (re.compile(r"\d+\.\d\d s, [\d,]+ requests/s"), "TIME s, RATE requests/s"),
    (re.compile(r"\b(in|took) \d+\.\d\d s$", re.MULTILINE), r"\1 TIME s"),
    (re.compile(r"version \d[\w.]*"), "version VERSION"),
)


@dataclass(frozen=True)
class Block:
    """A checked block, and the line of the README that it begins at."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)
        for found in BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[tuple[str, str]]:
    """Commands of a console block with the output that follows each."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    assert parts[0] == "", f"line {block.line}: output before a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def masked(output: str) -> str:
    for pattern, instead in VARIES:
        output = pattern.sub(instead, output)
    return output


def environment(folder: Path) -> dict[str, str]:
    """Make an environment in which ``replay`` is the package that is being tested.

    The commands ``replay`` and ``python`` are put into the folder.
    """
    code = "from replay.cli.main import main; main()"
    for name, option in (("replay", f"-c '{code}'"), ("python", "")):
        command = folder / name
        command.write_text(f"#!/bin/sh\nexec '{sys.executable}' {option} \"$@\"\n")
        command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{Path(replay.__file__).parents[1]}{os.pathsep}{TOP}",
    }


def run_command(
    command: str, folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a line of a console block; its messages stand in its output."""
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def run_commands(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Run a console block's commands, and compare with what they print there."""
    for command, shown in commands(block):
        done = run_command(command, folder, environment)
        assert masked(done.stdout) == masked(shown), f"{command}: {done.stdout}"
        assert done.returncode == 0


def rewritten(page: Path, folder: Path, environment: dict[str, str]) -> str:
    """Return a page's text with what its console blocks print today.

    Raises
    ------
    SystemExit
        A command fails.
    """
    text = page.read_text()
    for block in blocks(page):
        if block.language != "console":
            continue
        lines = []
        for command, shown in commands(block):
            done = run_command(command, folder, environment)
            if done.returncode:
                sys.exit(f"{page}: {command}: {done.stdout}")
            # times and rates of today are no reason for a change
            same = masked(done.stdout) == masked(shown)
            lines.append(f"$ {command}\n{shown if same else done.stdout}")
        text = text.replace(block.text, "".join(lines), 1)
    return text


def run_python(block: Block, page: Path, folder: Path) -> None:
    """Run an interpreter's session of a page."""
    test = doctest.DocTestParser().get_doctest(
        block.text, {}, page.name, str(page), block.line
    )
    report: list[str] = []
    with chdir(folder):
        failed, attempted = doctest.DocTestRunner().run(test, out=report.append)
    assert attempted
    assert not failed, "".join(report)


def main() -> None:
    """Rewrite the pages that the command line names."""
    for name in sys.argv[1:]:
        page = TOP / name
        with tempfile.TemporaryDirectory() as folder:
            found = environment(Path(folder))
            (Path(folder) / "traces").symlink_to(TOP / "traces")
            page.write_text(rewritten(page, Path(folder), found))


if __name__ == "__main__":
    main()
