"""Open the window."""

import argparse
import sys

from lora_gui.errors import UserError
from lora_gui.ui.launch import open_window


def main() -> int:
    parser = argparse.ArgumentParser(prog="launch", description="Train LoRAs of your own pictures, and draw with them.")
    parser.add_argument("--port", type=int, metavar="N", help="serve the window on this port instead of a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    given = parser.parse_args()
    try:
        open_window(given.port, browser=not given.no_browser)
    except UserError as error:
        print(f"{error.what} {error.remedy}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
