"""The template, and what CloudFormation makes of its values."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[1]
NO_VALUE = object()

type Names = Mapping[str, str]
"""What references stand for: parameters, resources (`X`), their attributes (`X.Arn`), pseudo parameters."""


@cache
def document() -> dict[str, Any]:
    """The template's file, with CloudFormation's functions in their long form."""
    return yaml_parse((ROOT / "template.yaml").read_text())


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the template's resources of a type, by logical id."""
    found = document()["Resources"].items()
    return {name: resource["Properties"] for name, resource in found if resource["Type"] == kind}


def resolved(value: Any, names: Names) -> Any:  # noqa: C901, PLR0911 - an answer for each of CloudFormation's functions
    """A value of the template, once every reference stands for something."""
    match value:
        case {"Ref": "AWS::NoValue"}:
            return NO_VALUE
        case {"Ref": name}:
            return names[name]
        case {"Fn::GetAtt": [name, attribute]}:
            return names[f"{name}.{attribute}"]
        case {"Fn::Sub": [text, more]}:
            return _substituted(text, {**names, **resolved(more, names)})
        case {"Fn::Sub": text}:
            return _substituted(text, names)
        case {"Fn::If": [condition, then, otherwise]}:
            return resolved(then if holds(condition, names) else otherwise, names)
        case {"Fn::FindInMap": path}:
            found = document()["Mappings"]
            for name in path:
                found = found[resolved(name, names)]
            return found
        case dict():
            members = {key: resolved(each, names) for key, each in value.items()}
            return {key: each for key, each in members.items() if each is not NO_VALUE}
        case list():
            return [each for each in (resolved(item, names) for item in value) if each is not NO_VALUE]
    return value


def holds(condition: Any, names: Names) -> bool:
    """Whether a condition of the template is true, by its name or itself."""
    match condition:
        case str():
            return holds(document()["Conditions"][condition], names)
        case {"Condition": name}:
            return holds(name, names)
        case {"Fn::Equals": [one, other]}:
            return resolved(one, names) == resolved(other, names)
        case {"Fn::Not": [other]}:
            return not holds(other, names)
        case {"Fn::And": others}:
            return all(holds(each, names) for each in others)
    raise AssertionError(f"nobody has said what the condition {condition} means")


def _substituted(text: str, names: Names) -> str:
    """`${Name}` is replaced; `${!Name}` is how the template writes `${Name}`."""
    return re.sub(
        r"\$\{([^}]+)\}", lambda found: f"${{{found[1][1:]}}}" if found[1][0] == "!" else names[found[1]], text
    )
