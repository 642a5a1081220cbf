"""What this app's processes are given: they stay offline, no proxy is between them and this computer, streams are open.

Only a child that fetches what the user asked for is given the environment as it was before.
"""

import json
import os
import sys

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "DIFFUSERS_DISABLE_REMOTE_CODE": "1",
}
OFFLINE = QUIET | {
    "HF_HUB_OFFLINE": "1",
    "NO_PROXY": "*",  # not only this computer: then a proxy of the system's settings is not looked up either
    "no_proxy": "*",
}
OF_CHILDREN = {
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "USE_TORCH": "1",  # who works with TensorFlow, too, has told diffusers to do without
    "USE_TF": "0",
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",  # what a Mac's card cannot do is done by its processor
    # Threads that wait by spinning take the processor from the window; those that sleep at once make a step longer.
    "GOMP_SPINCOUNT": "10000",  # some tenths of a millisecond
    "KMP_BLOCKTIME": "1",  # ms, the same for Intel's threads, which torch has on Windows
}
ONLINE = ("download", "bring", "sign_in", "upload")  # commands of the worker that connect, as asked; no other does
BEFORE = "LORA_STUDIO_BEFORE"  # the variable that carries what was taken away on to the children, as JSON


def go_offline() -> dict[str, str]:
    """Let nothing of the environment lead this process, or a child of it, to the network; the environment before.

    A proxy is of no use to what asks nobody but this computer, and one of a kind that a library does not know, or that
    is misspelt, ends it. What is started for the user, such as the browser, gets the environment as it was.
    """
    before = dict(os.environ)
    taken = {name: text for name, text in before.items() if name.lower().endswith("_proxy") or name in OFFLINE}
    for name in taken:
        del os.environ[name]
    os.environ.setdefault(BEFORE, json.dumps(taken))
    os.environ.update(OFFLINE)
    return before


def online() -> dict[str, str]:
    """The environment of a child that may connect: the user's proxies, mirror and wish to stay offline among it."""
    given = dict(os.environ)
    taken = given.pop(BEFORE, None)
    if taken is not None:
        given = {name: text for name, text in given.items() if name not in OFFLINE} | json.loads(taken)
    return given | QUIET


def settle_streams() -> None:
    """Take nowhere for a stream that was closed before this began, and a sign for a letter that the console lacks."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # each takes the lowest handle, its own
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # as long as the process
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
