"""Open the window."""

import argparse
import sys

from lora_gui import environment
from lora_gui.errors import UserError
from lora_gui.ui.server.launch import open_window, refuse_others


def main() -> int:
    parser = argparse.ArgumentParser(prog="launch", description="Train LoRAs of your own pictures, and draw with them.")
    parser.add_argument("--port", type=_port, metavar="N", help="serve the window on this port instead of a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--listen", "--share", action="store_true", help="say how to use it from another computer")
    environment.settle_streams()  # a shortcut to pythonw has none
    given = parser.parse_args()
    try:
        if given.listen:
            raise refuse_others()
        open_window(given.port, browser=not given.no_browser)
    except UserError as error:
        print(f"{error.what} {error.remedy}", file=sys.stderr)
        return 1
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:6]) < 1 << 16:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
