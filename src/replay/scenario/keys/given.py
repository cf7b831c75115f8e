"""The user's keys: flattened, each with its origin for messages.

A TOML file and ``--set`` arguments become the same thing here: `Given` values under
known keys. Checking the values themselves is the loader's next step.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from replay.common.bounded import read_bounded
from replay.common.errors import ScenarioError
from replay.scenario.keys.kinds import shown
from replay.scenario.keys.table import CGROUP_KEYS, SECTION_KEYS, Key

LISTS: Final = ("assign", "cgroups")
#: A key in a line has no more steps: their square is what parsing costs.
_MOST_STEPS: Final = 4096


class Origin(Struct, frozen=True):
    """The origin of a value.

    Attributes
    ----------
    source : str
        A file's name, or ``--set`` and its argument.
    key : str
        The key that `source` names already; empty for a file.
    """

    source: str
    key: str = ""

    def error(self, path: str, reason: str) -> ScenarioError:
        """Make the error for a key: source, path unless it is named, reason."""
        named = path == self.key
        where = self.source if named else f"{self.source}: {_one_line(path)}"
        return ScenarioError(f"{where}: {reason}")


class Given(Struct, frozen=True):
    """A value as it was given; ``typed`` is the text of a ``--set`` argument."""

    value: object
    origin: Origin
    path: str
    typed: str | None = None

    def error(self, reason: str) -> ScenarioError:
        """Make the error for this value."""
        return self.origin.error(self.path, reason)

    def parse(self, key: Key) -> Any:
        """Check the value and return what the key's kind makes of it."""
        value = self.value
        if key.kind.textual and self.typed is not None and not isinstance(value, str):
            value = self.typed
        try:
            return key.kind.parse(value)
        except ValueError as error:
            raise self.error(str(error)) from None


class GivenScenario(Struct, frozen=True):
    """All keys given; later sources replace values of earlier ones.

    Attributes
    ----------
    keys : dict of str to Given
        By the path in `SECTION_KEYS`.
    assign : list of Given
        The one list of rules, if any.
    cgroups : dict of str to dict of str to Given
        By path of the cgroup, then by name in `CGROUP_KEYS` or ``tasks``.
    """

    keys: dict[str, Given] = field(default_factory=dict)
    assign: list[Given] = field(default_factory=list)
    cgroups: dict[str, dict[str, Given]] = field(default_factory=dict)

    def add(self, mapping: Mapping[str, object], origin: Origin) -> None:
        """Add what one source says.

        Parameters
        ----------
        mapping : mapping
            As ``tomllib`` returns it.
        origin : Origin

        Raises
        ------
        ScenarioError
            For a key that is not known, with the nearest that is.
        """
        sections = dict(mapping)
        if "assign" in sections:
            value = _plain(sections.pop("assign"))
            self.assign[:] = [Given(value, origin, "assign")]
        cgroups = _table(sections.pop("cgroups", {}), "cgroups", origin)
        self.keys.update(flatten(sections, SECTION_KEYS, "", origin, near=LISTS))
        for path, entry in cgroups.items():
            prefix = f'cgroups."{path}".'
            table = _table(entry, prefix[:-1], origin)
            self.cgroups.setdefault(path, {}).update(
                flatten(table, CGROUP_KEYS, prefix, origin, lists=("tasks",))
            )

    def put_first(self, mapping: Mapping[str, object], origin: Origin) -> None:
        """Put rules before those that are there.

        Parameters
        ----------
        mapping : mapping
            A file of rules, as ``tomllib`` returns it.
        origin : Origin

        Raises
        ------
        ScenarioError
            Something else stands in it than ``[[assign]]``.
        """
        for name in mapping:
            if name != "assign":
                reason = "does not belong in a file of rules: only [[assign]] does"
                raise origin.error(name, reason)
        if "assign" not in mapping:
            raise ScenarioError(f"{origin.source}: no rule, which begins by [[assign]]")
        self.assign.insert(0, Given(mapping["assign"], origin, "assign"))

    def set(self, argument: str) -> None:
        """Add one ``KEY=VALUE``.

        Parameters
        ----------
        argument : str
            KEY is a dotted key, or a cgroup's interface file if it begins with ``/``.

        Raises
        ------
        ScenarioError
            It names the argument.
        """
        source = f"--set {_one_line(argument)}"
        if argument.startswith("/"):
            path, name, text = _split_interface_file(argument, source)
            steps = ["cgroups", path, name]
            key = f'cgroups."{path}".{name}'
        else:
            key, text, steps = _split_key(argument, source)
        *above, last = steps
        mapping: dict[str, object] = {last: _Typed(text, _toml_or_text(text))}
        for step in reversed(above):
            mapping = {step: mapping}
        self.add(mapping, Origin(source, key))


