"""The app with a tiny build of SDXL, and its presets in the folder that TINY_SDXL names."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import app  # noqa: E402
from lora_gui.studio.tasks import process  # noqa: E402
from lora_gui.studio.things import presets  # noqa: E402
from tests import forkserver  # noqa: E402
from tests.browser import tiny_sdxl  # noqa: E402

if __name__ == "__main__":
    tiny_sdxl.know_it()
    presets.SHIPPED = Path(os.environ[tiny_sdxl.FOLDER]) / "presets"
    forkserver.used()
    process.COMMAND = forkserver.command(str(Path(tiny_sdxl.__file__)))
    sys.exit(app.main())
