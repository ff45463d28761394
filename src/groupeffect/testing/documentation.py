"""Whether every option is documented, and the reference exists."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path

from groupeffect.testing.outcomes import NotApplicable, need

__all__ = ["check_parameters", "check_reference", "parameter_entries"]

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
_ENTRY = re.compile(r"^(\S.*?) : (.+)$", re.MULTILINE)


def sections(doc: str) -> dict[str, str]:
    """Sections of a numpydoc text by title."""
    found = list(_SECTION.finditer(doc))
    ends = [match.start() for match in found[1:]] + [len(doc)]
    return {match.group(1): doc[match.end() : end].strip("\n") for match, end in zip(found, ends, strict=True)}


def parameter_entries(doc: str) -> dict[str, tuple[str, str]]:
    """Parameters of a numpydoc text: name -> (type line, description)."""
    text = sections(doc).get("Parameters", "")
    found = list(_ENTRY.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    entries = {}
    for match, end in zip(found, ends, strict=True):
        for name in match.group(1).split(","):
            entries[name.strip()] = (match.group(2), text[match.end() : end].strip())
    return entries


def check_parameters(kind: type) -> str:
    """Every option has a type, its default and a description."""
    doc = inspect.getdoc(kind) or ""
    entries = parameter_entries(doc)
    options = dataclasses.fields(kind)
    faults = []
    for item in options:
        if item.name not in entries:
            faults.append(f"{item.name} is not documented")
            continue
        line, description = entries[item.name]
        if not description:
            faults.append(f"{item.name} has no description")
        if not _states_default(line, item):
            faults.append(f"{item.name} does not state its default in {line!r}")
    faults += [f"{name} is documented but no option" for name in entries if name not in {o.name for o in options}]
    need(not faults, "; ".join(faults))
    return f"{len(options)} options"


def _states_default(line: str, item: dataclasses.Field[object]) -> bool:
    if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
        return "optional" not in line and "default" not in line
    if item.default is None:
        return "optional" in line or "default" in line
    match = re.search(r"default:? (.+)$", line)
    if match is None:
        return False
    stated = match.group(1).strip("`. ")
    if item.default is dataclasses.MISSING or stated == str(item.default):
        return True
    try:
        return bool(ast.literal_eval(stated) == item.default)
    except (ValueError, SyntaxError):  # not a literal: an object, named in words
        return False


def check_reference(kind: type, reference: str, bibliography: Path | None) -> str:
    """A References section, and the key in the bibliography (if one is given)."""
    found = sections(inspect.getdoc(kind) or "").get("References", "")
    need(len(found) > 20, "the docstring has no References section")
    need(reference, "info.reference is empty")
    if bibliography is None:
        raise NotApplicable("a References section is there; no bibliography was given to look the key up")
    keys = re.findall(r"^@\w+\{\s*([^,\s]+)\s*,", bibliography.read_text(encoding="utf-8"), re.MULTILINE)
    need(reference in keys, f"{reference!r} is not a key of {bibliography.name} ({len(keys)} keys)")
    return reference
