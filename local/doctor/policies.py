"""What a resource's own policy lets an AWS service do: trust policies, bucket policies, permissions of functions.

AWS has a simulator for what a role may do, and none for what a service may do to a role, a bucket or a function.
This weighs a policy as its documentation says (reference_policies_evaluation-logic.html, read 2026-11), as far as
a service's requests go: one caller, one action, one resource, and a handful of condition keys. What a condition
asks beyond those, it does not guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

type Policy = Mapping[str, Any]
type Statement = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a service wants: an action on a resource, with condition keys in lower case."""

    service: str
    action: str
    resource: str
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a policy allows it, None where that cannot be told; and why, as the end of a sentence."""

    is_allowed: bool | None
    why: str = ""


def answer(policy: Policy, asked: Asked) -> Answer:
    """Weigh a policy, given as JSON: a statement that denies wins over all that allow."""
    denies, allows = (
        [(_Fit.of(each, asked), each) for each in _list(policy.get("Statement")) if each.get("Effect") == effect]
        for effect in ("Deny", "Allow")
    )
    best, statement = max(allows, key=lambda each: each[0], default=(_Fit.OTHER_SERVICE, {}))
    worst, denial = max(denies, key=lambda each: each[0], default=(_Fit.OTHER_SERVICE, {}))
    if worst is _Fit.WHOLLY:
        return Answer(is_allowed=False, why=f"its statement {_name(denial)} denies {asked.action}")
    if best < _Fit.PERHAPS:
        return Answer(is_allowed=False, why=_why_not(best, statement, asked))
    if best is _Fit.PERHAPS:
        return Answer(
            is_allowed=None, why=f"its statement {_name(statement)} has a condition on {_keys(statement)}"
        )
    if worst is _Fit.PERHAPS:
        return Answer(is_allowed=None, why=f"its statement {_name(denial)} denies under {_keys(denial)}")
    return Answer(is_allowed=True)


def _why_not(best: _Fit, statement: Statement, asked: Asked) -> str:
    match best:
        case _Fit.OTHER_SERVICE:
            return f"no statement of it is for {asked.service}"
        case _Fit.OTHER_ACTION:
            return f"no statement of it allows {asked.service} to do {asked.action}"
        case _Fit.OTHER_RESOURCE:
            return f"it does not allow {asked.action} on {asked.resource}"
        case _:
            wanted = next(_failing(statement, asked.keys))
            return f"its statement {_name(statement)} allows {asked.action} only where {wanted}"


def _name(statement: Statement) -> str:
    return f"'{statement['Sid']}'" if "Sid" in statement else "without a Sid"


class _Fit(IntEnum):
    """How far a statement is about a request."""

    OTHER_SERVICE = 0
    OTHER_ACTION = 1
    OTHER_RESOURCE = 2
    OTHER_CONDITION = 3
    PERHAPS = 4
    WHOLLY = 5

    @classmethod
    def of(cls, statement: Statement, asked: Asked) -> _Fit:
        if not _names_service(statement, asked.service):
            return cls.OTHER_SERVICE
        if not _covers(statement, "Action", asked.action.lower(), str.lower):
            return cls.OTHER_ACTION
        if not _covers(statement, "Resource", asked.resource, str):
            return cls.OTHER_RESOURCE
        held = {_holds(operator, key, values, asked.keys) for operator, key, values in _conditions(statement)}
        if False in held:
            return cls.OTHER_CONDITION
        return cls.PERHAPS if None in held else cls.WHOLLY


def _names_service(statement: Statement, service: str) -> bool:
    if "NotPrincipal" in statement:
        return not _is_principal(statement["NotPrincipal"], service)
    return _is_principal(statement.get("Principal"), service)


def _is_principal(principal: Any, service: str) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(principal, dict):
        return bool(principal == "*")
    return service in _list(principal.get("Service")) or "*" in _list(principal.get("AWS"))


def _covers(statement: Statement, element: str, asked: str, spelled: Callable[[str], str]) -> bool:
    """Whether the action or the resource is covered; a trust policy has no resource."""
    if f"Not{element}" in statement:
        return not any(_is_like(asked, spelled(each)) for each in _list(statement[f"Not{element}"]))
    return element not in statement or any(_is_like(asked, spelled(each)) for each in _list(statement[element]))


def _is_like(value: str, pattern: str) -> bool:
    wild = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wild, value, re.DOTALL) is not None


# ---------------------------------------------------------------- conditions
_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "stringequals": str.__eq__,
    "stringequalsignorecase": lambda value, wanted: value.lower() == wanted.lower(),
    "stringlike": _is_like,
    "arnequals": _is_like,
    "arnlike": _is_like,
    "bool": lambda value, wanted: value.lower() == wanted.lower(),
}
"""ArnEquals and ArnLike are the same (reference_policies_elements_condition_operators.html, read 2026-11)."""


def _conditions(statement: Statement) -> Iterator[tuple[str, str, list[str]]]:
    for operator, wanted in statement.get("Condition", {}).items():
        for key, values in wanted.items():
            yield operator, key, [str(each) for each in _list(values)]


def _keys(statement: Statement) -> str:
    return " and ".join(key for _, key, _ in _conditions(statement))


def _failing(statement: Statement, keys: Mapping[str, str]) -> Iterator[str]:
    """Each condition that does not hold, in words."""
    for operator, key, values in _conditions(statement):
        if _holds(operator, key, values, keys) is False:
            yield f"{key} {operator} {' or '.join(values)}, and here it is {keys[key.lower()]}"


def _holds(operator: str, key: str, values: list[str], keys: Mapping[str, str]) -> bool | None:
    """Whether a condition holds; None where that takes a key or an operator that is not known here."""
    value = keys.get(key.lower())
    name = operator.lower().removesuffix("ifexists").rpartition(":")[2]
    if value is None or any("${" in each for each in values):
        return None
    if name == "null":
        return "false" in [each.lower() for each in values]
    test = _TESTS.get(name.replace("not", ""))
    if test is None:
        return None
    return any(test(value, each) for each in values) != ("not" in name)


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - IAM takes one in place of a list of one
    return value if isinstance(value, list) else [] if value is None else [value]
