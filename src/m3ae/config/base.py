"""The base of every settings model: strict types, no unknown keys, immutable."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Refuses unknown keys and wrong types: ``2e-4`` without a dot is text in YAML, not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    def plain(self) -> dict[str, Any]:
        """The settings as plain lists, dicts and scalars (JSON types)."""
        return self.model_dump(mode="json")


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Rgb = Annotated[list[float], Field(min_length=3, max_length=3)]
Range = Annotated[list[float], Field(min_length=2, max_length=2)]
