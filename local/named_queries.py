"""Copies the named queries from `queries/`, where they are edited, into the template, which cannot read files.

`make format` runs it: `python -m local.named_queries`.
"""

from __future__ import annotations

import json
from textwrap import indent
from typing import TYPE_CHECKING, Final

from local.checkout import CHECKOUT
from local.query import named_queries

if TYPE_CHECKING:
    from local.query import NamedQuery

TEMPLATE: Final = CHECKOUT / "template.yaml"

_RULE: Final = "  # ----------------------------------------------------------------"
BEGIN: Final = f"{_RULE} named queries: of queries/, by `make format`\n"
END: Final = f"{_RULE} end of the named queries\n"


def rewritten(template: str) -> str:
    """The template with its section of named queries as `queries/` has them now."""
    before, _, rest = template.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n".join(map(_resource, named_queries().values())) + END + after


def _resource(query: NamedQuery) -> str:
    logical_id = "".join(word.capitalize() for word in query.name.split("_")) + "Query"
    return f"""\
  {logical_id}:
    Type: AWS::Athena::NamedQuery
    Condition: IsHome
    Properties:
      Name: {query.name}
      Description: {json.dumps(query.question)}
      Database: !Ref Database
      WorkGroup: !Ref Workgroup
      QueryString: |
{indent(query.sql, " " * 8)}"""


if __name__ == "__main__":
    TEMPLATE.write_text(rewritten(TEMPLATE.read_text()))
