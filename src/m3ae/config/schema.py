"""The JSON schema of a run's YAML, for editors and reviewers: ``config/schema.json``."""

import json
from pathlib import Path

from m3ae.config.models import RunSettings

SCHEMA = Path("config/schema.json")


def schema_text() -> str:
    """The schema as committed: every key optional, since a run may extend another."""
    schema = RunSettings.model_json_schema()
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "The run whose settings hold where this file says nothing.",
    }
    for definition in [schema, *schema["$defs"].values()]:
        definition.pop("required", None)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