class _Typed(Struct, frozen=True):
    """The value of a ``--set`` argument on its way to its key."""

    text: str
    value: object


def read_toml(path: str | Path) -> dict[str, object]:
    """Read a TOML file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict

    Raises
    ------
    ScenarioError
        It cannot be read, or is not TOML: file, line, column and what is wrong.
    """
    import tomllib

    text = ""
    try:
        # editors of Windows put a mark at the beginning
        text = read_bounded(path).decode("utf-8-sig")
        if any(line.count(".") > _MOST_STEPS for line in text.splitlines()):
            raise RecursionError
        return tomllib.loads(text)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
    except UnicodeDecodeError as error:
        reason = f"byte {error.start}: not UTF-8"
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).removesuffix(")").rpartition(" (at ")
        if not where.startswith("line"):
            where = f"line {len(text.splitlines())}"
        reason = f"{where}: {_one_line(what)}{_unquoted(text, where)}"
    except (ValueError, RecursionError):
        # an integer of thousands of digits, or thousands of nested brackets
        reason = "not a scenario: a number or a nesting beyond all limits"
    raise ScenarioError(f"{path}: {reason}")


def _unquoted(text: str, where: str) -> str:
    """Say what is missing where a number with a unit stands without quotes."""
    found = re.match(r"line (\d+)", where)
    lines = text.splitlines()
    if not found or not 0 < int(found[1]) <= len(lines):
        return ""
    value = re.search(r"=\s*(\d[\w.]*[A-Za-z])\s*(#.*)?$", lines[int(found[1]) - 1])
    return f'; put it in quotes: "{value[1]}"' if value else ""


def flatten(
    table: Mapping[str, object],
    keys: Mapping[str, Key],
    prefix: str,
    origin: Origin,
    *,
    lists: Sequence[str] = (),
    near: Sequence[str] = (),
) -> dict[str, Given]:
    """Find the known keys in nested tables.

    Parameters
    ----------
    table : mapping
        ``{"memory": {"max": ...}}`` and ``{"memory.max": ...}`` are the same.
    keys : mapping of str to Key
    prefix : str
        What stands before these keys in a message.
    origin : Origin
    lists : sequence of str
        Further names that are returned too.
    near : sequence of str
        Names that are not looked for, but may be what an unknown one was meant to be.

    Returns
    -------
    dict of str to Given
        By the name in `keys` or `lists`.

    Raises
    ------
    ScenarioError
        A key is not known, or is given in both forms.
    """
    found: dict[str, Given] = {}
    names = (*keys, *lists)
    for name, value in _leaves(table, names, prefix, origin, near):
        if name in found:
            raise origin.error(prefix + name, "is given twice")
        typed = value.text if isinstance(value, _Typed) else None
        found[name] = Given(_plain(value), origin, prefix + name, typed)
    return found


def _leaves(
    table: Mapping[str, object],
    names: Sequence[str],
    prefix: str,
    origin: Origin,
    near: Sequence[str],
    above: str = "",
) -> Iterator[tuple[str, object]]:
    for step, value in table.items():
        name = above + step
        if name in names:
            yield name, value
        elif any(known.startswith(f"{name}.") for known in names):
            inner = _table(value, prefix + name, origin)
            yield from _leaves(inner, names, prefix, origin, near, f"{name}.")
        else:
            reason = f"unknown key; {_instead(name, names, near, prefix)}"
            raise origin.error(prefix + name, reason)


