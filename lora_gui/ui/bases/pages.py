"""Where the user may read more of a base and its licence: pages that a click opens, and nothing here asks for."""

_PAGE = "https://huggingface.co/{repo}"
TOKENS = _PAGE.format(repo="settings/tokens")


def of(repo: str) -> str:
    """The page of a repository; empty for what comes with the app."""
    return _PAGE.format(repo=repo) if repo else ""
