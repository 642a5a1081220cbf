"""What a link leads to: the files it offers, and what is said of them, as plain text."""

from pydantic import BaseModel, ConfigDict

from lora_gui.net.fetch import Remote


class Offer(BaseModel):
    """LoRA files elsewhere. Texts come from strangers."""

    model_config = ConfigDict(frozen=True)
    title: str
    page: str  # its address, for people
    files: dict[str, Remote]  # by their names
    base: str = ""  # as its maker calls it
    words: tuple[str, ...] = ()  # trigger words
    picture: str = ""  # address of a preview; empty where there is none
    settings: dict[str, Remote] = {}  # of these files, what peft has put beside them
    gated: bool = False  # whether the Hub is to be told who asks
