"""The README as a registry of packages shows it: with absolute links, once the repository has a public address.

A registry's page lies elsewhere than the repository, so that links to its files need its address. That is ``Source``
under ``[project.urls]`` in `pyproject.toml`; as long as none is given, the README goes out as it is.
"""

import re
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)]+)\)")


def with_address(text: str, source: str, branch: str = "main") -> str:
    """Links to files of the repository as links to ``source``; pictures to the files themselves, not to their pages."""
    base = source.rstrip("/")

    def absolute(found: re.Match[str]) -> str:
        mark, words, path = found.groups()
        return f"{mark}[{words}]({base}/{'raw' if mark else 'blob'}/{branch}/{path})"

    return LINK.sub(absolute, text)


class RegistryReadme(MetadataHookInterface):
    """Called by hatchling when a distribution is built."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the README's text into the metadata."""
        with open(f"{self.root}/README.md", encoding="utf-8") as file:
            text = file.read()
        if source := metadata.get("urls", {}).get("Source"):
            text = with_address(text, source)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
