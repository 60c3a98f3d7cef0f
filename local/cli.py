"""The `flowlag` command: what it takes, and how an error becomes one sentence.

Commands import what they run when they run: `flowlag decode` need not wait for Arrow.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from flowlag.delivery import PRESETS
from flowlag.distribution import BURST_GAP_S
from flowlag.errors import FlowlagError
from flowlag.prices import INSTANCE_TYPES

UNUSABLE = 2
"""The exit code where something that was given cannot be used."""
INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended: 128 and the number of SIGINT."""


class OneSentence(click.Group):
    """Commands whose errors are one sentence on standard error: what, where, and what to do.

    Only errors that a user can mend are caught. Any other is a defect of flowlag and keeps its traceback.
    """

    def main(self, *args: Any, **extra: Any) -> NoReturn:  # noqa: ANN401 - click's own arguments
        """Run a command and exit; what the command returns, if anything, is the exit code."""
        extra["standalone_mode"] = False
        try:
            status = super().main(*args, **extra)
        except click.Abort:
            sys.exit(INTERRUPTED)
        except (click.ClickException, FlowlagError, OSError) as error:
            click.echo(f"flowlag: {' '.join(_sentence(error).split())}", err=True)
            sys.exit(UNUSABLE)
        sys.exit(status)


def _sentence(error: Exception) -> str:
    match error:
        case click.UsageError(ctx=click.Context() as ctx):
            return f"{error.format_message().rstrip('.')}: see '{ctx.command_path} --help'"
        case click.ClickException():
            return error.format_message()
        case FileNotFoundError(filename=str() as name):
            return f"there is no file or directory '{name}': check the path"
        case PermissionError(filename=str() as name):
            return f"'{name}' may not be read: check its permissions"
        case OSError(filename=str() as name, strerror=str() as reason):
            return f"'{name}' cannot be used: {reason}"
        case _:
            return str(error)


class Seconds(click.ParamType[float]):
    """A positive number of seconds."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; `nan` is a float that no comparison refuses."""
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            self.fail(f"'{value}' is not a positive number of seconds", param, ctx)
        return seconds


