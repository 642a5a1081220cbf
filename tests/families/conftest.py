"""What the tests of all families share: the one network that is as large as it really is, with few of its blocks."""

import pytest

from lora_gui.families.wuerstchen import efficientnet


@pytest.fixture(scope="module", autouse=True)
def few_blocks(request):
    """Of Wuerstchen's EfficientNet one of each stage; the whole of it is for its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.module.__name__.endswith("test_efficientnet"):
            patch.setattr(efficientnet, "_STAGES", tuple((*stage[:-1], 1) for stage in efficientnet._STAGES))
        yield
