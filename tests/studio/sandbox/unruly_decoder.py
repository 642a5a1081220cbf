"""Stands in for the decoding child: a file named so hangs it for good, kills it or eats its memory."""

import os
import re
import time

from lora_gui.studio.sandbox import picture_decode, picture_sandbox

real = picture_decode.opened


def opened(path, *how):
    match path.stem:
        case "hangs":  # deep in C, where no other thread of Python gets a turn
            re.match(r"(a+)+$", "a" * 60 + "b")
        case "dies":
            os.abort()
        case "eats":
            raise MemoryError(len(bytearray(2 * picture_sandbox.MEMORY)))
        case "grows":
            eaten = b"x" * 400_000_000
            time.sleep(60)
            del eaten
        case "writes":
            path.with_name("written").write_bytes(b"evil")
    return real(path, *how)


picture_decode.opened = opened
picture_sandbox.main()
