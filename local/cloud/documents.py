"""SSM documents: what a Command document makes of its parameters before it reaches an instance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCHEMA: Final = "2.2"
_ACTION: Final = "aws:runShellScript"
_DEFAULT_TIMEOUT_S: Final = "3600"
_TEXT_PARAMETER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class InvalidDocument(FlowlagError):
    """The document is not one that is understood here; the message says why."""


class InvalidParameters(FlowlagError):
    """A command's parameters are not those that its document declares."""


@dataclass(frozen=True, slots=True)
class Step:
    """A shell script as an instance gets it, with the environment that the document adds to its own."""

    script: str
    environment: Mapping[str, str]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Document:
    """A Command document of schema 2.2 whose parameters are strings and whose steps are shell scripts."""

    parameters: Mapping[str, Mapping[str, Any]]
    inputs: tuple[Mapping[str, Any], ...]

    @classmethod
    def of_content(cls, content: str | Mapping[str, Any]) -> Self:
        """Read a document, as YAML, JSON or already parsed.

        Raises:
            InvalidDocument: it is no such document.
        """
        document = yaml.safe_load(content) if isinstance(content, str) else content
        if not isinstance(document, dict) or str(document.get("schemaVersion")) != _SCHEMA:
            raise InvalidDocument(f"a Command document has the schemaVersion '{_SCHEMA}'")
        parameters, steps = document.get("parameters", {}), document.get("mainSteps", [])
        for name, parameter in parameters.items():
            if parameter.get("type") != "String":
                raise InvalidDocument(
                    f"the parameter '{name}' is a {parameter.get('type')}; String is understood here"
                )
        for step in steps:
            if step.get("action") != _ACTION:
                raise InvalidDocument(f"the action '{step.get('action')}' is not run here; '{_ACTION}' is")
        return cls(parameters, tuple(step["inputs"] for step in steps))

    def steps(self, given: Mapping[str, Sequence[str]]) -> list[Step]:
        """What to run for the parameters of a command, each a list of one value.

        Raises:
            InvalidParameters: one is unknown, missing, or not allowed.
        """
        values = self._values(given)
        in_environment = {name for name in values if self.parameters[name].get("interpolationType") == "ENV_VAR"}
        environment = {f"SSM_{name}": values[name] for name in in_environment}
        in_text = {name: value for name, value in values.items() if name not in in_environment}
        return [
            Step(
                script=_interpolated("\n".join(inputs["runCommand"]), in_text),
                environment=environment,
                timeout_s=float(inputs.get("timeoutSeconds", _DEFAULT_TIMEOUT_S)),
            )
            for inputs in self.inputs
        ]

    def _values(self, given: Mapping[str, Sequence[str]]) -> dict[str, str]:
        unknown = sorted(given.keys() - self.parameters.keys())
        if unknown:
            raise InvalidParameters(f"the document has no parameter '{unknown[0]}'")
        return {name: _checked(name, parameter, given.get(name)) for name, parameter in self.parameters.items()}


def _checked(name: str, parameter: Mapping[str, Any], given: Sequence[str] | None) -> str:
    if given is None and "default" not in parameter:
        raise InvalidParameters(f"the parameter '{name}' is missing")
    if given is not None and len(given) != 1:
        raise InvalidParameters(f"the parameter '{name}' takes one value, not {len(given)}")
    value = str(parameter["default"]) if given is None else given[0]
    allowed = parameter.get("allowedValues")
    if allowed is not None and value not in map(str, allowed):
        raise InvalidParameters(f"'{value}' is not one of the allowedValues of the parameter '{name}'")
    # A search, not a match of the whole: a pattern that forgets its anchors must not be made good here.
    if "allowedPattern" in parameter and not re.search(parameter["allowedPattern"], value):
        raise InvalidParameters(f"'{value}' does not match the allowedPattern of the parameter '{name}'")
    return value


def _interpolated(script: str, values: Mapping[str, str]) -> str:
    return _TEXT_PARAMETER.sub(lambda place: values.get(place[1], place[0]), script)
