"""The real worker with one part of a run that takes ten minutes, named in SLOW: what a stop must not wait for."""

import os
import sys
import time

from lora_gui import worker
from lora_gui.engine.load import loading
from lora_gui.engine.train import cache, samples


def slow(module: object, name: str) -> None:
    """Let a function of a module take its time before it does what it does."""
    done = getattr(module, name)

    def late(*args: object, **options: object) -> object:
        print(f"slow {name}", file=sys.stderr, flush=True)
        time.sleep(600)
        return done(*args, **options)

    setattr(module, name, late)


PARTS = {
    "encoding": (cache, "_encode_captions"),
    "loading": (loading, "denoiser"),
    "base samples": (samples.Samples, "_drawing"),
}

if __name__ == "__main__":
    if part := os.environ.get("SLOW"):
        slow(*PARTS[part])
    sys.exit(worker.main(sys.argv[1:]))
