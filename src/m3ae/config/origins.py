"""Where a published evaluation set is downloaded from."""

from typing import Annotated, Literal

from pydantic import Field

from m3ae.config.base import Positive, Settings

Md5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Hub(Settings):
    """Files of a data set's repository on the Hugging Face hub; their paths there are kept."""

    kind: Literal["hub"]
    to: str
    """Folder below the data root."""
    repo: str
    """Repository, such as `uoft-cs/cifar10`."""
    files: list[str]
    """Patterns of the files that are taken."""
    revision: str = "main"
    """Branch, tag or commit."""
    gated: bool = False
    """Whether its page asks to accept terms first, and a token is needed."""

    @property
    def before(self) -> str:
        """What a user has to do first; empty if nothing."""
        return f"accept the terms at {self.page}, and log in: hf auth login" if self.gated else ""

    @property
    def where(self) -> str:
        """In words."""
        return f"{', '.join(self.files)} of {self.page}"

    @property
    def page(self) -> str:
        """The page for people."""
        return f"https://huggingface.co/datasets/{self.repo}"


class Archive(Settings):
    """One tar or zip file."""

    kind: Literal["archive"]
    to: str
    """Folder below the data root, which becomes the archive's folder `inside`."""
    url: str
    """Where it lies (http or https)."""
    inside: str
    """Folder in the archive that holds the set; what is beside it is left out."""
    size_bytes: Positive | None = None
    """Size of the archive, where a public source states it."""
    md5: Md5 | None = None
    """Checksum of the archive, where a public source states it."""
    sha256: Sha256 | None = None
    """Checksum of the archive, where a public source states it."""

    @property
    def before(self) -> str:
        """What a user has to do first: nothing."""
        return ""

    @property
    def where(self) -> str:
        """In words."""
        return self.url
