"""What paths of cgroups say of who runs there."""

import pytest

from replay.scenario.writing.cgroups import scenario_toml
from replay.scenario.writing.found_tree import FoundCgroup
from replay.scenario.writing.named import who_runs

ID = "0123456789ab" + "c" * 52
UID = "11111111_2222_3333_4444_555555555555"


@pytest.mark.parametrize(
    ("path", "who"),
    [
        (f"/system.slice/docker-{ID}.scope", "container 0123456789ab of Docker"),
        (f"/docker/{ID}", "container 0123456789ab"),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID}.slice",
            "pod 11111111-2222-3333-4444-555555555555",
        ),
        (f"/a/cri-containerd-{ID}.scope", "container 0123456789ab of containerd"),
        (f"/kubepods/besteffort/pod{UID.replace('_', '-')}", f"pod {UID}"),
        (f"/machine.slice/libpod-{ID}.scope", "container 0123456789ab of Podman"),
        ("/lxc.payload.web_1", "container web_1 of LXC"),
        (r"/machine.slice/machine-qemu\x2d1\x2dmy\x2dvm.scope", "machine my-vm"),
        ("/user.slice/user-1000.slice", "user 1000"),
        ("/system.slice/nginx.service", None),
        ("/docker/0123456789ab", None),
        ("/", None),
    ],
)
def test_last_part_tells(path: str, who: str | None) -> None:
    if who is not None and who.startswith("pod"):
        who = who.replace("_", "-")
    assert who_runs(path) == who


def test_scenario_says_it_in_a_comment() -> None:
    path = "/user.slice/user-7.slice"
    text = scenario_toml({path: FoundCgroup(path=path)}, "t")
    assert f'[cgroups."{path}"]  # user 7\n' in text