def _instead(name: str, names: Sequence[str], near: Sequence[str], prefix: str) -> str:
    """Say what an unknown key may have been meant to be, or what there is."""
    # the sections that stand where the unknown key stands
    depth = name.count(".") + 1
    sections = {".".join(known.split(".")[:depth]) for known in names} - {*names}
    if not prefix and name in ("memory", "io"):
        return 'a limit is a cgroup\'s: /PATH/memory.max=64M, or [cgroups."/PATH"]'
    meant = _nearest(name, [*names, *sorted(sections), *near])
    if meant:
        return f"did you mean {' or '.join(prefix + known for known in meant)}?"
    section = name.rpartition(".")[0]
    beside = [known for known in names if section and known.startswith(f"{section}.")]
    tops = dict.fromkeys(known.split(".")[0] for known in [*names, *near])
    return f"one of {', '.join(beside or tops)}"


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """Find the keys that somebody who wrote `name` may have meant, at most two."""
    section, dot, last = name.rpartition(".")
    above = section + dot
    beside = [known[len(above) :] for known in names if known.startswith(above)]
    close = [above + known for known in difflib.get_close_matches(last, beside, 1, 0.6)]
    # [driver] policy written at the top, or in another section
    same = [known for known in names if known.rpartition(".")[2] == last]
    return [*dict.fromkeys(close + same)][:2]


def _plain(value: object) -> object:
    return value.value if isinstance(value, _Typed) else value


def _one_line(text: str) -> str:
    """Make an argument fit into a message."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 80 else f"{text[:76]}..."


def _table(value: object, path: str, origin: Origin) -> Mapping[str, object]:
    value = _plain(value)
    if not isinstance(value, Mapping):
        raise origin.error(path, f"{shown(value)} stands where a table belongs")
    return value


def _toml_or_text(text: str) -> object:
    """Read a value as TOML if it is some, else take it as text."""
    import tomllib

    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return found["value"] if len(found) == 1 else text


def overridden_cgroup(argument: str) -> str | None:
    """Find the cgroup that one ``--set`` argument is about.

    Parameters
    ----------
    argument : str
        A valid one.

    Returns
    -------
    str or None
        Its path; None if it is about another key.
    """
    if argument.startswith("/"):
        return _split_interface_file(argument, "")[0]
    _, _, steps = _split_key(argument, "")
    return steps[1] if steps[0] == "cgroups" and len(steps) > 1 else None


def overridden_devices(argument: str) -> list[int]:
    """Find the devices that a cgroup's io file is set for by one ``--set`` argument.

    Parameters
    ----------
    argument : str
        A valid one.

    Returns
    -------
    list of int
        ``major << 20 | minor``; none if it is about another key.
    """
    if argument.startswith("/"):
        _, name, text = _split_interface_file(argument, "")
    else:
        _, text, steps = _split_key(argument, "")
        if steps[0] != "cgroups":
            return []
        name = ".".join(steps[2:])
    if not name.startswith("io."):
        return []
    return [
        int(major) << 20 | int(minor)
        for major, minor in re.findall(r"(?<![\w.:])(\d+):(\d+)(?![\w.:])", text)
    ]


def _split_key(argument: str, source: str) -> tuple[str, str, list[str]]:
    """Split ``a."b c".d=VALUE`` into key, value and the key's steps."""
    import tomllib

    for match in re.finditer("=", argument):
        key, text = argument[: match.start()].strip(), argument[match.end() :].strip()
        try:
            found: object = tomllib.loads(f"{key} = 0")
        except (ValueError, RecursionError):
            continue
        steps = []
        while isinstance(found, dict) and len(found) == 1:
            step, found = next(iter(found.items()))
            steps.append(step)
        if found == 0 and steps:
            return key, text, steps
    raise ScenarioError(
        f"{source}: not KEY=VALUE, such as driver.policy=root or "
        "/test.slice/memory.max=64M"
    )


def _split_interface_file(argument: str, source: str) -> tuple[str, str, str]:
    """Split ``/a/b/memory.max=VALUE`` into cgroup, file and value."""
    names = (*CGROUP_KEYS, "tasks")
    # A cgroup's name may hold "=", an interface file's does not.
    ends = [match.start() for match in re.finditer("=", argument)]
    ends.sort(key=lambda end: argument[:end].rpartition("/")[2] not in names)
    if not ends:
        raise ScenarioError(f"{source}: no =VALUE, such as /test.slice/memory.max=64M")
    path, _, name = argument[: ends[0]].rpartition("/")
    if name not in names:
        near = _nearest(name, names)
        raise ScenarioError(
            f"{source}: {shown(name)} is not a cgroup's interface file; "
            + (
                f"did you mean {path}/{near[0]}?"
                if near
                else f"one of {', '.join(CGROUP_KEYS)}"
            )
        )
    return path or "/", name, argument[ends[0] + 1 :].strip()
