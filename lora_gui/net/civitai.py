"""What a link to Civitai leads to, by its public API; texts of strangers are taken over as plain text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
from huggingface_hub import get_session

from lora_gui import civitai_key
from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.net import trouble
from lora_gui.net.fetch import Remote
from lora_gui.net.offer import Offer
from lora_gui.protocol import links
from lora_gui.protocol.events import Phase

_KINDS = {"LORA", "LoCon", "DoRA"}
_CALM = 2  # the highest level of a preview that is taken over: what is fit for everybody, or for teenagers
_TRIES = 4
_MOST = 30_000_000  # bytes of an answer; a model of a hundred versions has a few million
_MOST_WORDS, _LONGEST_WORD = 20, 300


def headers() -> dict[str, str]:
    """What is sent with each question: the user's key where there is one, which no other address is given."""
    key = civitai_key.read()
    return {"Authorization": f"Bearer {key}"} if key else {}


def offer(link: str) -> Iterator[Offer | Phase]:
    """What a link leads to. Raises UserError where that is nothing that can be brought."""
    model, version = links.civitai(link)
    path = f"model-versions/{version}" if version else f"models/{model}"
    for said in trouble.patiently(lambda: iter([_asked(path)]), _TRIES, trouble.AGAIN):
        yield said if isinstance(said, Phase) else _offer(said)


def refused(response: httpx2.Response, _: str = "") -> UserError:
    """Why Civitai does not give something."""
    status = response.status_code
    if status in (401, 403) or status < 400:
        where = f"Make a key at {links.civitai_site()}/user/account and enter it."
        if civitai_key.read():
            return UserError("Civitai does not give this for your key.", where, trouble.SIGN_IN)
        return UserError("Civitai gives this only to those who are signed in.", where, trouble.SIGN_IN)
    if status == 404:
        return UserError("There is no such thing on Civitai, or not any more.", "Check the link.")
    return UserError(f"Civitai refuses this ({status}).", "Try again later.")


def _asked(path: str) -> dict[str, Any]:
    """The answer of the API. Raises PassingError or UserError."""
    address, data = f"{links.civitai_site()}/api/v1/{path}", b""
    with get_session().stream("GET", address, headers=headers(), timeout=trouble.TIMEOUT) as response:
        trouble.check_passing(response)
        if response.status_code >= 400:
            raise refused(response)
        for piece in response.iter_bytes():
            data += piece
            if len(data) > _MOST:
                raise UserError("Civitai gave an answer that is far too long.", trouble.LATER)
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise trouble.PassingError("Civitai gave an answer that is not understood")
    return said


def _offer(said: dict[str, Any]) -> Offer:
    """Of a model its latest version, or of the version itself."""
    model = said if "modelVersions" in said else _dict(said.get("model"))
    version = _dict(next(iter(_list(said.get("modelVersions"))), None)) if "modelVersions" in said else said
    kind = str(model.get("type", ""))
    if kind not in _KINDS:
        what = f"This is no LoRA but a {plain(kind)[:40] or 'thing of another kind'} on Civitai."
        raise UserError(what, "Copy the address of the page of a LoRA.")
    name, number = plain(str(model.get("name", "")))[:200], version.get("modelId") or model.get("id")
    words = [plain(one)[:_LONGEST_WORD] for one in _list(version.get("trainedWords")) if isinstance(one, str)]
    return Offer(
        title=f"{name} {plain(str(version.get('name', '')))[:100]}".strip(),
        page=f"{links.civitai_site()}/models/{number}?modelVersionId={version.get('id')}",
        files=dict(_files(version)),
        base=plain(str(version.get("baseModel", "")))[:100],
        words=tuple(words[:_MOST_WORDS]),
        picture=_picture(version),
    )


def _files(version: dict[str, Any]) -> Iterator[tuple[str, Remote]]:
    for one in map(_dict, _list(version.get("files"))):
        name, url = str(one.get("name", "")), str(one.get("downloadUrl", ""))
        is_file = one.get("type") == "Model" and name.lower().endswith(".safetensors")
        if is_file and url.startswith(f"{links.civitai_site()}/"):
            size = one.get("sizeKB")
            exact = isinstance(size, int | float) and size > 0 and abs(size * 1024 - round(size * 1024)) < 0.01
            # an address of another site is passed over: Civitai's own alone may see the user's key
            sha256 = str(_dict(one.get("hashes")).get("SHA256", "")).lower()
            bytes = round(size * 1024) if exact and isinstance(size, int | float) else -1
            yield plain(name)[:200], Remote(url=url, size=bytes, sha256=sha256 if len(sha256) == 64 else "")


def _picture(version: dict[str, Any]) -> str:
    """The address of the first still preview that everybody may see; empty where there is none."""
    for one in map(_dict, _list(version.get("images"))):
        level, url = one.get("nsfwLevel"), one.get("url")
        if one.get("type", "image") == "image" and isinstance(level, int) and level <= _CALM and isinstance(url, str):
            return url if url.startswith(("https://", f"{links.civitai_site()}/")) else ""
    return ""


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
