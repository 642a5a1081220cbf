"""What can be wrong with the net, in a sentence each; what passes by itself is tried again, and said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import get_token, parse_ratelimit_headers

from lora_gui.errors import UserError, shown
from lora_gui.protocol.events import Phase

WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0)  # seconds between tries that brought nothing at all
LONGEST = 900.0  # seconds that a server may ask to be left alone for, before the user is told to come back instead
TIMEOUT = httpx2.Timeout(30.0, connect=15.0)
SIGN_IN, LICENCE = "sign in", "licence"  # causes
RESUME = "Check your connection and resume; nothing that was fetched is lost."
AGAIN = "Check your connection and try again."
LATER = "Try again later; nothing that was fetched is lost."
DROPPED = (httpx2.RequestError, httpx2.InvalidURL, OfflineModeIsEnabled)
_PASSING = {408, 425, 429, 500, 502, 503, 504, 520, 522, 524}
T = TypeVar("T")


class PassingError(Exception):
    """Something that may be over in a moment; `wait` seconds where the server says when, `remedy` if it is not and not
    the usual one."""

    def __init__(self, what: str, wait: float | None = None, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.wait, self.remedy = what, wait, remedy


def patiently(work: Callable[[], Iterator[T]], tries: int = 0, remedy: str = RESUME) -> Iterator[T | Phase]:
    """What `work` yields, begun again where it breaks off; whatever it yields shows that it gets on.

    Raises UserError with `remedy` once it has broken off so often in a row (0 is as often as there are `WAITS`) without
    having got on, or must not be tried again.
    """
    failures, tries = 0, tries or len(WAITS)
    while True:
        try:
            for one in work():
                failures = 0
                yield one
            return
        except (httpx2.RequestError, OfflineModeIsEnabled, PassingError) as error:
            passing = _passing(error)
            wait = WAITS[failures] if passing.wait is None else passing.wait
            if failures + 1 >= tries or wait > LONGEST:
                raise UserError(f"{passing.what}.", passing.remedy or remedy, "line") from error
            yield Phase(f"{passing.what}; it is tried again in {wait:.0f} s")
            time.sleep(wait)
            failures += 1


def check(response: httpx2.Response, repo: str = "") -> None:
    """Raises UserError, or PassingError, where a server does not give what was asked for."""
    check_passing(response)
    if response.status_code >= 400:
        raise refused(response, repo)


def check_passing(response: httpx2.Response) -> None:
    """Raises PassingError where a server has no time now."""
    if response.status_code in _PASSING:
        raise _busy(response)


def _passing(error: Exception) -> PassingError:
    """Of any error that may be over in a moment. Raises UserError for those that are not."""
    match error:
        case PassingError():
            return error
        case OfflineModeIsEnabled():
            what = "HF_HUB_OFFLINE is set on this computer, so nothing is fetched from the Hub."
            raise UserError(what, "Unset it and start the app again.") from error
        case httpx2.UnsupportedProtocol() if error.request.url.scheme not in ("http", "https"):
            what = f"The server leads on to {shown(str(error.request.url))}, which is no address of the web."
            raise UserError(what, LATER) from error
        case httpx2.TooManyRedirects():
            raise UserError(f"{error.request.url.host} leads on and on, and to no file.", LATER) from error
        case httpx2.UnsupportedProtocol() | httpx2.ProxyError():
            what = f"The proxy of this computer does not work ({error})."
            raise UserError(what, "Check HTTP_PROXY and HTTPS_PROXY, or the system's settings.") from error
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            host = error.request.url.host
            return PassingError(f"{host} cannot be reached")
        case httpx2.TimeoutException():
            return PassingError("Nothing came for a while")
        case httpx2.DecodingError():
            return PassingError("What came cannot be unpacked")
    return PassingError("The connection dropped")


def _busy(response: httpx2.Response) -> PassingError:
    host = response.request.url.host
    wait = _wait(response)
    if response.status_code != 429:
        return PassingError(f"{host} is out of order ({response.status_code})", wait)
    if wait is None or wait <= LONGEST:
        return PassingError(f"{host} asks not to be asked so often", wait)
    what = f"{host} asks to be left alone for {wait / 60:.0f} minutes"
    return PassingError(what, wait, "Resume after that; nothing that was fetched is lost.")


def _wait(response: httpx2.Response) -> float | None:
    """Seconds after which a server wants to be asked again, where it says so."""
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds
    said = response.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said[:9])
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def refused(response: httpx2.Response, repo: str = "") -> UserError:
    """What a server refuses for good is told as."""
    code, status = response.headers.get("X-Error-Code", ""), response.status_code
    page = f"{response.request.url.scheme}://{response.request.url.netloc.decode('ascii')}"
    if code == "GatedRepo":
        return _gated(repo, page)
    if status == 401 and code == "" and get_token():
        what, remedy = "The Hub does not accept your token.", f"Make a new one at {page}/settings/tokens and sign in."
        return UserError(what, remedy, SIGN_IN)
    if status in (401, 404) and code in ("RepoNotFound", ""):
        return UserError(f"There is no {repo or 'such thing'} on {page}, or you may not see it.", "Check the name.")
    if code == "RevisionNotFound":
        return GoneError(f"{repo} is not on {page} any more as it was.", "Try again later.")
    if status == 404:
        return GoneError(f"A file of {repo} is not on {page} any more.", "Start the download again.")
    if status < 400:  # a page to log in to a network, as a rule
        return UserError(f"{page} answers with a page instead of a file.", "Check your connection in a browser.")
    return UserError(f"{page} refuses this ({status}).", LATER)


class GoneError(UserError):
    """What was there once, and is there no more."""


def _gated(repo: str, page: str) -> UserError:
    if get_token():
        what = f"{repo} has not been opened for your account yet."
        remedy = f"Open {page}/{repo}, log in, press Agree, and resume once its owner has let you in."
        return UserError(what, remedy, LICENCE)
    what = f"{repo} is given only to those who have agreed to its licence."
    remedy = f"Open {page}/{repo}, log in and press Agree; then make a token at {page}/settings/tokens and sign in."
    return UserError(what, remedy, SIGN_IN)
