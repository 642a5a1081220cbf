"""What all tests of the window share."""

import pytest
from gradio.routes import App


@pytest.fixture(autouse=True, scope="session")
def unserved():
    """Gradio makes a whole web application of each `gr.Blocks`, twice, and another one where it is served."""
    made = App.create_app

    def create(blocks, *given, **named):
        return made(blocks, *given, **named) if "app_kwargs" in named else None  # which `launch` alone gives

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(App, "create_app", staticmethod(create))
        yield
