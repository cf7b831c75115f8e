"""Which controllers a cgroup has: for one path, and for all of a tree at once."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from replay.scenario.binding.tree import build_tree
from replay.scenario.keys.load import Scenario, enabled_controllers
from replay.scenario.setup.make import _enabled

PATHS = [f"/{a}{b}{c}" for a, b, c in product("pq", ("", "/r", "/s"), ("", "/t"))]
SETS = st.sampled_from([None, [], ["io"], ["memory"], ["io", "memory"]])


@given(
    named=st.dictionaries(st.sampled_from(PATHS), SETS),
    seen=st.sets(st.sampled_from(PATHS)),
)
def test_a_tree_has_the_controllers_of_each_of_its_paths(
    named: dict[str, list[str] | None], seen: set[str]
) -> None:
    # GIVEN cgroups of which some say what is enabled, some nothing, some are not named
    tables: dict[str, dict[str, list[str]]] = {}
    for path in sorted(named):
        above = [one for one in tables if path.startswith(f"{one}/") and tables[one]]
        has = tables[max(above, key=len)]["controllers"] if above else ["io", "memory"]
        drawn = named[path]
        # what is not enabled above cannot be enabled
        tables[path] = (
            {}
            if drawn is None
            else {"controllers": [one for one in drawn if one in has]}
        )
    scenario = Scenario.from_dict({"cgroups": tables})
    tree = build_tree([*named, *seen], unknown_ids=[77])
    cgroups = {one.path: one for one in scenario.cgroups}
    for controller in ("memory", "io"):
        found = dict(zip(tree.names, _enabled(scenario, tree, controller), strict=True))
        # THEN each has what its path has; an id without a path, what the root has
        for path, enabled in found.items():
            path = path if path.startswith("/") else "/"
            assert enabled == (controller in enabled_controllers(path, cgroups)), path
