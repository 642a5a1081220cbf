"""The app as it is, but for its children, which are forked as those of other tests are."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import app  # noqa: E402
from tests import forkserver  # noqa: E402

if __name__ == "__main__":
    forkserver.used()
    sys.exit(app.main())
