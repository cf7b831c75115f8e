"""Kinds of values: how a key's value is checked, and how it is shown again."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct

from replay.scenario.keys.kernel import parse_kernel
from replay.scenario.keys.paths import check_path
from replay.scenario.keys.sizes import format_size, parse_size, rate_text
from replay.scenario.keys.values import DeviceLines, InstanceLines, WeightLines
from replay.trace.file.schema import device_number, device_text

INT64_MAX: Final = 2**63 - 1
UINT64_MAX: Final = 2**64 - 1

Number = TypeVar("Number", int, float)


class ValueKind(Struct, frozen=True):
    """A kind of value.

    Attributes
    ----------
    text : str
        What the documents say that it takes.
    parse : callable
        Checks what stands in the scenario and returns the value; raises ValueError
        with what is wrong.
    show : callable
        Turns the value into what JSON holds and `parse` takes.
    textual : bool
        The value is a text: ``--set`` passes what was typed and not what TOML would
        make of it (``driver.kernel=6.10`` is not a number).
    """

    text: str
    parse: Callable[[object], Any]
    show: Callable[[Any], object] = lambda value: value
    textual: bool = False


def shown(value: object) -> str:
    """Write a value into a message: on one line, not too long, text in quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = (
        json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value}"
    )
    return text if len(text) <= 60 else f"{text[:56]}..."


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a text; put it in quotes")
    if not value:
        raise ValueError("is empty")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not true or false")
    return value


def choice(*names: str) -> ValueKind:
    """Make the kind of a name out of a few.

    Parameters
    ----------
    *names : str
        What is modelled.
    """

    def parse(value: object) -> str:
        name = value if isinstance(value, str) else ""
        if name in names:
            return name
        raise ValueError(f"{shown(value)} is not one of {', '.join(names)}")

    return ValueKind(" | ".join(names), parse, textual=True)


