"""Bring up the user's browser with the environment that the user has, not with the window's own."""

import subprocess
import sys
from collections.abc import Mapping

OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
NEAR = "127.0.0.1,localhost,::1"


def show(address: str, environment: Mapping[str, str]) -> bool:
    """Whether a browser was started on `address`. It keeps its proxies, but for the way to this computer."""
    past = ",".join(filter(None, (environment.get("no_proxy") or environment.get("NO_PROXY"), NEAR)))
    given = {**environment, "NO_PROXY": past, "no_proxy": past}
    return subprocess.run([sys.executable, "-c", OPEN, address], env=given, check=False).returncode == 0
