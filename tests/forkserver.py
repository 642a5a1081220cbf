"""Start child processes of the tests by a fork from one that has imported the libraries already: 0.1 s instead of 5.

`COMMAND` stands where a test would put `python -m lora_gui.worker`: it is a process like any other, with its output,
its exit code and its death. It asks the server for a fork, hands over its files and waits for the end. Where either of
the two dies, the other one does. What the real start does is left to the tests that start `python -m lora_gui.worker`.
"""

import array
import contextlib
import gc
import importlib
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACE = "LORA_STUDIO_FORKSERVER"  # the variable that holds the socket's path
IMPORTS = (
    "torch", "numpy", "PIL.PngImagePlugin", "safetensors.torch", "diffusers", "transformers", "peft", "accelerate",
    "wakepy", "psutil", "pydantic", "tests.tiny", "lora_gui.engine.convert", "lora_gui.engine.draw.drawer",
    "lora_gui.engine.memory.plan", "lora_gui.engine.train.loop", "lora_gui.studio.sandbox.picture_decode",
    "lora_gui.families.stable_diffusion_1.model",
)  # fmt: skip
HEADER = 4  # bytes that hold the length of a request


def available() -> bool:
    """Whether processes can be forked here."""
    return hasattr(os, "fork") and hasattr(socket, "AF_UNIX")


def command(*what: str) -> tuple[str, ...]:
    """As `python *what` would be, such as `-m lora_gui.worker`, `-c` or a script, but forked where that can be done."""
    if PLACE not in os.environ:
        return (sys.executable, *what)
    return (sys.executable, "-S", "-E", str(Path(__file__).with_name("forkstub.py")), os.environ[PLACE], *what)


def used():
    """From now on children of the app are forked: those that train, draw and plan, and those that decode pictures."""
    from lora_gui.studio.sandbox import picture_sandbox
    from lora_gui.studio.tasks import process

    process.COMMAND = command("-m", "lora_gui.worker")
    picture_sandbox.COMMAND = command("-m", "lora_gui.studio.sandbox.picture_sandbox")


@contextlib.contextmanager
def running(environment: dict[str, str] | None = None):
    """A server for all processes that are started meanwhile; it imports nothing until it is asked for something.

    `environment` is its own, by which what it imports may differ.
    """
    place, before = str(Path(tempfile.mkdtemp(prefix="fork-")) / "s"), os.environ.get(PLACE)
    command = [sys.executable, "-m", "tests.forkserver", place]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, env=environment)
    os.environ[PLACE] = place
    try:
        yield
    finally:
        del os.environ[PLACE]
        if before:
            os.environ[PLACE] = before
        server.communicate()  # it ends with its input, however that ends, and its children and its folder with it


class Server:
    """Forks a child for each connection and tells it how the child ended; one thread, which only waits."""

    def __init__(self, place: str) -> None:
        self.place = Path(place)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(place)
        self.listener.listen(64)
        self.children: dict[int, socket.socket] = {}  # process number to who waits for it
        self.ready = False
        self.wake, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until the input ends."""
        while True:
            waiting = [0, self.wake, self.listener, *self.children.values()]
            for one in select.select(waiting, [], [])[0]:
                if one == 0:
                    return self.end()
                if one == self.wake:
                    os.read(self.wake, 1000)
                    self.bury()
                elif one is self.listener:
                    self.fork(self.listener.accept()[0])
                else:
                    self.abandoned(one)

    def fork(self, caller: socket.socket) -> None:
        request, descriptors = received(caller)
        if not request:
            caller.close()
            return
        self.prepare()
        pid = os.fork()
        if pid == 0:
            for one in (self.listener, *self.children.values(), caller):
                one.close()
            os.close(0)
            os.close(self.wake)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            become(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children[pid] = caller

    def prepare(self) -> None:
        """Import what takes long, once, as the worker does; what is here then is shared with every child."""
        if not self.ready:
            os.environ.update(importlib.import_module("lora_gui.worker").environment.OF_CHILDREN)
            del sys.modules["lora_gui.worker"]  # it will be run, not imported
            lean = importlib.import_module("lora_gui.lean")
            lean.start()
            with lean.importing():
                for name in IMPORTS:
                    importlib.import_module(name)
            mapping = importlib.import_module("transformers.conversion_mapping")
            mapping.get_checkpoint_conversion_mapping("")  # made once, for all
            tqdm = sys.modules["tqdm"].tqdm
            tqdm.set_lock(threading.RLock())  # its own lock is shared with the children; a killed one never lets go
            gc.collect()
            gc.freeze()
            assert threading.active_count() == 1, threading.enumerate()
            self.ready = True

    def bury(self) -> None:
        """Tell of every child that has ended how it did."""
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            caller = self.children.pop(pid)
            with contextlib.suppress(OSError), caller:
                caller.sendall(os.waitstatus_to_exitcode(status).to_bytes(2, "little", signed=True))

    def abandoned(self, caller: socket.socket) -> None:
        """Whoever waited was killed, which is meant for the child; `bury` hears of its end."""
        for pid, waiting in self.children.items():
            if waiting is caller:
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.place.parent, ignore_errors=True)


def received(caller: socket.socket) -> tuple[dict | None, list[int]]:
    """The request and the three files it came with; nothing where its sender was killed before it had said it."""
    descriptors = array.array("i")
    head, ancillary, _, _ = caller.recvmsg(HEADER, socket.CMSG_SPACE(3 * descriptors.itemsize))
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    left, data = int.from_bytes(head, "little"), b""
    while len(data) < left and (piece := caller.recv(left - len(data))):
        data += piece
    if not 0 < left == len(data):
        for descriptor in descriptors:
            os.close(descriptor)
        return None, []
    return marshal.loads(data), list(descriptors)


def become(request: dict, descriptors: list[int]) -> None:
    """Be the process that was asked for, to its end."""
    code = 1
    try:
        os.setsid()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        for descriptor in descriptors:
            if descriptor > 2:
                os.close(descriptor)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        streams = (open(n, "rw"[n > 0], encoding="utf-8", buffering=1, closefd=False) for n in range(3))  # noqa: SIM115
        sys.stdin, sys.stdout, sys.stderr = streams
        code = ran(request["what"])
    except Exception:  # noqa: BLE001  as Python does with a process of its own
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ran(what: list[str]) -> int:
    """The exit code of `python *what`."""
    try:
        if what[0] == "-m":
            sys.argv = what[1:]
            runpy.run_module(what[1], run_name="__main__", alter_sys=True)
        elif what[0] == "-c":
            sys.argv = ["-c", *what[2:]]
            exec(what[1], {"__name__": "__main__"})  # noqa: S102  as Python does
        else:
            sys.argv = what
            runpy.run_path(what[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0


if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # a process with threads cannot be forked
    Server(sys.argv[1]).serve()
