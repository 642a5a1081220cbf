"""The model card of a LoRA, README.md, as the Hugging Face Hub and people read it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_gui import families
from lora_gui.facts import KnownBase
from lora_gui.formats import contract
from lora_gui.formats.contract import Contract
from lora_gui.formats.programs import PROGRAMS
from lora_gui.studio.things import bases
from lora_gui.studio.things.loras import LoraInfo

# What the Hub calls the licences of the bases; all others are "other" there, with name and link.
# https://huggingface.co/docs/hub/repositories-licenses
HUB_LICENCES = {
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
    "CreativeML OpenRAIL-M": "creativeml-openrail-m",
    "CreativeML Open RAIL++-M": "openrail++",
    "CC0 1.0": "cc0-1.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
}
_SIGNS = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>#|!~"})


@dataclass(frozen=True)
class Shown:
    """A sample drawing in the folder: its place there, and what it was drawn with."""

    file: str
    prompt: str


@dataclass(frozen=True)
class Content:
    """What a card tells of. `read_by` are the programs its files were written for; `diffusers` the file for that."""

    lora: LoraInfo
    file: str
    contract: Contract
    strength: float = 1.0
    samples: Sequence[Shown] = ()
    read_by: Sequence[str] = ()
    diffusers: str = ""
    proofs: Sequence[str] = field(default_factory=tuple)


def base_of(lora: LoraInfo) -> KnownBase | None:
    """The known base that a LoRA was made on, as far as it says so."""
    known = bases.known_bases()
    named = next((one for one in known.values() if lora.base_title in (one.title, one.repo)), None)
    return known.get(lora.base_key) or named


def page_of(base: KnownBase) -> str:
    """Where a base and its licence can be read; empty where it ships with the app."""
    return f"https://huggingface.co/{base.repo}" if base.repo else ""


def written(content: Content) -> str:
    """The whole text of README.md."""
    return f"---\n{_front(content)}\n---\n\n" + "\n\n".join(filter(None, _sections(content))) + "\n"


def _front(content: Content) -> str:
    import yaml  # takes a while to import

    lora, base = content.lora, base_of(content.lora)
    licence = content.contract.licence or (base.licence if base else "")
    hub = HUB_LICENCES.get(licence, "other" if licence else "")
    link = page_of(base) if base and licence == base.licence else ""
    more = {
        "base_model": (base.repo if base else "") or content.contract.repo,
        "license": hub,
        "license_name": _slug(licence) if hub == "other" else "",
        "license_link": link if hub == "other" else "",
        "instance_prompt": lora.trigger,
        "library_name": "diffusers" if content.diffusers else "",
        "pipeline_tag": "text-to-image",
    }
    told: dict[str, Any] = {key: value for key, value in more.items() if value}
    if "base_model" in told:
        told["base_model_relation"] = "adapter"
    told["tags"] = ["lora", "text-to-image", *(("diffusers", "template:sd-lora") if content.diffusers else ())]
    if content.samples:
        told["widget"] = [{"text": one.prompt, "output": {"url": one.file}} for one in content.samples]
    front: str = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
    return front.strip()


def _sections(content: Content) -> list[str]:
    lora, card, base = content.lora, content.contract, base_of(content.lora)
    family = families.facts_of(lora.family).title
    base_title = base.title if base else card.base or lora.base_title
    on = f"made on {_plain(base_title)}, for bases of {family}" if base_title else f"for bases of {family}"
    licence = card.licence or (f"that of its base, {base.licence}" if base else "not said")
    facts = [
        f"- Trigger word: {_code(lora.trigger)}" if lora.trigger else "- It has no trigger word.",
        f"- Strength: {content.strength:g} (1 is as trained)",
        f"- Base: {on}",
        f"- Rank {lora.rank}, {lora.layers} layers",
        f"- Licence: {_plain(licence)}",
        f"- File: {_code(content.file)}, for {', '.join(PROGRAMS[one] for one in content.read_by)}",
    ]
    words = contract.in_words(card) or ["Nobody has recorded whose the pictures are that it learnt from."]
    return [
        f"# {_plain(lora.name)}",
        _plain(card.scope),
        "\n".join(facts),
        _snippet(content),
        "## What it learnt from\n\n" + "\n".join(f"- {_plain(one)}" for one in words),
        _shown(content.samples),
        "Made with LoRA Studio. " + " ".join(content.proofs),
    ]


def _snippet(content: Content) -> str:
    """How diffusers is told to use it; only where that was tried, or is what the file was written for."""
    base = base_of(content.lora)
    if not content.diffusers or not base or not base.repo:
        return ""
    lines = (
        "import torch",
        "from diffusers import DiffusionPipeline",
        "",
        f'pipe = DiffusionPipeline.from_pretrained("{base.repo}", torch_dtype=torch.bfloat16).to("cuda")',
        f'pipe.load_lora_weights("PLACE OF THIS FOLDER", weight_name="{content.diffusers}")',
        f"image = pipe({(content.lora.trigger or 'a picture')!r}).images[0]",
    )
    return "## With diffusers\n\n```python\n" + "\n".join(lines) + "\n```"


def _shown(samples: Sequence[Shown]) -> str:
    if not samples:
        return ""
    each = (f"![{_plain(one.prompt)}]({one.file})\n\n{_plain(one.prompt)}" for one in samples)
    return "## Sample drawings\n\n" + "\n\n".join(each)


def _plain(text: str) -> str:
    """Words that stay words in Markdown."""
    return " ".join(text.split()).translate(_SIGNS)


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"


def _slug(licence: str) -> str:
    return "-".join("".join(c if c.isalnum() or c == "." else " " for c in licence.casefold()).split())
