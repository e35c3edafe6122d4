"""The address of a Ray cluster, as people write it."""

from __future__ import annotations

import socket

import pytest

from slalom.errors import InputError
from slalom.racing.ray import _check_address


@pytest.mark.parametrize(("family", "host"), [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_where_somebody_answers(family: str, host: str, scheme: str) -> None:
    try:
        server = socket.create_server((host, 0), family=getattr(socket, family))
    except OSError:
        pytest.skip(f"this machine has no {family}")
    with server:
        port = server.getsockname()[1]
        written = f"[{host}]" if ":" in host else host
        _check_address(f"{scheme}{written}:{port}")
    with pytest.raises(InputError, match="there is no Ray cluster at"):
        _check_address(f"{scheme}{written}:{port}")


NONE = ["here", "::1:6379", "[::1]", "[::1:6379", "h:", "h:x", "h:99999", "h:-1", ":6379"]


@pytest.mark.parametrize("address", ["", "h:1 2", *NONE])
def test_what_is_none_is_one_sentence(address: str) -> None:
    with pytest.raises(InputError, match=r"it must be HOST:PORT, as in 10.0.0.1:6379 or \[::1\]"):
        _check_address(address)


@pytest.mark.parametrize("address", [None, "auto", "local"])
def test_ray_finds_these_itself(address: str | None) -> None:
    _check_address(address)
