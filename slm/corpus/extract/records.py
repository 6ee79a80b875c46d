"""JSON tables as text: one line a record, its name in front, what people wrote before what machines count."""

from __future__ import annotations

import json
from typing import Any

#: Values for programs that tell a reader nothing; each stands in every record of a table of processor events.
_SKIPPED = {
    "SampleAfterValue",
    "Counter",
    "PEBS",
    "PEBScounters",
    "CollectPEBSRecord",
    "Unit",
    "PerPkg",
    "CounterHTOff",
}
#: With this many values of a record, the longest ones, it is compared whether they say what another says.
_COMPARED = 8


def json_lines(text: str) -> str | None:
    """Return a JSON list of objects as lines; None for any other text."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        return None
    return "\n".join(line for line in map(_line, content) if line)


def _line(record: dict[str, Any]) -> str:
    name = next((value for key, value in record.items() if key.endswith("Name") and isinstance(value, str)), "")
    values = [(key, value) for key, value in record.items() if value is not name and key not in _SKIPPED]
    prose = [" ".join(value.split()) for _, value in values if isinstance(value, str) and " " in value.strip()]
    longest = sorted(dict.fromkeys(prose), key=len)[-_COMPARED:]
    prose = [text for text in prose if not any(text != other and text.rstrip(".") in other for other in longest)]
    facts = [f"{key} {value}" for key, value in values if isinstance(value, str) and value and " " not in value.strip()]
    said = " ".join(dict.fromkeys(prose))
    return ": ".join(part for part in (name, said) if part) + (
        f" ({', '.join(facts)})" if facts and (name or said) else ""
    )
