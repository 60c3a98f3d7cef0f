"""The `flowlag` command: what it takes, and how an error becomes one sentence.

Commands import what they run when they run: `flowlag decode` need not wait for Arrow.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from flowlag.delivery import PRESETS
from flowlag.distribution import BURST_GAP_S
from flowlag.errors import FlowlagError
from flowlag.prices import INSTANCE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET_PORT = 7_777
"""Where probes go unless it is said otherwise."""
UNUSABLE = 2
"""The exit code where something that was given cannot be used."""
INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended: 128 and the number of SIGINT."""

READING = "reading what was observed"
PLANNING = "planning"
"""What a command says that it is doing."""


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


class Duration(click.ParamType[float]):
    """A length of time, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, as in 30s, 5m, 1h30m, or plain seconds."""
        from local.durations import seconds_of

        try:
            return seconds_of(str(value))
        except ValueError as reason:
            self.fail(f"{reason}: give one as in 30s, 5m or 1h30m", param, ctx)


_RATE = click.option(
    "--rate",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Probes a second, as they were sent: a source port is the tick, counted at this rate, modulo 65,536.",
)


def _port(meaning: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    return click.option(
        "--port", type=click.IntRange(1, 65_535), default=TARGET_PORT, show_default=True, help=meaning
    )


_BURST_GAP = click.option(
    "--burst-gap",
    type=Seconds(),
    default=BURST_GAP_S,
    show_default=True,
    help="Deliveries less than this many seconds apart are one burst.",
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
@_port("The target's port, by which probes are told in flow-log files and in a pcap file.")
@_BURST_GAP
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
    observations    Parquet of a run, or a directory of them (a copy of the bucket, or
                    several: then void runs are left out, and what was never
                    delivered counts)
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
    from local import analysis, sources
    from local.progress import working
    from local.render import show
    from local.render_analysis import tables

    with working(READING, as_json=as_json) as work:
        records = sources.read(paths, port=port, rate=rate)
        sent = sources.read_ledger(ledger, rate) if ledger else None
        captured = sources.read_capture(capture, port, rate) if capture else None
        work.now("analyzing them")
        answer = analysis.analyze(records, ledger=sent, captured=captured, burst_gap_s=burst_gap)
    if as_json:
        _print_json(answer.as_json())
    else:
        show(tables(answer, time.time_ns() // 1_000))


@main.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_PATH)
@click.option(
    "--every", type=Duration(), required=True, help="How often the rule runs: 30s, 5m, 1h30m, or seconds."
)
@click.option("--within", type=Duration(), help="How far it looks back; without it the look-back needed is told.")
@click.option("--arm", metavar="NAME", help="Only this arm's records: a rule reads one flow log.")
@click.option(
    "--format",
    "rule_format",
    type=click.Choice(["kql", "esql", "spl", "otel"]),
    help="Print the setting to paste, for --within or to see 99 %: Microsoft Sentinel, Elastic Security, Splunk, or"
    " the delay of what polls a log group.",
)
@_RATE
@_JSON
def lookback(
    paths: tuple[Path, ...],
    *,
    every: float,
    within: float | None,
    arm: str | None,
    rule_format: str | None,
    rate: int,
    as_json: bool,
) -> None:
    """What share of the flow records in PATH a scheduled detection rule would miss.

    PATH is what 'flowlag analyze' takes, but for flow-log files, which do not say when they were delivered.

    The rule runs --every so often and looks at the records whose time is --within the last so long. A record that
    is delivered after the last execution that reaches back to it is missed. The rule's phase is random, and a
    record's time as its packet's; the answer also tells the count from the record's own `start`.

    \b
    Examples:
      flowlag lookback results/ --every 5m --within 6m
      flowlag lookback logs-insights-results.csv --every 5m --json
      flowlag lookback results/ --every 5m --arm cloudwatch-600 --format kql
    """  # noqa: D301 - click reads the control character
    from local import lookback as lookbacks
    from local import render, render_lookback, rule_formats, sources
    from local.progress import working

    rule = lookbacks.Rule(every_s=every, within_s=within)
    with working(READING, as_json=as_json) as work:
        records = sources.read(paths, port=TARGET_PORT, rate=rate)
        work.now("running the rule over them")
        answer = lookbacks.lookback(records, rule, arm)
    setting = rule_formats.FORMATS[rule_format](rule_formats.Setting.of(answer)) if rule_format else None
    if as_json:
        _print_json(answer.as_json() | ({"format": rule_format, "setting": setting} if setting else {}))
    elif setting:
        click.echo(setting, nl=False)
    else:
        render.show(render_lookback.lookback(answer))


def _share(name: str, text: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """An option that is a share."""
    return click.option(name, type=click.FloatRange(0, 1), default=0, show_default=True, help=text)


@main.command()
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default="xen-600",
    show_default=True,
    help="Whose habits the flow-log service has.",
)
@click.option("--runs", type=click.IntRange(1, 10_000), default=30, show_default=True, help="Runs in each region.")
@click.option("--hours", type=float, help="Length of a run's traffic window.  [default: the experiment's, or 3]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed gives the same bytes."
)
@click.option(
    "--experiment",
    metavar="NAME|FILE",
    help="What a run does, of functions/experiments or a TOML file.  [default: the one arm of the preset]",
)
@click.option(
    "--regions", metavar="NAMES", default="us-east-1", show_default=True, help="Where, separated by commas."
)
@click.option(
    "--runs-per-day",
    type=click.IntRange(1, 1_000),
    default=4,
    show_default=True,
    help="Runs a day in each region, at most; they do not overlap.",
)
@_share("--loss", "Share of the flow records that are never delivered.")
@_share("--late", "Share of the deliveries that are held back, by a quarter of an hour on average.")
@_share("--twice", "Share of the deliveries that come twice.")
@_share("--wire-loss", "Share of the probes that never reach the target.")
@_share("--missed", "Share of the ticks that the sender misses.")
@click.option("--out", type=_PATH, default=Path("out/simulated"), show_default=True, help="Folder to make.")
@_JSON
def simulate(*, out: Path, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click passes what is declared above
    """A campaign in virtual time, without packets: the tables that AWS would have, and what is true of them.

    A model with the habits of a flow-log service, measured on AWS or assumed, delivers the records of probes that
    nobody sent. In OUT are then the tables, for 'flowlag analyze' and 'flowlag query', and truth.json, which
    docs/method.md explains: numbers that statistics can be held against. A folder that an earlier simulation left
    is replaced.

    \b
    Examples:
      flowlag simulate --preset xen-600 --runs 30 --hours 3 --seed 1
      flowlag simulate --experiment default --regions us-east-1,eu-west-1 --runs 120 --out out/month
      flowlag simulate --preset nitro-60 --loss 0.01 --late 0.05 --json
    """  # noqa: D301 - click reads the control character
    from local import render, render_simulate
    from local import simulate as simulations
    from local.progress import working

    with working("simulating", as_json=as_json) as work:
        told = simulations.simulate(simulations.SimulateOptions(**options), out, work)
    if as_json:
        _print_json({**told, "out": str(out)})
    else:
        render.show(render_simulate.simulation(told, out))


@main.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_PATH)
@click.option(
    "-o", "--out", type=_PATH, default=Path("out/report.html"), show_default=True, help="The page to write."
)
@click.option("--data", type=_PATH, metavar="FILE", help="Also write the page's data, as JSON.")
@click.option("--badge", type=_PATH, metavar="FILE", help="Also write the answer as a small picture, in SVG.")
@click.option("--ledger", type=_PATH, help="What was sent, beside an export: as for 'flowlag analyze'.")
@click.option("--capture", type=_PATH, help="What arrived, beside an export: as for 'flowlag analyze'.")
@_RATE
@_port("The target's port, by which probes are told in a pcap file.")
@_BURST_GAP
@_JSON
def report(
    paths: tuple[Path, ...],
    *,
    out: Path,
    data: Path | None,
    badge: Path | None,
    as_json: bool,
    **beside: Any,  # noqa: ANN401 - click passes what is declared above
) -> None:
    """One page that tells how late the flow records in PATH were, to be opened in any browser.

    PATH is a copy of the results bucket, a folder of such copies, or what 'flowlag analyze' takes, but for flow-log
    files, which do not say when they were delivered. The page needs no server and no network. docs/report.md tells
    how to read it.

    \b
    Examples:
      flowlag report out/simulated -o month.html
      flowlag report logs-insights-results.csv --ledger test3A.csv --capture tcpdump.pcap
    """  # noqa: D301 - click reads the control character
    from local import report as reports
    from local.progress import working

    now, burst_gap_s = time.time_ns() // 1_000, beside.pop("burst_gap")
    with working("reading runs and making the page", as_json=as_json):
        made = reports.report(paths, now, beside=reports.Beside(**beside), burst_gap_s=burst_gap_s)
        written = reports.write_all(made, {"page": out, "data": data, "badge": badge})
    if as_json:
        _print_json({**reports.summary(made), **written})
    else:
        click.echo(f"{made.data['answer']['sentence']}\n{made.data['source_in_words']}\nThe page is {out}.")


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


_REGIONS = click.option(
    "--regions",
    metavar="NAMES",
    default="us-east-1",
    show_default=True,
    help="Where it runs, separated by commas; the first one is home, where the results are.",
)
_SENDERS = click.option(
    "--sender-type",
    "senders",
    type=click.Choice(INSTANCE_TYPES),
    multiple=True,
    default=["t3.micro"],
    show_default=True,
    help="Instance type of the sender; once for each, where a stack has two.",
)
_OWN_TARGET = click.option(
    "--own-target", is_flag=True, help="The target is a machine of yours, which costs nothing here."
)


@main.command()
@click.argument("experiment", default="default")
@_REGIONS
@click.option(
    "--runs-per-day", type=click.IntRange(min=0), default=4, show_default=True, help="Runs a day on each sender."
)
@click.option(
    "--days", type=click.IntRange(1, 3_650), default=30, show_default=True, help="How long the stacks stand."
)
@_SENDERS
@_OWN_TARGET
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
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=_PATH)
@click.option("--difference", type=Duration(), help="State a difference of so much between delays.")
@click.option("--share", type=float, help="Or: state within which delay this share of the records is visible.")
@click.option(
    "--between",
    type=click.Choice(["arms", "campaigns"]),
    default="arms",
    show_default=True,
    help="Two arms of the same runs, which are compared in pairs, or two campaigns.",
)
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    help="One minus the probability to state what is not so.",
)
@click.option(
    "--power",
    type=float,
    default=0.9,
    show_default=True,
    help="The probability to state the difference where there is one.",
)
@click.option(
    "--arm", "arms", metavar="NAME", multiple=True, help="An arm of the pilot; give both, where two are compared."
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default="xen-600",
    show_default=True,
    help="The model that tells how far runs differ, where no pilot does.",
)
@click.option(
    "--experiment", default="default", show_default=True, help="What a run is, as for 'flowlag estimate'."
)
@_REGIONS
@click.option(
    "--runs-per-day", type=click.IntRange(min=1), default=4, show_default=True, help="Runs a day on each sender."
)
@_SENDERS
@_OWN_TARGET
@_RATE
@_JSON
def plan(
    paths: tuple[Path, ...],
    *,
    difference: float | None,
    share: float | None,
    rate: int,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - click passes what is declared above
) -> None:
    """How many runs, days and dollars it takes until something can be stated.

    Either that two arms, or two campaigns, differ by --difference; or, as a promise, within which delay a --share
    of the flow records is visible.

    PATH is a pilot: results of some runs, as 'flowlag analyze' takes them. It tells how far runs differ, and its
    runs count for the promise. Without it a delivery model tells how far runs differ.

    \b
    Examples:
      flowlag plan --difference 30
      flowlag plan results/ --difference 20 --between campaigns --arm cloudwatch-600
      flowlag plan results/ --arm cloudwatch-600 --share 0.95 --confidence 0.99
    """  # noqa: D301 - click reads the control character
    from local import planner, render, render_plan, sources
    from local.progress import working

    if (difference is None) == (share is None):
        raise click.UsageError("give either --difference or --share")
    is_given = click.get_current_context().get_parameter_source("preset") is ParameterSource.COMMANDLINE
    if paths and is_given:
        raise click.UsageError("a pilot tells how far runs differ: give no --preset with it")
    asked = planner.Asked(difference_s=difference, share=share, **options)
    with working(READING if paths else PLANNING, as_json=as_json) as work:
        pilot = sources.read(paths, port=TARGET_PORT, rate=rate) if paths else None
        work.now(PLANNING)
        answer = planner.plan(asked, pilot)
    if as_json:
        _print_json(answer.as_json())
    else:
        render.show(render_plan.plan(answer))


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
    from local.progress import working

    if sources and (stack or region):
        raise click.UsageError("--source asks no stack: give neither --stack nor --region with it")
    if name is None:
        title, answer = "Queries, each with its question", queries.catalogue()
    else:
        asked = queries.named_query(name)
        title = asked.question
        with working("asking the files" if sources else "asking Athena", as_json=as_json):
            answer = (
                queries.ask_files(asked.sql, sources)
                if sources
                else queries.ask_athena(asked.sql, stack or "flowlag", region)
            )
    if as_json:
        _print_json(({"query": name} if name else {}) | {"rows": list(answer.rows)})
    else:
        render_query.show(title, answer)


@main.command()
@click.option("--stack", metavar="NAME", default="flowlag", show_default=True, help="The stack that is looked at.")
@click.option("--region", metavar="NAME", help="Where it is.  [default: as the AWS CLI is configured]")
@click.option("--run", "run_id", metavar="ID", help="A run of it.  [default: the one under way, else the newest]")
@_JSON
def doctor(*, stack: str, region: str | None, run_id: str | None, as_json: bool) -> int:
    """Why nothing is arriving: look at everything on a flow record's way, and change nothing.

    For each check it tells what it looked at, what it found and what to do: whether probes leave, what lets their
    records in, and whether it is only too early. docs/doctor.md explains each. The exit code is 0 if nothing is
    wrong, 1 if something is broken, and 2 if it could not look.

    \b
    Examples:
      flowlag doctor --region eu-west-1
      flowlag doctor --run by-hand-20261123T100000Z --json
    """  # noqa: D301 - click reads the control character
    from local import render_doctor
    from local.doctor import diagnose
    from local.progress import working

    with working(f"looking at the stack {stack}", as_json=as_json):
        answer = diagnose(stack, region, run_id)
    if as_json:
        _print_json(answer.as_json())
    else:
        render_doctor.show(answer)
    return answer.exit_code


@main.command()
@click.argument("run_id", required=False)
@click.option("--stack", metavar="NAME", default="flowlag", show_default=True, help="The stack whose run it is.")
@click.option("--region", metavar="NAME", help="Where it is.  [default: as the AWS CLI is configured]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line: each event, then the summary.")
def watch(run_id: str | None, *, stack: str, region: str | None, as_json: bool) -> int:
    """Follow a run until it ends: its states, its arms, and when the next delivery is due.

    RUN_ID is the run's; without it the newest run under way is followed, else the newest is shown. On a terminal it
    draws a picture, in a pipe it prints a line for each event. It only reads, and Ctrl-C ends the watching, never
    the run. docs/watch.md explains what it shows. The exit code is 0 if the run succeeded, 1 if it failed, timed
    out or was aborted, 2 if it could not look, and 130 after Ctrl-C.

    \b
    Examples:
      flowlag watch
      flowlag watch by-hand-20261123T100000Z --region eu-west-1
      flowlag watch --json
    """  # noqa: D301 - click reads the control character
    from local import watch as watches
    from local.progress import working
    from local.watch.views import view

    with working(f"looking for the run of stack {stack}", as_json=as_json):
        watching = watches.find(stack, region, run_id)
    try:
        with view(as_json=as_json) as shown:
            summary = watches.follow(watching, shown)
            shown.end(summary)
    except KeyboardInterrupt:
        click.echo(f"flowlag: stopped watching; run {watching.run_id} goes on", err=True)
        return INTERRUPTED
    return 0 if summary["execution_status"] == "SUCCEEDED" else 1
