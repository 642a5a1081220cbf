"""The environment of this app's processes: they stay offline, and no proxy stands between them and this computer."""

import os

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "DIFFUSERS_DISABLE_REMOTE_CODE": "1",
    "NO_PROXY": "*",  # not only this computer: then a proxy of the system's settings is not looked up either
    "no_proxy": "*",
}


def go_offline() -> dict[str, str]:
    """Let nothing of the environment lead this process, or a child of it, to the network; the environment before.

    A proxy is of no use to what asks nobody but this computer, and one of a kind that a library does not know, or that
    is misspelt, ends it. What is started for the user, such as the browser, gets the environment as it was.
    """
    before = dict(os.environ)
    for name in before:
        if name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(OFFLINE)
    return before
