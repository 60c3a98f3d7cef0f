"""A part of a document that a command writes, between `<!-- begin: NAME -->` and `<!-- end: NAME -->`."""

from __future__ import annotations

import re

from flowlag.errors import FlowlagError


class NoSuchBlock(FlowlagError):
    """A document has not the block that a command would write, or has it twice."""


def with_block(document: str, name: str, content: str) -> str:
    """The document with other content in one of its blocks.

    Raises:
        NoSuchBlock: there is not one of this name.
    """
    before, _, after = _parts(document, name)
    return f"{before}{content.strip()}\n{after}"


def block(document: str, name: str) -> str:
    """What is in a block.

    Raises:
        NoSuchBlock: there is not one of this name.
    """
    return _parts(document, name)[1]


def _parts(document: str, name: str) -> tuple[str, str, str]:
    begin, end = (re.escape(f"<!-- {word}: {name} -->") for word in ("begin", "end"))
    found = re.findall(rf"(?s)\A(.*{begin}\n)(.*?)({end}\n.*)\Z", document)
    if len(found) != 1 or len(re.findall(begin, document)) != 1:
        raise NoSuchBlock(f"the document has not one block '{name}': mark it by '<!-- begin: {name} -->'")
    ((before, content, after),) = found
    return before, content, after
