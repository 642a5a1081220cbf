"""What an id or a link names: a LoRA on the model hub, or one on Civitai. Only read; nothing is asked of anybody."""

import os
import re
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from lora_gui.errors import UserError

CIVITAI = "LORA_GUI_CIVITAI"  # the variable that names a mirror of Civitai
_HUB = "HF_ENDPOINT"  # that of a mirror of the hub, as huggingface_hub reads it
_CIVITAI = "https://civitai.com"
_CIVITAI_HOST = re.compile(r"(www\.)?civitai\.(com|red|green)")
_AIR = re.compile(r"urn:air:\w+:\w+:civitai:(?P<model>\d+)(@(?P<version>\d+))?")
_HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?P<rest>/.*)?", re.ASCII)
_FILE = re.compile(r"/(?:(?:blob|resolve|tree|raw)/(?P<revision>[^/]+)/?)?(?P<file>.*)")


def check(link: str) -> None:
    """Raises UserError where a link names nothing that could be a LoRA."""
    if is_civitai(link):
        civitai(link)
    elif not hub(link):
        what = "This is neither the id of a LoRA on the Hub nor a link to one there or on Civitai."
        raise UserError(what, "Write it as owner/name, or copy the address of its page.")


def without_key(link: str) -> str:
    """A link without the key for Civitai that guides put into it: it needs none to say what it names."""
    return re.sub(r"(?<=[?&])token=[^&#]*&?", "", link).rstrip("?&")


def civitai_site() -> str:
    """The address of Civitai, or of the mirror in its place."""
    return os.environ.get(CIVITAI, "").strip().rstrip("/") or _CIVITAI


def is_civitai(link: str) -> bool:
    """Whether a link leads to Civitai."""
    host = _parts(link).hostname or ""
    return bool(_CIVITAI_HOST.fullmatch(host) or _AIR.fullmatch(link) or link.startswith(f"{civitai_site()}/"))


def civitai(link: str) -> tuple[str, str]:
    """The numbers of the model and of its version, of which one may be empty. Raises UserError where it has neither."""
    if air := _AIR.fullmatch(link):
        return air["model"], air["version"] or ""
    parts = _parts(link)
    version = parse_qs(parts.query).get("modelVersionId", [""])[-1]
    found = re.search(r"/(models|model-versions|api/download/models)/(\d+)(?=/|$)", parts.path)
    if not found:
        raise UserError("This link to Civitai leads to no model.", "Copy the address of the page of a LoRA.")
    if found[1] == "models":
        return found[2], version if version.isdecimal() else ""
    return "", found[2]


def hub(link: str) -> tuple[str, str, str] | None:
    """Repository, revision and file that an id or a link names, the latter two where it does; None for none."""
    parts, own = _parts(link), _parts(os.environ.get(_HUB) or "https://huggingface.co")
    if parts.scheme in ("http", "https"):
        if parts.hostname not in _HUB_HOSTS and parts.netloc != own.netloc:
            return None
        link = unquote(parts.path).strip("/")
    elif link.partition("/")[0] in _HUB_HOSTS:
        link = link.partition("/")[2].partition("?")[0]
    found = _ID.fullmatch(link)
    if not found or ".." in link:
        return None
    rest = _FILE.fullmatch(found["rest"] or "/")
    return found["repo"], (rest and rest["revision"]) or "", (rest and rest["file"]) or ""


def _parts(link: str) -> SplitResult:
    try:
        return urlsplit(link)
    except ValueError:  # a bracket that is not closed, as of an address in numbers
        return urlsplit("")
