"""The server that forks the children of the tests lives on whatever becomes of those who ask it."""

import os
import socket

import pytest

from tests import forkserver

pytestmark = pytest.mark.skipif(not forkserver.available(), reason="processes are forked here")


@pytest.mark.parametrize("said", [b"", b"\x09\0\0\0", b"\x09\0\0\0half"])
def test_who_is_killed_before_it_has_said_what_it_wants_gets_no_child(said):
    mine, theirs = socket.socketpair()
    read, write = os.pipe()
    with theirs:
        with mine:
            socket.send_fds(mine, [said[:4]], [write] * 3) if said else None
            mine.sendall(said[4:])
        os.close(write)
        assert forkserver.received(theirs) == (None, [])
    assert os.read(read, 1) == b"", "whoever reads what a child writes waits for ever where its files stay open"
    os.close(read)
