"""A small Civitai: its public API, downloads that are redirected to a signed address elsewhere, and previews.

    with SmallCivitai() as civitai:
        civitai.add(1234, 5678, lora_bytes, words=("zxy",), needs_key=True)
        ... run with civitai.environment() ...
"""

import hashlib
import re

from tests.net.server import Asked, Reply, Server


class SmallCivitai(Server):
    """See above."""

    def __init__(self, rate: int = 0) -> None:
        super().__init__(rate)
        self.keys = {"k3y"}
        self.versions: dict[int, dict] = {}
        self.models: dict[int, list[int]] = {}  # model to its versions, the latest first
        self.data: dict[int, bytes] = {}
        self.guarded: set[int] = set()
        self.pictures: dict[str, bytes] = {}

    def environment(self) -> dict[str, str]:
        """What leads the app here."""
        return {"LORA_GUI_CIVITAI": self.url}

    def add(
        self, of: int, version: int, data: bytes, picture: bytes = b"", needs_key: bool = False, /, **says
    ) -> None:
        """Publish a version of a model. `says` goes over what the API answers of the version, field by field."""
        self.data[version] = data
        self.models.setdefault(of, []).insert(0, version)
        self.guarded |= {version} if needs_key else set()
        images = []
        if picture:
            name = hashlib.sha256(picture).hexdigest()[:12]
            self.pictures[name] = picture
            images = [{"url": f"{self.url}/picture/{name}.jpeg", "nsfwLevel": 1, "type": "image"}]
        file = {
            "id": version, "name": f"lora-{version}.safetensors", "type": "Model", "sizeKB": len(data) / 1024,
            "primary": True, "metadata": {"format": "SafeTensor"},
            "downloadUrl": f"{self.url}/api/download/models/{version}",
            "hashes": {"SHA256": hashlib.sha256(data).hexdigest().upper(), "AutoV2": "0000000000"},
        }  # fmt: skip
        self.versions[version] = {
            "id": version, "modelId": of, "name": "v1", "baseModel": "SDXL 1.0", "trainedWords": [],
            "model": {"name": "A LoRA", "type": "LORA", "nsfw": False}, "files": [file], "images": images,
        } | says  # fmt: skip

    def reply(self, asked: Asked) -> Reply:
        for pattern, answer in _ROUTES:
            if found := re.fullmatch(pattern, f"{asked.method} {asked.path}"):
                return answer(self, asked, found[1])
        return Reply.of({"error": "Not Found"}, 404)

    def _version(self, _: Asked, number: str) -> Reply:
        said = self.versions.get(int(number))
        return Reply.of(said) if said else Reply.of({"error": f"No version with id {number}"}, 404)

    def _model(self, _: Asked, number: str) -> Reply:
        if int(number) not in self.models:
            return Reply.of({"error": f"No model with id {number}"}, 404)
        versions = [dict(self.versions[one]) for one in self.models[int(number)]]
        head = versions[0]["model"]
        for one in versions:
            one.pop("model")
            one.pop("modelId")
        return Reply.of({"id": int(number), **head, "description": "<b>It</b>", "modelVersions": versions})

    def _by_hash(self, _: Asked, digest: str) -> Reply:
        for version, data in self.data.items():
            if hashlib.sha256(data).hexdigest() == digest.lower():
                return Reply.of(self.versions[version])
        return Reply.of({"error": "Model not found"}, 404)

    def _download(self, asked: Asked, number: str) -> Reply:
        version = int(number)
        if version not in self.data:
            return Reply.of({"error": "Not Found"}, 404)
        if version in self.guarded and (asked.bearer or asked.query.get("token")) not in self.keys:
            said = {"error": "Unauthorized", "message": "The creator of this asset requires you to be logged in"}
            return Reply.of(said, 401)
        return Reply(307, b"", {"Location": f"{self.elsewhere}/storage/{version}?signed=1"})

    def _storage(self, asked: Asked, number: str) -> Reply:
        if "authorization" in asked.headers or asked.query.get("signed") != "1":
            return Reply(400, b"<Error>InvalidArgument</Error>")
        return Reply(200, self.data[int(number)], {"Content-Type": "application/octet-stream"}, is_file=True)

    def _picture(self, _: Asked, name: str) -> Reply:
        return Reply(200, self.pictures[name], {"Content-Type": "image/jpeg"})


_ROUTES = (
    (r"GET /api/v1/model-versions/(\d+)", SmallCivitai._version),
    (r"GET /api/v1/models/(\d+)", SmallCivitai._model),
    (r"GET /api/v1/model-versions/by-hash/(\w+)", SmallCivitai._by_hash),
    (r"GET /api/download/models/(\d+)", SmallCivitai._download),
    (r"GET /storage/(\d+)", SmallCivitai._storage),
    (r"GET /picture/(\w+)\.jpeg", SmallCivitai._picture),
)
