"""The real worker on a disk that is full when the LoRA is published, and not before."""

import errno
import os
import sys

from lora_gui import worker

_replace = os.replace


def _full(source, target):
    if os.path.basename(os.path.dirname(target)) == "loras":
        raise OSError(errno.ENOSPC, "No space left on device", str(target))
    _replace(source, target)


if __name__ == "__main__":
    os.replace = _full
    sys.exit(worker.main(sys.argv[1:]))
