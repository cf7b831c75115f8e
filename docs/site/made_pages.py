"""Pages of the site that lie elsewhere or are made of the code.

One a command, the Python names, and how to contribute.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any, Final

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import replay
from replay.cli.main import COMMANDS

#: Links to what is no page of the site: they stay names.
_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")
#: What lies at the top of a checkout and is a page of the site.
_CONTRIBUTING: Final = "CONTRIBUTING.md"
_ITS_PAGE: Final = "contributing.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page of each command into the navigation."""
    assert config.nav is not None
    for section in config.nav:
        if isinstance(section, dict) and "Commands" in section:
            section["Commands"] = [_command_file(name) for name in COMMANDS]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file holds."""
    for name, (module, _) in COMMANDS.items():
        text = _command_page(name, module)
        files.append(File.generated(config, _command_file(name), content=text))
    files.append(File.generated(config, "python.md", content=_python_page()))
    top = Path(config.docs_dir).parent
    text = _from_the_top((top / _CONTRIBUTING).read_text("utf-8"))
    files.append(File.generated(config, _ITS_PAGE, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Take away links that lead out of the docs."""
    return _OUTSIDE.sub(
        r"\1", markdown.replace(f"(../{_CONTRIBUTING}", f"({_ITS_PAGE}")
    )


def _from_the_top(text: str) -> str:
    """Let links of a file at the top lead where they do from within the docs."""
    inside = re.sub(r"\]\(docs/", "](", text)
    return re.sub(r"\]\((?!\w+:|[\w./-]+\.(?:md|ipynb)[)#])", "](../", inside)


def _command_file(name: str) -> str:
    return f"commands/{name}.md"


def _command_page(name: str, module: str) -> str:
    """Return what ``replay NAME --help`` says."""
    command = getattr(importlib.import_module(module), name)
    context = click.Context(command, info_name=f"replay {name}")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    about = inspect.cleandoc(command.help or "").replace("\b\n", "")
    records = [one.get_help_record(context) for one in command.get_params(context)]
    options = [f"`{one[0]}`\n:   {one[1]}" for one in records if one]
    examples = [f"  {line}" for line in (command.epilog or "").splitlines()[2:]]
    parts = [
        f"# replay {name}",
        f"    {usage}",
        about,
        *(
            ["## Examples", "\n".join(f"  {line}" for line in examples)]
            * bool(examples)
        ),
        "## Options",
        *options,
    ]
    return "\n\n".join(parts) + "\n"


def _python_page() -> str:
    """Return the docstrings of all public names, functions first."""
    names = [name for name in replay.__all__ if not name.startswith("__")]
    names.sort(key=lambda name: (isinstance(getattr(replay, name), type), name))
    parts = ["# Python"]
    for name in names:
        one = getattr(replay, name)
        parts.append(
            f"::: {one.__module__}.{one.__qualname__}\n"
            f"    options:\n        heading: replay.{name}\n"
            f"        toc_label: {name}"
        )
    return "\n\n".join(parts) + "\n"
