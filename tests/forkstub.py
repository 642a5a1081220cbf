"""Ask the fork server for a process, hand over these files, and end as it ends: `forkstub.py <socket> <what> ...`.

The modules below `socket` and `signal`, since those two and `json` take longer to import than all the rest.
"""

import _signal
import _socket
import marshal
import os
import sys

data = marshal.dumps({"what": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()})
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect(sys.argv[1])
files = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
server.sendmsg([len(data).to_bytes(4, "little")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
server.sendall(data)
for number in range(3):
    os.close(number)  # so that a pipe ends with the child
code = int.from_bytes(server.recv(2) or b"\1\0", "little", signed=True)
if code < 0:
    _signal.signal(-code, _signal.SIG_DFL) if -code != _signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
