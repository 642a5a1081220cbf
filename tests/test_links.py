"""What ids and links name, and that what names nothing is refused before anything is begun."""

import pytest

from lora_gui.errors import UserError
from lora_gui.protocol import links
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import bringing


@pytest.mark.parametrize("host", ["civitai.com", "www.civitai.com", "civitai.red", "civitai.green"])
def test_links_to_the_sites_of_civitai_are_known(host):
    assert links.is_civitai(f"https://{host}/models/1") and not links.is_civitai(f"https://{host}.evil.example/models/1")


@pytest.mark.parametrize(
    ("link", "named"),
    [
        ("ada/my-lora", ("ada/my-lora", "", "")),
        ("https://huggingface.co/ada/my-lora", ("ada/my-lora", "", "")),
        ("huggingface.co/ada/my-lora/", ("ada/my-lora", "", "")),
        ("https://hf.co/ada/my-lora/tree/main", ("ada/my-lora", "main", "")),
        ("https://huggingface.co/ada/l/blob/main/sub/x.safetensors", ("ada/l", "main", "sub/x.safetensors")),
        ("https://huggingface.co/ada/l/resolve/a/x%20y.safetensors?download=1", ("ada/l", "a", "x y.safetensors")),
        ("ada/my-lora/x.safetensors", ("ada/my-lora", "", "x.safetensors")),
        ("https://example.com/ada/my-lora", None),
        ("my-lora", None),
        ("../../etc", None),
        ("", None),
    ],
)
def test_ids_and_links_of_the_hub(link, named):
    assert links.hub(link) == named


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ("not a link", "neither the id"),
        ("http://127.0.0.1:1/x", "neither the id"),
        ("https://example.com/model", "neither the id"),
        ("http://[", "neither the id"),
        ("https://civitai.com/images", "leads to no model"),
    ],
)
def test_what_is_no_link_to_a_lora_is_refused_at_once_and_leaves_nothing(tmp_path, link, what):
    studio = Studio(tmp_path / "studio")
    with pytest.raises(UserError, match=what):
        bringing.start(studio, link)
    assert bringing.begun(studio) == []


@pytest.mark.parametrize("query", ["token=KEY", "type=Model&token=KEY", "type=Model&token=KEY&x"])
def test_a_key_in_a_link_to_civitai_stands_in_no_file(tmp_path, monkeypatch, query):
    begun = []
    monkeypatch.setattr(bringing.Bringing, "begin", lambda _, job: begun.append(job.link))
    bringing.start(Studio(tmp_path), f"https://civitai.com/api/download/models/123?{query}")
    assert "KEY" not in begun[0] and "token" not in begun[0] and links.civitai(begun[0]) == ("", "123")
    assert ("type=Model" in begun[0]) == ("type=Model" in query)
