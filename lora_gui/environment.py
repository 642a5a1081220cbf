"""The environment of this app's processes: they stay offline, and no proxy stands between them and this computer.

Only a child that fetches what the user asked for is given the environment as it was before.
"""

import json
import os

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
