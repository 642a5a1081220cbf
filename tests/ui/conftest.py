"""What all tests of the window share."""

import pytest
from gradio.routes import App

from lora_gui.ui.generate.gallery import Gallery
from lora_gui.ui.library.library_tab import _Shelf


@pytest.fixture(autouse=True, scope="session")
def unserved():
    """Gradio makes a whole web application of each `gr.Blocks`, twice, and another one where it is served."""
    made = App.create_app

    def create(blocks, *given, **named):
        return made(blocks, *given, **named) if "app_kwargs" in named else None  # which `launch` alone gives

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(App, "create_app", staticmethod(create))
        yield


@pytest.fixture(autouse=True, scope="session")
def unhurried():
    """A page shows after a moment what was read by then; here all is read before, on a busy computer too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gallery._listed, "__defaults__", (1, None, ""))  # number, seconds, pressed
        patch.setattr(_Shelf.listed, "__kwdefaults__", {"number": 1, "seconds": None})
        yield
