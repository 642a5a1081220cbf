"""The environment that people start the app in: proxies of every kind stand in nobody's way."""

import http.server
import importlib.util
import os
import threading

import httpx
import pytest

from lora_gui import environment

PROXIES = [
    {"ALL_PROXY": "socks://127.0.0.1:7891/"},
    {"all_proxy": "socks5h://127.0.0.1:1080", "NO_PROXY": ""},
    {"https_proxy": "socks4://127.0.0.1:1080", "All_Proxy": "socks5://user:pass@127.0.0.1:1080"},
    {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
    {"HTTP_PROXY": "nonsense", "HTTPS_PROXY": "ftp://x", "ALL_PROXY": "http://[::1"},
    {"HTTP_PROXY": "http://127.0.0.1:port", "NO_PROXY": "*, ,[::1]:x,http://"},
    {"http_proxy": "http://127.0.0.1:9", "no_proxy": "example.org"},
    {"FTP_PROXY": "socks9://", "WS_PROXY": "://"},
]


@pytest.fixture(scope="module")
def address():
    """Of a small server of this computer."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/none"
        server.shutdown()


@pytest.mark.parametrize("proxies", PROXIES)
def test_no_proxy_stands_between_the_app_and_this_computer(monkeypatch, address, proxies):
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], **proxies})
    before = environment.go_offline()
    assert httpx.get(address, timeout=60).status_code == 404
    assert before.items() >= proxies.items()
    assert {name for name in os.environ if name.lower().endswith("_proxy")} == {"NO_PROXY", "no_proxy"}
    assert os.environ["HF_HUB_OFFLINE"] == "1" and os.environ["PATH"]


def test_who_works_with_tensorflow_too_can_draw_all_the_same(monkeypatch):
    monkeypatch.setattr(os, "environ", {"USE_TORCH": "0", "USE_TF": "1"} | environment.OF_CHILDREN)
    spec = importlib.util.find_spec("diffusers.utils.import_utils")
    told = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(told)
    assert told.is_torch_available()
