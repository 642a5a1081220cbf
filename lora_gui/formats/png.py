"""Encode a drawing as PNG with its generation parameters and the mark for machine-made pictures; the size of any."""

import io
import json
import struct
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_gui import __version__
from lora_gui.settings import DrawSettings

_SIGNATURE, _START = b"\x89PNG\r\n\x1a\n", struct.Struct(">8s4x4sII")
# what search engines and agencies read: https://iptc.org/standards/photo-metadata/ "Digital Source Type"
_MARK = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>
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


def encode(image: Image.Image, parameters: str) -> bytes:
    """The picture as PNG with the A1111 text `parameters` and the IPTC mark for machine-made pictures."""
    texts = PngInfo()
    texts.add_text("parameters", parameters)
    texts.add_itxt("XML:com.adobe.xmp", _MARK)
    data = io.BytesIO()
    image.save(data, "PNG", pnginfo=texts)
    return data.getvalue()


def parameters(
    settings: DrawSettings,
    seed: int,
    base: str,
    sampler: str,
    stack: list[tuple[str, float, str]],
    size: tuple[int, int],
) -> str:
    """How a drawing was made, as A1111, Civitai and most viewers read it.

    `stack` holds name, strength and hash of what counted; `size` is the picture's own width and height in px.
    """
    tags = [f"<lora:{name}:{strength:g}>" for name, strength, _ in stack]
    hashes = ", ".join(f"{name}: {digest[:12]}" for name, _, digest in stack if digest)
    fields = {
        "Steps": settings.steps,
        "Sampler": sampler,
        "CFG scale": f"{settings.guidance:g}",
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model": base,
        "Prediction": "" if settings.prediction == "base" else settings.prediction,
        "Lora hashes": hashes,
        "Version": f"LoRA Studio {__version__}",
    }
    lines = [" ".join([settings.prompt, *tags])]
    if settings.negative_prompt:
        lines.append(f"Negative prompt: {settings.negative_prompt}")
    lines.append(", ".join(f"{key}: {_quoted(str(value))}" for key, value in fields.items() if value != ""))
    return "\n".join(lines)


def _quoted(value: str) -> str:
    """As A1111 writes values that would break its line."""
    return json.dumps(value, ensure_ascii=False) if any(sign in value for sign in ",:\n") else value
