"""One virtual machine for all tests of this folder; each boots it for its script."""

import pytest

from lab.virtual_machine import VirtualMachine, why_not


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> VirtualMachine:
    """The kernel, an initrd and a root image."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return VirtualMachine.build(tmp_path_factory.mktemp("lab"))
