"""A worker without a store's keys is named with its cause (docs/batch.md)."""

import os
import socket

import pytest

from replay.dataset.stores import missing_keys

SAID = (
    "s3://fleet/a: cannot be read: When getting information for key 'a' in bucket "
    "'fleet': AWS Error NETWORK_CONNECTION: curlCode: 6, Couldn't resolve host name"
)


def test_a_worker_without_keys_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN an environment without keys, WHEN a store is not reached
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    told = missing_keys(SAID)
    # THEN the host, the process and what it lacks are told
    assert f"on {socket.gethostname()}, process {os.getpid()}" in told
    assert "none of AWS_ACCESS_KEY_ID, AWS_PROFILE" in told


def test_with_keys_or_for_another_failure_nothing_is_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    assert missing_keys(SAID) == ""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    assert missing_keys("a.csv: cannot be read: No such file") == ""
    assert missing_keys("s3://fleet/a: is damaged at byte 4") == ""
