"""The published schema of records."""

from importlib.resources import files


def schema_text() -> str:
    """JSON Schema (draft 2020-12) of the records, as the file has it."""
    return files("shiftfix.cli").joinpath("record.schema.json").read_text(encoding="utf-8")
