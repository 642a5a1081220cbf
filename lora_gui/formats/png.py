"""Encode a drawing as PNG with how it was made and the mark for machine-made pictures; the size of any."""

import io
import struct
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_gui.formats import generation
from lora_gui.formats.generation import Made

_SIGNATURE, _START = b"\x89PNG\r\n\x1a\n", struct.Struct(">8s4x4sII")
# what search engines and agencies read: https://iptc.org/standards/photo-metadata/ "Digital Source Type"
MADE, COMPOSED = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"  # the latter of a picture given
EXACT = "lora_studio"  # the chunk in which our own record stands
_MARK = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def size(path: Path) -> tuple[int, int] | None:
    """Width and height in px as the first bytes of a PNG say; None where it is none or cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(_START.size)
        signature, chunk, width, height = _START.unpack(start)
    except (OSError, struct.error):
        return None
    return (width, height) if (signature, chunk) == (_SIGNATURE, b"IHDR") and width and height else None


def encode(image: Image.Image, parameters: str, exact: str = "", mark: str = MADE) -> bytes:
    """The picture as PNG with the A1111 text `parameters`, our own `exact` record and the IPTC mark `mark`; empty ones
    are left out."""
    texts = PngInfo()
    texts.add_text("parameters", parameters)
    if exact:
        texts.add_itxt(EXACT, exact)
    if mark:
        texts.add_itxt("XML:com.adobe.xmp", _MARK.format(mark))
    data = io.BytesIO()
    image.save(data, "PNG", pnginfo=texts)
    return data.getvalue()


def of(image: Image.Image, made: Made) -> bytes:
    """A drawing as PNG that says how it was made."""
    mark = COMPOSED if made.settings.picture else MADE
    return encode(image, generation.text(made), generation.exact(made), mark if made.settings.mark else "")
