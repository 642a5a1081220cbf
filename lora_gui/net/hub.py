"""What a repository of the model hub holds, and the token of its user, which huggingface_hub alone keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
from huggingface_hub import HfApi, ModelInfo, constants, get_session, hf_hub_url, login
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_token

from lora_gui import __version__
from lora_gui.errors import UserError
from lora_gui.net import trouble
from lora_gui.net.fetch import Remote
from lora_gui.protocol.events import Phase

_FORBIDDEN = {*'<>:"\\|?*'}  # in names, by Windows
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TRIES = 4  # until it is said that there is no way to the Hub


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit."""

    repo: str
    commit: str
    files: dict[str, Remote]  # by their paths in it
    gated: bool
    card: dict[str, str]  # what its card says in plain words, by field


def site() -> str:
    """How addresses of the Hub, or of the mirror in its place, begin."""
    return f"{constants.ENDPOINT}/"


def require_way_out() -> None:
    """Raises UserError where the proxies of this computer cannot be used at all."""
    try:
        get_session()
    except (ValueError, ImportError, httpx2.InvalidURL) as error:
        what = f"The proxy of this computer is of a kind that is not known here ({error})."
        raise UserError(what, "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or the system's settings.") from error


def listing(repo: str, revision: str = "") -> Iterator[Listing | Phase]:
    """What a repository holds: sizes and checksums of all its files, at the latest commit unless one is named.

    Raises UserError where it cannot be had, GoneError where there is no such commit.
    """
    yield from trouble.patiently(lambda: iter([_listed(repo, revision)]), _TRIES)


def headers(gated: bool) -> dict[str, str]:
    """What is sent with each question for a file; the user's token only where one is needed."""
    return build_hf_headers(token=None if gated else False, library_name="lora-studio", library_version=__version__)


def sign_in(token: str) -> str:
    """Let huggingface_hub keep a token of the user's, once the Hub has said whose it is; the name of the user.

    Raises UserError where the Hub does not know it.
    """
    found = ""
    for said in trouble.patiently(lambda: iter([_signed_in(token)]), _TRIES, trouble.AGAIN):
        found = said if isinstance(said, str) else found
    return found


def _signed_in(token: str) -> str:
    try:
        name: str = HfApi().whoami(token=token)["name"]
        login(token=token, add_to_git_credential=False)
    except HfHubHTTPError as error:
        trouble.check_passing(error.response)
        what = "The Hub does not know this token."
        raise UserError(what, "Copy it whole, or make a new one of the kind Read.", trouble.SIGN_IN) from None
    except (ValueError, KeyError, TypeError):
        what = "This is no token of a user of the Hub."
        raise UserError(what, "Make one of the kind Read in your settings there.", trouble.SIGN_IN) from None
    return name


def _listed(repo: str, revision: str) -> Listing:
    for token in (False, None) if get_token() else (False,):
        try:
            return _understood(repo, HfApi().model_info(
                repo, revision=revision or None, files_metadata=True, timeout=30, token=token
            ))  # fmt: skip
        except HfHubHTTPError as error:
            if error.response.status_code not in (401, 403, 404) or token is None or not get_token():
                trouble.check(error.response, repo)
                raise trouble.PassingError("The Hub gave an answer that is not understood") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            # a page to log in to a network, as a rule; or a mirror that says what it should not
            raise trouble.PassingError("The Hub gave an answer that is not understood") from error
    raise trouble.PassingError("The Hub does not say what it has")


def _understood(repo: str, told: ModelInfo) -> Listing:
    """What an answer of the Hub says. Raises TypeError and the like where it is none."""
    if not told.sha or not _COMMIT.fullmatch(told.sha):
        raise trouble.PassingError("The Hub does not say which state of this it has")
    found = {}
    for one in told.siblings or ():
        if _is_name(one.rfilename) and isinstance(one.size, int) and one.size >= 0:
            url = hf_hub_url(repo, one.rfilename, revision=told.sha)
            sha256 = one.lfs.sha256 if one.lfs else ""
            git = "" if one.lfs else (one.blob_id or "")
            found[one.rfilename] = Remote(url=url, size=one.size, sha256=sha256, git=git, of=repo)
    says = vars(told.card_data) if told.card_data else {}
    card = {name: value for name, value in says.items() if isinstance(value, str)}
    return Listing(repo, told.sha, found, bool(told.gated) or bool(told.private), card)


def _is_name(path: str) -> bool:
    """Whether a path is one that any drive takes, with nothing hidden and no way out of a folder."""
    parts = path.split("/")
    shown = path.replace("\u3000", "")  # the space of Chinese and Japanese, which counts as no printable sign
    return shown.isprintable() and not _FORBIDDEN & {*path} and all(
        part and not part.startswith((".", " ")) and not part.endswith((".", " ")) for part in parts
    )
