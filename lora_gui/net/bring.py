"""Bring a LoRA from elsewhere: find out what a link leads to, fetch it, and lay it beside what is said of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from huggingface_hub import get_session

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.net import civitai, hub, hub_loras, trouble
from lora_gui.net.fetch import Refused, fetch
from lora_gui.net.offer import Offer
from lora_gui.net.pace import Pace, require_room
from lora_gui.protocol import events, links
from lora_gui.protocol.jobs import BringJob
from lora_gui.protocol.task_folder import BROUGHT, PEFT_SETTINGS

_MOST = 20_000_000_000  # bytes of a LoRA
_PICTURE, _PATIENCE = 30_000_000, 60.0  # bytes of a preview, and seconds after which the LoRA comes without it
CHOOSE = "choose"  # the cause of a failure where one of several files is to be named


def bring(job: BringJob, folder: Path) -> Iterator[events.Event]:
    """What happens until the LoRA lies in `folder`. Raises UserError; what was fetched by then stays."""
    hub.require_way_out()
    yield events.Started(0)
    yield events.Phase("Asking what the link leads to")
    offer = None
    for said in _offered(job.link.strip()):
        if isinstance(said, Offer):
            offer = said
        else:
            yield said
    assert offer is not None
    refused: Refused = trouble.refused
    headers, site = hub.headers(offer.gated), hub.site()
    if links.is_civitai(job.link.strip()):
        headers, site, refused = civitai.headers(), f"{links.civitai_site()}/", civitai.refused
    yield events.Found({"title": offer.title, "files": {name: one.size for name, one in offer.files.items()}})
    name = _chosen(offer, job.file)
    yield from _fetched(offer, name, folder, headers, refused)
    _picture(offer, folder / BROUGHT.picture, headers if offer.picture.startswith(site) else {})
    about = {"title": offer.title, "page": offer.page, "base": offer.base, "words": offer.words, "file": name,
             "sha256": files.sha256(folder / BROUGHT.lora)}  # fmt: skip
    files.write_json(folder / BROUGHT.about, about)
    yield events.Done()


def _offered(link: str) -> Iterator[Offer | events.Phase]:
    links.check(link)
    found = links.hub(link)
    return hub_loras.offer(*found) if found and not links.is_civitai(link) else civitai.offer(link)


def _chosen(offer: Offer, wanted: str) -> str:
    """The file to fetch. Raises UserError where one is to be named first."""
    if not offer.files:
        raise UserError(f"{offer.title} holds no LoRA as .safetensors.", "Choose another link.")
    if wanted in offer.files:
        return wanted
    if wanted or len(offer.files) > 1:
        names = ", ".join(list(offer.files)[:10])
        what = f"{offer.title} holds {len(offer.files)} files" + (f", and none is called {wanted}." if wanted else ".")
        raise UserError(what, f"Choose one: {names}.", CHOOSE)
    return next(iter(offer.files))


def _fetched(
    offer: Offer, name: str, folder: Path, headers: dict[str, str], refused: Refused
) -> Iterator[events.Event]:
    remote = offer.files[name]
    if remote.size > _MOST:
        raise UserError(f"{name} is far too large to be a LoRA.", "Choose another file.")
    require_room({BROUGHT.lora: remote}, folder)
    pace = Pace({BROUGHT.lora: remote}, folder)
    for said in fetch(remote, folder / BROUGHT.lora, headers, refused):
        if isinstance(said, int):
            yield from pace.here(BROUGHT.lora, said, PurePosixPath(name).name)
        else:
            yield said
    yield pace.told()
    if beside := offer.settings.get(name):
        settings = fetch(beside, folder / PEFT_SETTINGS, headers, refused)
        yield from (said for said in settings if not isinstance(said, int))


def _picture(offer: Offer, target: Path, headers: dict[str, str]) -> None:
    """Fetch the preview as it is; it is nobody's picture before the sandbox has decoded it. None is no misfortune."""
    if not offer.picture:
        return
    try:
        with get_session().stream("GET", offer.picture, headers=headers, timeout=trouble.TIMEOUT) as response:
            data, until = b"", time.monotonic() + _PATIENCE
            for piece in response.iter_bytes():
                data += piece
                if len(data) > _PICTURE or time.monotonic() > until:
                    return
            if response.status_code == 200:
                files.write_bytes(target, data)
    except trouble.DROPPED:
        return
