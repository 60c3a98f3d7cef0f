"""The template as its tests read it."""

import re
from collections.abc import Iterator
from typing import Any

from tests.cloudformation import ROOT, document, of_type

TEXT = (ROOT / "template.yaml").read_text()
TEMPLATE = document()
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
CONDITIONS: dict[str, Any] = TEMPLATE["Conditions"]
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
GLOBALS = TEMPLATE["Globals"]["Function"]
FUNCTIONS = of_type("AWS::Serverless::Function")
((MACHINE_ID, MACHINE),) = of_type("AWS::Serverless::StateMachine").items()


def walk(value: Any) -> Iterator[Any]:
    """A value and all that is in it."""
    yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(each)


def listed(value: Any) -> list[Any]:
    """A list, or one in place of a list of one."""
    return value if isinstance(value, list) else [value]


def references(value: Any) -> Iterator[str]:
    """The names that a part of the template refers to, by Ref, GetAtt or Sub."""
    for each in walk(value):
        match each:
            case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
                yield name
            case {"Fn::Sub": str(text) | [str(text), *_]}:
                yield from (name.partition(".")[0] for name in re.findall(r"\$\{([^}!]+)\}", text))


def accepts(parameter: str, value: str) -> bool:
    """Whether a parameter of the template takes a value."""
    declared = PARAMETERS[parameter]
    if "AllowedValues" in declared:
        return value in declared["AllowedValues"]
    if declared["Type"] == "Number":
        return declared["MinValue"] <= float(value) <= declared["MaxValue"]
    return re.fullmatch(declared.get("AllowedPattern", ".*"), value) is not None
