"""docs/commands.md: every command with every option, from click's own declarations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = """\
<!-- Written by `python -m local.documents` from local/cli.py: edit that. -->

# Commands

What `{name} COMMAND --help` says, of all commands. `make setup` puts `{name}` into `.venv/bin`.

{commands}

An error is one sentence on standard error, and the exit code 2. Ctrl-C ends with 130. `{name} --version` tells the
version.
"""
_VERBATIM: Final = "\b\n"
"""How a docstring tells click to leave a paragraph as it is."""
_EXAMPLES: Final = re.compile(r"Examples?:\n")


def page(program: click.Group) -> str:
    """The whole page."""
    name = program.name or ""
    commands = {each: program.commands[each] for each in program.list_commands(click.Context(program))}
    listed = "\n".join(f"- [{each}](#{each}): {_sentence(command)}" for each, command in commands.items())
    sections = (_section(click.Context(command, info_name=f"{name} {each}")) for each, command in commands.items())
    return "\n".join((_HEAD.format(name=name, commands=listed), *sections))


def _sentence(command: click.Command) -> str:
    return " ".join(_paragraphs(command)[0].split())


def _paragraphs(command: click.Command) -> list[str]:
    return (command.help or "").strip().split("\n\n")


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join((context.info_name or "", *command.collect_usage_pieces(context)))
    texts = [_text(each) for each in _paragraphs(command)]
    parts = (f"## {(context.info_name or '').split()[-1]}", f"`{usage}`", *texts, "\n".join(_options(context)))
    return "\n\n".join(parts) + "\n"


def _text(paragraph: str) -> str:
    """A paragraph of a docstring in Markdown: what stays as it is in a block, and examples in one of a shell."""
    if not paragraph.startswith(_VERBATIM):
        return paragraph
    text = paragraph.removeprefix(_VERBATIM)
    if not _EXAMPLES.match(text):
        return f"```\n{text}\n```"
    return f"```sh\n{re.sub(r'(?m)^  ', '', _EXAMPLES.sub('', text))}\n```"


def _options(context: click.Context) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for parameter in context.command.params:
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            yield f"| {' | '.join(map(_cell, (f'`{record[0]}`', record[1])))} |"


def _cell(text: str) -> str:
    """Text as a table's cell has it: a bar would end it."""
    return text.replace("|", r"\|")