def integer(least: int, most: int = INT64_MAX) -> ValueKind:
    """Make the kind of a whole number in a range, both ends included."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{shown(value)} is not a whole number")
        return _in_range(value, least, most)

    few = f", {least} to {most}" if most < 10**6 else ""
    return ValueKind(f"integer{few}", parse)


def number(least: float, most: float) -> ValueKind:
    """Make the kind of a number in a range, both ends included."""

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{shown(value)} is not a number")
        if math.isnan(value):
            raise ValueError("nan is not a number")
        return float(_in_range(value, least, most))

    return ValueKind(f"number, {least} to {most}", parse)


def _in_range(value: Number, least: float, most: float) -> Number:
    if value < least:
        raise ValueError(f"{shown(value)} is less than {least}")
    if value > most:
        raise ValueError(f"{shown(value)} is more than {most}")
    return value


def size(*, unlimited: bool, least: int = 0, most: int = UINT64_MAX) -> ValueKind:
    """Make the kind of a size as the kernel parses it.

    Parameters
    ----------
    unlimited : bool
        Whether ``max`` is one.
    least, most : int
        Bytes, both included.
    """

    def parse(value: object) -> int | None:
        if value == "max" and unlimited:
            return None
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"{shown(value)} is not a size such as 65536, 64K, 64M")
        try:
            nbytes = value if isinstance(value, int) else parse_size(value)
        except ValueError as error:
            also = " or max" if unlimited and "such as" in str(error) else ""
            raise ValueError(f"{shown(value)} {error}{also}") from None
        return _in_range(nbytes, least, most)

    text = "size or max" if unlimited else "size"
    return ValueKind(text, parse, format_size, textual=True)


def _kernel(value: object) -> object:
    text = _text(value)
    try:
        return parse_kernel(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} {error}") from None


def _path(value: object) -> str:
    text = _text(value)
    try:
        return check_path(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} {error}") from None


def _path_or_none(value: object) -> str:
    return "none" if value == "none" else _path(value)


def _device(value: object) -> int:
    text = _text(value)
    try:
        return device_number(text)
    except ValueError as error:
        raise ValueError(f"{error}, for example 7:0") from None


def _devices(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple):
        raise ValueError(f'{shown(value)} is not a list such as ["7:0"]')
    if not value:
        raise ValueError("names no device")
    return tuple(sorted({_device(item) for item in value}))


def _rows(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list of row numbers")
    return tuple(sorted({ROW.parse(item) for item in value}))


def _controllers(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f'{shown(value)} is not a list such as ["memory", "io"]')
    return tuple(sorted({CONTROLLER.parse(item) for item in value}))


def _flag(value: object) -> bool:
    if value not in (0, 1, "0", "1") or isinstance(value, float):
        raise ValueError(f"{shown(value)} is not 0 or 1")
    return value in (1, "1")


def _count(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,19}", text) is None or int(text) == 0:
        size = re.fullmatch(r"([1-9][0-9]{0,5})([KMGT])i?B?", text)
        # the kernel's sscanf would read 4M as 4
        digits = (
            f": write {int(size[1]) << 10 * (1 + 'KMGT'.index(size[2]))}"
            if size
            else ""
        )
        raise ValueError(f"is not a whole number of at least 1, in digits{digits}")
    return text


def _whole(text: str) -> str:
    # a latency target of 0 is none: the kernel shows it where a percentile is 0
    return text if text == "0" else _count(text)


def _rate(text: str) -> str:
    return rate_text(text) if text[-1:].isalpha() else _count(text)


def _or_max(parse: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: text if text == "max" else parse(text)


def _decimal(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text) is None:
        raise ValueError("is not a number")
    return text


def _percent(text: str) -> str:
    if float(_decimal(text)) > 100:
        raise ValueError("is more than 100")
    return text


def _latency(text: str) -> str:
    if int(_whole(text)) >= 1 << 32:
        raise ValueError("is more than 4294967295")
    return text


def _target(text: str) -> str:
    if text != "max" and int(_whole(text)) > 10**12:
        raise ValueError("is more than 10^12 us")
    return text


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"is not one of {', '.join(names)}")
        return text

    return parse


def _pairs(lines: object) -> list[tuple[str, str]]:
    """Split an interface file, or a table, into (first word, rest) of each line."""
    if isinstance(lines, Mapping):
        pairs = []
        for name, rest in lines.items():
            if isinstance(rest, Mapping):
                rest = " ".join(f"{key}={value}" for key, value in rest.items())
            if isinstance(rest, bool) or not isinstance(rest, str | int):
                raise ValueError(f"{name}: {shown(rest)} is not a text")
            pairs.append((str(name), str(rest)))
        return pairs
    if not isinstance(lines, str):
        raise ValueError(f"{shown(lines)} is not a text; put it in quotes")
    words = [line.split(None, 1) for line in lines.splitlines() if line.strip()]
    return [(line[0], line[1] if len(line) == 2 else "") for line in words]


def device_lines(example: str, **settings: Callable[[str], str]) -> ValueKind:
    """Make the kind of an interface file with a line for each device.

    Parameters
    ----------
    example : str
        Shown to who got it wrong.
    **settings : callable
        Each setting's name, and what checks its text and returns it.
    """

    def parse(value: object) -> DeviceLines:
        found: dict[int, dict[str, str]] = {}
        for name, rest in _pairs(value):
            try:
                device = found.setdefault(_device(name), {})
            except ValueError:
                raise ValueError(
                    f"{shown(name)} is not MAJOR:MINOR, for example {shown(example)}"
                ) from None
            for word in rest.split():
                key, equals, text = word.partition("=")
                if key not in settings or not equals:
                    raise ValueError(
                        f"{shown(word)} is not one of {', '.join(settings)} with "
                        f"a value, for example {shown(example)}"
                    )
                try:
                    device[key] = settings[key](text)
                except ValueError as error:
                    raise ValueError(f"{shown(word)}: {shown(text)} {error}") from None
        return tuple((device, tuple(found[device].items())) for device in sorted(found))

    def show(value: DeviceLines) -> object:
        return {
            device_text(device): " ".join(f"{key}={text}" for key, text in pairs)
            for device, pairs in value
        }

    return ValueKind(f'text such as "{example}", or a table by device', parse, show)


def _weights(value: object, most: int) -> WeightLines:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found: dict[int | None, int] = {None: 100}
    for name, rest in _pairs(value):
        if not rest:
            name, rest = "default", name
        if rest == "default":
            # a device's own weight is taken back
            found.pop(_device(name), None)
            continue
        if re.fullmatch(r"[0-9]{1,5}", rest) is None or not 1 <= int(rest) <= most:
            raise ValueError(f"{shown(rest)} is not a weight from 1 to {most}")
        found[None if name == "default" else _device(name)] = int(rest)
    order = sorted(found, key=lambda device: -1 if device is None else device)
    return tuple((device, found[device]) for device in order)


def _instances(value: object) -> InstanceLines:
    """Check a cgroup for all devices, or one for each."""
    if not isinstance(value, Mapping):
        return ((None, _path(value)),)
    if not value:
        raise ValueError("names no device")
    found: dict[int, str] = {}
    for name, path in value.items():
        try:
            found[_device(name)] = _path(path)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return tuple(sorted(found.items()))


def _show_instances(value: InstanceLines) -> object:
    return {
        device_text(device): path for device, path in value if device is not None
    } or value[0][1]


def _show_weights(value: WeightLines) -> object:
    if len(value) == 1:
        return value[0][1]
    return {
        "default" if device is None else device_text(device): weight
        for device, weight in value
    }


TEXT: Final = ValueKind("text", _text, textual=True)
BOOLEAN: Final = ValueKind("true | false", _boolean)
KERNEL: Final = ValueKind("version", _kernel, str, textual=True)
PATH: Final = ValueKind("path of a cgroup", _path, textual=True)
PATH_OR_NONE: Final = ValueKind(
    "path of a cgroup, or none", _path_or_none, textual=True
)
DEVICE: Final = ValueKind("MAJOR:MINOR", _device, device_text, textual=True)
DEVICES: Final = ValueKind(
    "list of MAJOR:MINOR",
    _devices,
    lambda value: [device_text(device) for device in value],
)
ROW: Final = integer(0)
ROWS: Final = ValueKind("list of integers", _rows, list)
CONTROLLER: Final = choice("memory", "io")
CONTROLLERS: Final = ValueKind("list of memory, io", _controllers, list)
FLAG: Final = ValueKind("0 | 1", _flag, int)
IO_MAX: Final = device_lines(
    "254:32 wbps=4M riops=max",
    rbps=_or_max(_rate),
    wbps=_or_max(_rate),
    riops=_or_max(_count),
    wiops=_or_max(_count),
)
IO_LATENCY: Final = device_lines("254:32 target=75000", target=_target)
IO_COST_MODEL: Final = device_lines(
    "254:32 ctrl=user model=linear rbps=2000000000 rseqiops=50000 rrandiops=9000",
    ctrl=_one_of("auto", "user"),
    model=_one_of("linear"),
    rbps=_whole,
    rseqiops=_whole,
    rrandiops=_whole,
    wbps=_whole,
    wseqiops=_whole,
    wrandiops=_whole,
)
_IO_COST_QOS: Final = device_lines(
    "254:32 enable=1 ctrl=user rpct=95.00 rlat=75000 min=50.00 max=150.00",
    enable=_one_of("0", "1"),
    ctrl=_one_of("auto", "user"),
    rpct=_percent,
    rlat=_latency,
    wpct=_percent,
    wlat=_latency,
    min=_decimal,
    max=_decimal,
)
INSTANCE: Final = ValueKind(
    'path of a cgroup, or a table by device such as { "7:0" = "/a" }',
    _instances,
    _show_instances,
)


def _iocost_qos(value: object) -> DeviceLines:
    lines: DeviceLines = _IO_COST_QOS.parse(value)
    for device, pairs in lines:
        found = dict(pairs)
        least, most = found.get("min", "1"), found.get("max", "10000")
        if float(least) > float(most):
            raise ValueError(
                f"{device_text(device)}: min={least} is more than max={most}"
            )
    return lines


IO_COST_QOS: Final = ValueKind(_IO_COST_QOS.text, _iocost_qos, _IO_COST_QOS.show)


def _weight(most: int) -> ValueKind:
    text = f'integer, 1 to {most}, or text such as "default 100"'
    return ValueKind(text, lambda value: _weights(value, most), _show_weights)


IO_WEIGHT: Final = _weight(10_000)
IO_BFQ_WEIGHT: Final = _weight(1000)
