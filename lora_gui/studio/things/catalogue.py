"""The families and their bases as anyone may know them, whether they are on this disk or not."""

from typing import Any

from lora_gui import families


def catalogue() -> list[dict[str, Any]]:
    """Each family with its bases, their licences and the size of the download in GB, and its ways of writing LoRAs."""
    return [
        {
            "key": facts.key,
            "title": facts.title,
            "resolution": facts.resolution,
            "dialects": list(facts.dialects),
            "bases": [
                {"key": base.key, "title": base.title, "repo": base.repo, "licence": base.licence, "gb": base.size_gb}
                for base in facts.bases
            ],
        }
        for facts in families.facts().values()
    ]
