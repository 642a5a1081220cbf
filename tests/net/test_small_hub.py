"""The small Hub of the tests is taken for the real one by huggingface_hub itself, whose every call is a real one."""

import pytest
from huggingface_hub import HfApi, get_token, hf_hub_download, login, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)  # fmt: skip

from tests.net.conftest import REPO, repository


@pytest.fixture
def files():
    return repository(20_000)


def test_a_snapshot_is_what_was_committed(hub, files, tmp_path):
    hub.add(REPO, files)
    folder = snapshot_download(REPO, local_dir=tmp_path / "it")
    there = {path.relative_to(folder).as_posix() for path in (tmp_path / "it").rglob("*") if path.is_file()}
    assert {name for name in there if not name.startswith(".cache")} == set(files)
    assert all((tmp_path / "it" / name).read_bytes() == data for name, data in files.items())


def test_a_token_is_sent_to_the_hub_and_never_to_where_it_redirects(hub, files, tmp_path):
    hub.add(REPO, files, gated="auto")
    hub.allow("hf_let_in", "ada", may_see=(REPO,))
    hf_hub_download(REPO, "vae/diffusion_pytorch_model.safetensors", token="hf_let_in", local_dir=tmp_path)
    assert {one.bearer for one in hub.requests("/resolve/")} == {"hf_let_in"}
    assert {one.bearer for one in hub.requests("GET /cdn/")} == {""}


def test_what_the_hub_refuses_is_an_error_of_the_same_kind_as_from_the_real_one(hub, files, tmp_path):
    commit = hub.add(REPO, files, gated="auto")
    hub.add("ada/private", files, private=True)
    hub.allow("hf_not_let_in", "bea")
    get = {"filename": "model_index.json", "local_dir": tmp_path}
    for token in (False, "hf_not_let_in"):
        with pytest.raises(GatedRepoError):
            hf_hub_download(REPO, token=token, **get)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("ada/private", token="hf_not_let_in", **get)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        hf_hub_download(REPO, token="hf_nobody", **get)
    hub.repos[REPO].gated = False
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(REPO, revision="0" * 40, **get)
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download(REPO, "nothing.json", revision=commit, local_dir=tmp_path)


def test_a_user_signs_in_and_publishes_and_finds_it_again(hub, files, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    hub.allow("hf_write", "ada")
    login(token="hf_write")
    assert get_token() == "hf_write"
    api = HfApi()
    api.create_repo("ada/my-lora", private=True)
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "lora.safetensors").write_bytes(files["v1-5-pruned.safetensors"])
    (tmp_path / "share" / "README.md").write_bytes(b"---\nlicense: mit\n---\n# It")
    api.upload_folder(repo_id="ada/my-lora", folder_path=tmp_path / "share")
    assert hub.repos["ada/my-lora"].private
    assert {"lora.safetensors", "README.md"} <= set(api.list_repo_files("ada/my-lora"))
    found = hf_hub_download("ada/my-lora", "lora.safetensors", local_dir=tmp_path / "back")
    assert (tmp_path / "back" / "lora.safetensors").read_bytes() == files["v1-5-pruned.safetensors"], found
    with pytest.raises(HfHubHTTPError, match="rights"):
        hub.add(REPO, files)
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=REPO)
