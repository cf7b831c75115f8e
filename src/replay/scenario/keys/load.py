"""A scenario: everything that the trace does not say, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from replay.scenario.keys.given import Given, GivenScenario, Origin, flatten, read_toml
from replay.scenario.keys.kinds import shown
from replay.scenario.keys.paths import ROOT, check_path, parent_path
from replay.scenario.keys.table import (
    ASSIGN_KEYS,
    CGROUP_KEYS,
    SECTION_KEYS,
    TASK_KEYS,
    Key,
)
from replay.scenario.keys.values import (
    ArrivalsValues,
    AssignValues,
    BackingValues,
    CgroupValues,
    DiskValues,
    DriverValues,
    MachineValues,
    ServiceValues,
    TaskValues,
    TraceValues,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that the trace does not say; frozen and valid once it exists.

    ``Scenario()`` is the default one; `load` reads a file, `from_dict` takes the same
    as a mapping.

    Attributes
    ----------
    source : str
        Where it comes from, for messages.
    trace, driver, arrivals, backing, service, disk, machine
        The sections; `keys` says what each field means.
    assign : tuple of AssignValues
        Rules in order.
    cgroups : tuple of CgroupValues
        In order of their paths.
    """

    source: str = field(default="", compare=False)
    trace: TraceValues = field(default_factory=lambda: Scenario.load().trace)
    driver: DriverValues = field(default_factory=lambda: Scenario.load().driver)
    arrivals: ArrivalsValues = field(default_factory=lambda: Scenario.load().arrivals)
    backing: BackingValues = field(default_factory=lambda: Scenario.load().backing)
    service: ServiceValues = field(default_factory=lambda: Scenario.load().service)
    disk: DiskValues = field(default_factory=lambda: Scenario.load().disk)
    machine: MachineValues = field(default_factory=lambda: Scenario.load().machine)
    assign: tuple[AssignValues, ...] = ()
    cgroups: tuple[CgroupValues, ...] = ()

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        overrides: Sequence[str] = (),
        assign: str | Path | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> Self:
        """Read a scenario file.

        Parameters
        ----------
        path : str, Path or None
            TOML; None is the default scenario.
        overrides : sequence of str
            ``KEY=VALUE``, as the command line's ``--set`` takes it: a dotted key, or a
            cgroup's interface file if it begins with ``/``. Later ones win.
        assign : str, Path or None
            TOML with nothing but ``[[assign]]``: rules that stand before the
            scenario's own.
        facts : mapping or None
            What the recording says of itself: holds where the scenario says nothing.

        Returns
        -------
        Scenario

        Raises
        ------
        ScenarioError
            The file cannot be read or is not TOML; a key is not known or a value not
            valid.
        """
        if path is None:
            return cls.from_dict({}, overrides=overrides, assign=assign, facts=facts)
        return cls.from_dict(
            read_toml(path),
            source=str(path),
            overrides=overrides,
            assign=assign,
            facts=facts,
        )

    @classmethod
    def from_dict(
        cls,
        mapping: Mapping[str, object],
        *,
        source: str = "scenario",
        overrides: Sequence[str] = (),
        assign: str | Path | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> Self:
        """Check a scenario that is a mapping already.

        Parameters
        ----------
        mapping : mapping
            As TOML would be read; None stands for a key that is not given.
        source : str
            What messages call it.
        overrides : sequence of str
        assign : str, Path or None
            As in `load`.
        facts : mapping or None
            What the recording says of itself: holds where the scenario says nothing.

        Returns
        -------
        Scenario

        Raises
        ------
        ScenarioError
            A key is not known or a value not valid.
        """
        given = GivenScenario()
        given.add(facts or {}, Origin("the recording"))
        given.add(mapping, Origin(source))
        for argument in overrides:
            given.set(argument)
        if assign is not None:
            given.put_first(read_toml(assign), Origin(str(assign)))
        values = _values(given.keys, SECTION_KEYS)
        cgroups = [_cgroup(path, entry) for path, entry in given.cgroups.items()]
        _check_ids(given)
        _check_controllers(given, {cgroup.path: cgroup for cgroup in cgroups})
        return cls(
            source=source,
            trace=_section(TraceValues, "trace.", values),
            driver=_section(DriverValues, "driver.", values),
            arrivals=_section(ArrivalsValues, "arrivals.", values),
            backing=_section(BackingValues, "backing.", values),
            service=_section(ServiceValues, "service.", values),
            disk=_section(DiskValues, "disk.", values),
            machine=_section(MachineValues, "machine.", values),
            assign=tuple(rule for entry in given.assign for rule in _assign(entry)),
            cgroups=tuple(sorted(cgroups, key=lambda cgroup: cgroup.path)),
        )

    def effective(self) -> dict[str, object]:
        """Return every key with its value.

        Returns
        -------
        dict
            Nested as in TOML, of what JSON holds; None where the trace decides.
            `from_dict` makes the same scenario of it.
        """
        nested: dict[str, object] = {}
        for name, key in SECTION_KEYS.items():
            table: Any = nested
            *sections, last = name.split(".")
            for step in sections:
                table = table.setdefault(step, {})
            table[last] = _show(key, key_value(self, name))
        nested["assign"] = [_shown_fields(rule, ASSIGN_KEYS) for rule in self.assign]
        nested["cgroups"] = {
            cgroup.path: _shown_fields(cgroup, CGROUP_KEYS)
            | {"tasks": [_shown_fields(task, TASK_KEYS) for task in cgroup.tasks]}
            for cgroup in self.cgroups
        }
        return nested


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What scenarios are made of that differ in their overrides alone.

    Attributes
    ----------
    given : mapping, path or None
        A scenario, or its file; None is the default one.
    assign : path or None
        TOML with nothing but ``[[assign]]``: rules that stand before the scenario's.
    facts : mapping
        What the recording says of itself: holds where the scenario says nothing.
    source : str
        What messages call a mapping.
    """

    given: Mapping[str, object] | str | Path | None = None
    assign: str | Path | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    source: str = "scenario"

    def scenario(self, overrides: Sequence[str] = ()) -> Scenario:
        """Make a scenario.

        Parameters
        ----------
        overrides : sequence of str
            ``KEY=VALUE``, as on the command line.

        Returns
        -------
        Scenario

        Raises
        ------
        ScenarioError
            As `Scenario.load`.
        """
        if self.given is None or isinstance(self.given, str | Path):
            return Scenario.load(
                self.given, overrides=overrides, assign=self.assign, facts=self.facts
            )
        return Scenario.from_dict(
            self.given,
            source=self.source,
            overrides=overrides,
            assign=self.assign,
            facts=self.facts,
        )


def _values(given: Mapping[str, Given], keys: Mapping[str, Key]) -> dict[str, Any]:
    """Check what was given and fill in the defaults."""
    return {
        name: given[name].parse(key)
        if name in given and given[name].value is not None
        else key.default_value()
        for name, key in keys.items()
    }


def _section(cls: Any, prefix: str, values: Mapping[str, Any]) -> Any:
    """Make a section's values of the keys below `prefix`."""
    return cls(
        **{
            name: _section(type_, f"{prefix}{name}.", values)
            if isinstance(type_, type(Struct))
            else values[prefix + name]
            for name, type_ in cls.__annotations__.items()
        }
    )


def key_value(
    values: Scenario | CgroupValues | AssignValues | TaskValues, name: str
) -> Any:
    """Return the value of a key.

    Parameters
    ----------
    values : Scenario, CgroupValues, AssignValues or TaskValues
    name : str
        The key's name in its group: ``driver.policy``, ``memory.max``.
    """
    if not isinstance(values, Scenario):
        return getattr(values, _field(name))
    value: Any = values
    for step in name.split("."):
        value = getattr(value, step)
    return value


def _field(name: str) -> str:
    """Return the field of a key of a cgroup: ``memory.max`` is ``memory_max``."""
    return name.replace(".", "_")


def _assign(given: Given) -> list[AssignValues]:
    """Check the list of rules."""
    rules = []
    for position, entry in enumerate(_list_of_tables(given)):
        path = f"assign[{position}]"
        table = flatten(entry, ASSIGN_KEYS, f"{path}.", given.origin)
        values = _values(table, ASSIGN_KEYS)
        if values["cgroup"] is None:
            raise given.origin.error(path, 'no cgroup, such as cgroup = "/a"')
        rules.append(AssignValues(**values))
    return rules


def _list_of_tables(given: Given) -> list[Mapping[str, object]]:
    if not isinstance(given.value, list | tuple):
        raise given.error(f"{shown(given.value)} stands where a list of tables belongs")
    for entry in given.value:
        if not isinstance(entry, Mapping):
            raise given.error(f"{shown(entry)} stands where a table belongs")
    return list(given.value)


def _cgroup(path: str, given: Mapping[str, Given]) -> CgroupValues:
    """Check one cgroup."""
    first = next(iter(given.values()), None)
    origin = first.origin if first else Origin("scenario")
    try:
        check_path(path)
    except ValueError as error:
        hint = f'; did you mean "/{path}"?' if not path.startswith(ROOT) else ""
        raise origin.error(f'cgroups."{path}"', f"the path {error}{hint}") from None
    values = _values(given, CGROUP_KEYS)
    for name, entry in given.items():
        key = CGROUP_KEYS.get(name)
        # A default says nothing: it may stand where the kernel has no such file.
        if key is None or entry.value is None or values[name] == key.default_value():
            continue
        if key.root is not None and key.root != (path == ROOT):
            instead = "; see machine.memory" if name == "memory.max" else ""
            raise entry.error(
                'only "/" has it' if key.root else f'"/" has none{instead}'
            )
    tasks = given.get("tasks")
    return CgroupValues(
        path=path,
        tasks=tuple(_tasks(tasks)) if tasks and tasks.value is not None else (),
        **{_field(name): value for name, value in values.items()},
    )


def _tasks(given: Given) -> list[TaskValues]:
    """Check a cgroup's tasks."""
    tasks = []
    for position, entry in enumerate(_list_of_tables(given)):
        path = f"{given.path}[{position}]"
        table = flatten(entry, TASK_KEYS, f"{path}.", given.origin)
        values = _values(table, TASK_KEYS)
        if values["comm"] is None and values["pid"] is None:
            raise given.origin.error(path, 'no comm or pid, such as comm = "dd"')
        tasks.append(TaskValues(**values))
    return tasks


def _check_ids(given: GivenScenario) -> None:
    """Refuse one id for two cgroups."""
    owner: dict[object, str] = {}
    for path in sorted(given.cgroups):
        entry = given.cgroups[path].get("id")
        if entry is None or entry.value is None:
            continue
        other = owner.setdefault(entry.parse(CGROUP_KEYS["id"]), path)
        if other != path:
            raise entry.error(f"{entry.value} is the id of {other} already")


def _check_controllers(
    given: GivenScenario, cgroups: Mapping[str, CgroupValues]
) -> None:
    """Refuse what needs a controller that is not enabled on the way from the root."""
    for path, entries in given.cgroups.items():
        inherited = enabled_controllers(parent_path(path), cgroups)
        enabled = enabled_controllers(path, cgroups)
        for name in sorted(enabled - inherited):
            reason = f"{name} is not enabled for {parent_path(path)}"
            raise entries["controllers"].error(reason)
        for name, entry in entries.items():
            key = CGROUP_KEYS.get(name)
            if key is None or not key.controller or key.controller in enabled:
                continue
            if key_value(cgroups[path], name) != key.default_value():
                raise entry.error(f"the {key.controller} controller is not enabled")


def enabled_controllers(
    path: str, cgroups: Mapping[str, CgroupValues]
) -> frozenset[str]:
    """Find the controllers that are enabled for a cgroup.

    Parameters
    ----------
    path : str
    cgroups : mapping of str to CgroupValues
        By path.

    Returns
    -------
    frozenset of str
        Its own ``controllers``, else those of the nearest ancestor that names some,
        else both.
    """
    while path != ROOT:
        cgroup = cgroups.get(path)
        if cgroup is not None and cgroup.controllers is not None:
            return frozenset(cgroup.controllers)
        path = parent_path(path)
    return frozenset(("memory", "io"))


def _show(key: Key, value: Any) -> object:
    """Turn a value into what JSON holds.

    None is ``max`` for a key that has a default, else nothing was given.
    """
    return None if value is None and key.default is None else key.kind.show(value)


def _shown_fields(
    values: CgroupValues | AssignValues | TaskValues, keys: Mapping[str, Key]
) -> dict[str, object]:
    return {name: _show(key, key_value(values, name)) for name, key in keys.items()}