_RATE = click.option(
    "--rate",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Probes a second, as they were sent: a source port is the tick, counted at this rate, modulo 65,536.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")


def _print_json(answer: dict[str, Any]) -> None:
    click.echo(json.dumps(answer, indent=2, allow_nan=False))


@click.group(
    "flowlag",
    cls=OneSentence,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="flowlag")
@click.pass_context
def main(ctx: click.Context) -> None:
    """How late are your VPC Flow Logs?

    flowlag sends packets that carry their own send time in the TCP source port, waits for them to appear in the
    flow log, and tells how long that took. Every command takes --json.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


_PATH = click.Path(readable=False, path_type=Path)  # reading tells better what is wrong


@main.command()
@click.option(
    "--duration",
    "traffic_s",
    type=click.IntRange(1, 600),  # MiniStack's FilterLogEvents ends at 10,000 events; a probe and its RST are two
    default=15,
    show_default=True,
    help="Seconds of the traffic window.",
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default="xen-600",
    show_default=True,
    help="Whose habits the flow-log service has.",
)
@click.option(
    "--time-scale",
    type=click.FloatRange(1, 60),
    default=60,
    show_default=True,
    help="How many times as fast as AWS the flow-log service is.",
)
@click.option(
    "--loss",
    type=click.FloatRange(0, 1),
    default=0,
    show_default=True,
    help="Share of the flow records that the service loses.",
)
@click.option("--out", type=_PATH, default=Path("out"), show_default=True, help="Folder for the run's Parquet.")
@click.option("--keep", is_flag=True, help="Leave the embedded AWS up until Ctrl-C.")
@_JSON
def demo(*, keep: bool, as_json: bool, **options: Any) -> int:  # noqa: ANN401 - click passes what is declared above
    """One whole run on this machine: real packets, the embedded AWS, a query of the results.

    The template, the state machine, the functions and the sender are those that are deployed to AWS. The flow-log
    service is our own, with habits that were measured on AWS, sped up: the delays are local, not AWS's.

    \b
    Examples:
      flowlag demo
      flowlag demo --loss 0.1 --json
      flowlag demo --preset nitro-60 --keep
    """  # noqa: D301 - click reads the control character
    from local import demo as demos

    return demos.main(demos.DemoOptions(**options), keep=keep, as_json=as_json)


@main.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_PATH)
@click.option(
    "--ledger",
    type=_PATH,
    help="What was sent: a run's ledger.csv, or the log of Episode 18's script (test3A.csv).",
)
@click.option(
    "--capture",
    type=_PATH,
    help="What arrived: a run's capture.csv, or a pcap file of tcpdump.",
)
@_RATE
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=7_777,
    show_default=True,
    help="The target's port, by which probes are told in flow-log files and in a pcap file.",
)
@click.option(
    "--burst-gap",
    type=Seconds(),
    default=BURST_GAP_S,
    show_default=True,
    help="Deliveries less than this many seconds apart are one burst.",
)
@_JSON
def analyze(
    paths: tuple[Path, ...],
    *,
    ledger: Path | None,
    capture: Path | None,
    rate: int,
    port: int,
    burst_gap: float,
    as_json: bool,
) -> None:
    """How late the flow records in PATH are, and what is missing.

    PATH is one of:

    \b
    observations    Parquet of a run, or a directory of them (a copy of the bucket)
    an export       the CSV of a Logs Insights query with the columns
                    @ingestionTime, @timestamp and srcPort, as in Episode 18
    flow-log files  as AWS writes them to S3: .log, .log.gz, Parquet; these do not
                    say when they were delivered, so that no delay can be told

    A record's `start` is the label of its capture window, not the time of a packet. So the time of sending is read
    from the source port, and every delay is from there to AWS's own time of delivery.

    With --ledger and --capture it also tells apart the probes that were never sent, those lost on the wire, and
    those that the flow log never recorded. Add one of them, or both.

    \b
    Examples:
      flowlag analyze results/ --json
      flowlag analyze logs-insights-results.csv --ledger test3A.csv --capture tcpdump.pcap
    """  # noqa: D301 - click reads the control character
    from local import analyze as analyses
    from local import render, sources

    answer = analyses.analyze(
        sources.read(paths, port=port, rate=rate),
        ledger=sources.read_ledger(ledger, rate) if ledger else None,
        captured=sources.read_capture(capture, port, rate) if capture else None,
        burst_gap_s=burst_gap,
    )
    if as_json:
        _print_json(answer.as_json())
    else:
        render.show(render.analysis(answer))


@main.command()
@click.argument("port", type=click.IntRange(0, 65_535))
@click.option(
    "--near",
    metavar="TIME",
    required=True,
    help="A time less than half a horizon away, such as the record's start: ISO 8601 or epoch seconds.",
)
@_RATE
@_JSON
def decode(port: int, *, near: str, rate: int, as_json: bool) -> None:
    """When the probe with source port PORT was due.

    A source port carries the second (the tick, at other rates) modulo 65,536. At one probe a second the same port
    comes again after 18.2 hours, so that it names a time only together with another one near it. The answer is the
    nearest tick, and the two that it could be instead: one horizon before it and one after.

    \b
    Example:
      flowlag decode 4184 --near 2022-03-03T19:00:40Z
    """  # noqa: D301 - click reads the control character
    from local import decode as stamps
    from local import render

    answer = stamps.Decoded.of(port, stamps.Near.of(near), rate)
    if as_json:
        _print_json(answer.as_json())
    else:
        render.show(render.decoded(answer))


@main.command()
@click.argument("experiment", default="default")
@click.option(
    "--regions",
    metavar="NAMES",
    default="us-east-1",
    show_default=True,
    help="Where it runs, separated by commas; the first one is home, where the results are.",
)
@click.option(
    "--runs-per-day", type=click.IntRange(min=0), default=4, show_default=True, help="Runs a day on each sender."
)
@click.option(
    "--days", type=click.IntRange(1, 3_650), default=30, show_default=True, help="How long the stacks stand."
)
@click.option(
    "--sender-type",
    "senders",
    type=click.Choice(INSTANCE_TYPES),
    multiple=True,
    default=["t3.micro"],
    show_default=True,
    help="Instance type of the sender; once for each, where a stack has two.",
)
@click.option("--own-target", is_flag=True, help="The target is a machine of yours, which costs nothing here.")
@_JSON
def estimate(
    experiment: str,
    *,
    regions: str,
    runs_per_day: int,
    days: int,
    senders: tuple[str, ...],
    own_target: bool,
    as_json: bool,
) -> None:
    """What a campaign will cost before it runs, item by item, at list prices.

    EXPERIMENT is the name of one in functions/experiments, or the path of a TOML file like those. AWS is not asked:
    the prices are part of flowlag, dated, each with its source; a price without a source is called unverified.

    \b
    Examples:
      flowlag estimate --regions eu-west-1,us-east-1 --days 14
      flowlag estimate s3-layouts --sender-type t2.micro --runs-per-day 2 --json
    """  # noqa: D301 - click reads the control character
    from flowlag.cost import Stack
    from local import estimate as estimates
    from local import render, render_estimate

    stack = Stack(senders=senders, target=None) if own_target else Stack(senders=senders)
    answer = estimates.Estimate.of(
        estimates.experiment_of(experiment),
        estimates.regions_of(regions),
        runs_per_day=runs_per_day,
        days=days,
        stack=stack,
    )
    if as_json:
        _print_json(answer.as_json())
    else:
        render.show(render_estimate.estimate(answer))


@main.command()
@click.argument("name", required=False)
@click.option(
    "--source",
    "sources",
    metavar="PATH",
    multiple=True,
    type=_PATH,
    help="Ask the Parquet in this folder instead of Athena: what 'flowlag demo' leaves, or a copy of the bucket."
    " May be given again.",
)
@click.option("--stack", metavar="NAME", help="The home stack, whose Athena is asked.  [default: flowlag]")
@click.option("--region", metavar="NAME", help="Where it is.  [default: as the AWS CLI is configured]")
@_JSON
def query(
    name: str | None, *, sources: tuple[Path, ...], stack: str | None, region: str | None, as_json: bool
) -> None:
    """Ask the results a named question, on Athena or here.

    Without NAME it lists the questions. Each is a file of queries/, in Athena's SQL; with --source DuckDB runs it.
    docs/queries.md says what the columns mean.

    \b
    Examples:
      flowlag query
      flowlag query delay_percentiles --region eu-west-1
      flowlag query delay_by_arm --source out/ --json
    """  # noqa: D301 - click reads the control character
    from local import query as queries
    from local import render_query

    if sources and (stack or region):
        raise click.UsageError("--source asks no stack: give neither --stack nor --region with it")
    if name is None:
        title, answer = "Queries, each with its question", queries.catalogue()
    else:
        asked = queries.named_query(name)
        title = asked.question
        answer = (
            queries.ask_files(asked.sql, sources)
            if sources
            else queries.ask_athena(asked.sql, stack or "flowlag", region)
        )
    if as_json:
        _print_json(({"query": name} if name else {}) | {"rows": list(answer.rows)})
    else:
        render_query.show(title, answer)
