"""The vectorised resolver against the same rules applied row by row."""

from fnmatch import fnmatchcase
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from replay.engine.setup import NOT_REPLAYED
from replay.scenario.bind import bind
from replay.scenario.binding.caught import Caught
from replay.scenario.keys.load import Scenario
from replay.trace.file.processes import is_kernel_thread
from support.traces import DISK, LOOP, make_trace

PATHS = {1: "/", 23: "/p/a", 59: "/p/b", 95: None}
NAMES = ["dd", "fio", "kworker/0:1", "java-1"]
LOOP1 = LOOP | 1
DEVICE = {LOOP: "7:0", LOOP1: "7:1", DISK: "254:32"}
VOLUME = {LOOP: "v1", LOOP1: "w1"}

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "queue_ns": st.integers(-1, 9),
            "issue_ns": st.integers(0, 9),
            "cgroup": st.sampled_from([0, *PATHS]),
            "pid": st.integers(5, 9),
            "device": st.sampled_from(list(DEVICE)),
            "op": st.sampled_from(["read", "write", "flush"]),
            "n_bios": st.integers(0, 1),
            "nbytes": st.integers(0, 2**32 - 1),
        }
    ),
    min_size=1,
    max_size=30,
)
HISTORY = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(NAMES)),
    max_size=3,
    unique_by=lambda entry: entry[0],
)
RULES = st.lists(
    st.fixed_dictionaries(
        {"cgroup": st.sampled_from(["/", "/p/a", "/x", "/x/y"])},
        optional={
            "pid": st.integers(4, 9),
            "comm": st.sampled_from(["dd", "*", "j*", "[df]*", "kworker*"]),
            "device": st.sampled_from([*DEVICE.values(), "1:1"]),
            "volume": st.sampled_from(["v*", "w1", "*"]),
        },
    ),
    max_size=4,
)
TASKS = st.lists(
    st.fixed_dictionaries(
        {"rss": st.integers(0, 9999)},
        optional={"pid": st.integers(4, 9), "comm": st.sampled_from(["dd", "*o*"])},
    ).filter(lambda task: len(task) > 1),
    max_size=3,
)


def name_at(history: list[tuple[int, str]], time: int) -> str:
    past = [entry for entry in sorted(history) if entry[0] <= time]
    return past[-1][1] if past else min(history, default=(0, ""))[1]


def rule_of(
    row: dict[str, Any], rules: list[Any], history: list[tuple[int, str]]
) -> int | None:
    """Which rule says whose request it is, by the words of the rules."""
    time = row["issue_ns"] if row["queue_ns"] < 0 else row["queue_ns"]
    if row["op"] == "flush" and not row["n_bios"]:
        return None
    for number, rule in enumerate(rules):
        name = VOLUME.get(row["device"])
        if (
            rule.get("pid") in (None, row["pid"])
            and fnmatchcase(name_at(history, time), rule.get("comm", "*"))
            and rule.get("device") in (None, DEVICE[row["device"]])
            and ("volume" not in rule or (name and fnmatchcase(name, rule["volume"])))
        ):
            return number
    return None


def issuer_of(
    row: dict[str, Any], rules: list[Any], history: list[tuple[int, str]]
) -> str:
    """Whose request it is."""
    rule = rule_of(row, rules, history)
    if rule is not None:
        return str(rules[rule]["cgroup"])
    return "/" if not row["cgroup"] else PATHS[row["cgroup"]] or f"id:{row['cgroup']}"


def caught_of(
    rows: list[dict[str, Any]],
    rules: list[Any],
    names: dict[int, list[tuple[int, str]]],
) -> list[tuple[int, int]]:
    """How many requests and bytes fell to each rule, to their id, and to the root."""
    loops = any(row["device"] != DISK for row in rows)
    counts = [(0, 0)] * (len(rules) + 2)
    for row in rows:
        if loops and row["device"] == DISK:
            continue
        place = rule_of(row, rules, names.get(row["pid"], []))
        if place is None:
            place = len(rules) + (row["cgroup"] == 0)
        requests, nbytes = counts[place]
        counts[place] = (requests + 1, nbytes + row["nbytes"])
    return counts


# the first example also pays for the imports
@settings(deadline=None)
@given(
    rows=ROWS,
    names=st.fixed_dictionaries(dict.fromkeys((5, 6, 7), HISTORY)),
    rules=RULES,
    listed=TASKS,
    limited=st.booleans(),
    batch_rows=st.integers(1, 9),
)
def test_resolver_does_to_all_rows_what_the_rules_say_of_each(
    rows: list[dict[str, Any]],
    names: dict[int, list[tuple[int, str]]],
    rules: list[Any],
    listed: list[Any],
    limited: bool,
    batch_rows: int,
) -> None:
    # GIVEN a trace, rules, and maybe tasks of /p/a and a limit on /p
    known = {id_: path for id_, path in PATHS.items() if path}
    trace = make_trace(
        rows, paths=known, names=names, batch_rows=batch_rows, volumes=VOLUME
    )
    cgroups = {
        "/p": {"memory": {"max": 4096 if limited else "max"}},
        "/p/a": {"tasks": listed},
    }
    binding = bind(Scenario.from_dict({"assign": rules, "cgroups": cgroups}), trace)
    resolved = [binding.resolver.resolve(batch) for batch in trace.rows]
    flat = [
        (
            binding.cgroup_names[issuer],
            device,
            None if part.task is None else int(part.task[position]),
        )
        for part in resolved
        for position, (issuer, device) in enumerate(
            zip(part.issuer, part.device_idx, strict=True)
        )
    ]
    if rules:
        # THEN every replayed row and byte is counted under the rule that caught it
        caught = Caught(binding.scenario.assign)
        for batch, part in zip(trace.rows, resolved, strict=True):
            caught.add(batch, part)
        report = caught.report()
        assert [
            (count["requests"], count["bytes"])
            for count in [*report["rules"], report["kept"], report["root"]]
        ] == caught_of(rows, rules, names)
    # THEN every row is whose the rules say, on the device that is replayed
    counted = [0] * len(binding.tasks)
    for row, (issuer, device, task) in zip(rows, flat, strict=True):
        history = names.get(row["pid"], [])
        assert issuer == issuer_of(row, rules, history)
        loops = {item["device"] for item in rows} - {DISK}
        if not loops:
            assert device == 0
        elif row["device"] == DISK:
            assert device == NOT_REPLAYED
        else:
            assert binding.device_names[device] == DEVICE[row["device"]]
        # AND is the task's that its process is
        if task is None:
            assert not listed
            assert not limited
            continue
        had = [name for _, name in history]
        fits = [
            number
            for number, entry in enumerate(listed)
            if entry.get("pid") in (None, row["pid"])
            and (
                "comm" not in entry
                or any(fnmatchcase(name, entry["comm"]) for name in had)
            )
        ]
        replayed = device != NOT_REPLAYED
        if not replayed or not issuer.startswith("/p/"):
            assert task == -1
            continue
        if issuer == "/p/a" and fits:
            own = [
                index
                for index, found in enumerate(binding.tasks)
                if binding.cgroup_names[found.cgroup] == "/p/a"
            ]
            assert task == own[fits[0]]
        elif not limited:
            assert task == -1
            continue
        else:
            kernel = not had or any(is_kernel_thread(name) for name in had)
            assert binding.tasks[task].kernel is kernel
            assert binding.cgroup_names[binding.tasks[task].cgroup] == issuer
        counted[task] += 1
    assert [found.n_requests for found in binding.tasks] == counted
