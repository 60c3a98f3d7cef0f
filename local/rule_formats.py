"""The setting to paste into a detection rule, or into what brings it its records.

Each format was written after the vendor's own page, named beside it. A rule goes by a record's time, which is its
`start` or its `end`. A window that reaches back over the delay meets most records several times, so each format
also says how a record is taken once only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from textwrap import wrap
from typing import TYPE_CHECKING, Final, Self

from flowlag.errors import InvalidRequest
from local.durations import in_units
from local.render import SOURCE_IN_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.lookback import Lookback, Measured

WANTED_PERCENT: Final = 99
"""How many of the records a rule shall see where it is not said how far it looks back."""

_COMMENT_COLUMNS: Final = 100
_MINUTE_S: Final = 60
_HOUR: Final = 60
_DAY: Final = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Setting:
    """A rule in whole minutes, and what it is good for, in sentences."""

    every_min: int
    within_min: int
    promise: tuple[str, ...]

    @classmethod
    def of(cls, answer: Lookback) -> Self:
        """The setting for the look-back that was asked for, or for one that sees `WANTED_PERCENT` of the records.

        Raises:
            InvalidRequest: no rule can be set so.
        """
        rule, measured = answer.rule, answer.everything
        if len(answer.arms) > 1:
            raise InvalidRequest(f"a setting is for one arm: choose it with --arm, among {', '.join(answer.arms)}")
        if rule.every_s % _MINUTE_S or (rule.within_s or 0) % _MINUTE_S:
            raise InvalidRequest(
                "rules are set in minutes: to print a setting, give --every and --within in whole ones"
            )
        within_s = max(_needed_s(measured), rule.every_s) if rule.within_s is None else rule.within_s
        if within_s < rule.every_s:
            raise InvalidRequest(
                "a rule that looks back for less than its interval leaves gaps: give a longer --within"
            )
        within_min = ceil(within_s / _MINUTE_S)
        over = f"Every {in_units(rule.every_s)} over the last {in_units(within_min * _MINUTE_S)}"
        promise = _sees(over, within_s) if rule.within_s is None else _misses(over, measured)
        evidence = (
            f"{SOURCE_IN_WORDS[answer.source]} n_packets {measured.n_packets:,}, n_bursts {measured.n_bursts:,},"
            f" n_runs {measured.n_runs:,}. They end where AWS delivers: add what your pipeline takes from there."
        )
        return cls(round(rule.every_s / _MINUTE_S), within_min, (promise, evidence))

    @property
    def delay_min(self) -> int:
        """By how much it looks back further than to its last execution."""
        return self.within_min - self.every_min

    def commented(self, mark: str, *more: str) -> str:
        """Its promise, and more sentences, as comments."""
        lines = (line for sentence in (*self.promise, *more) for line in wrap(sentence, _COMMENT_COLUMNS))
        return "".join(f"{mark} {line}\n" for line in lines)


def _needed_s(measured: Measured) -> float:
    needed_s = measured.needed_s(WANTED_PERCENT)
    if needed_s is None:
        raise InvalidRequest(
            f"no look-back sees {WANTED_PERCENT} % of the records, as too many were never delivered: give --within"
        )
    return needed_s


def _sees(over: str, needed_s: float) -> str:
    return (
        f"{over}, a rule sees {WANTED_PERCENT} % of the flow records, by the packets' time and by the records'"
        f" `start`: it takes {in_units(needed_s)}, rounded up to minutes."
    )


def _misses(over: str, measured: Measured) -> str:
    return (
        f"{over}, as was asked for, a rule misses {measured.from_send.missed_share:.2%} of the flow records by the"
        f" packets' time, {measured.from_start.missed_share:.2%} by the records' `start`."
    )


# ---------------------------------------------------------------- the formats
def _kql(setting: Setting) -> str:
    """Microsoft Sentinel.

    https://learn.microsoft.com/en-us/azure/sentinel/ingestion-delay (read 2026-11) has this query: the look-back is
    longer than the interval by the delay, and `ingestion_time()` lets each record into one execution only. The
    limits are those of https://learn.microsoft.com/en-us/azure/sentinel/scheduled-rules-overview (read 2026-11),
    which also says that Sentinel runs rules five minutes after they are due; that margin is not counted on.
    """
    shortest, longest = 5, 14 * _DAY
    if setting.every_min < shortest or setting.within_min > longest:
        raise InvalidRequest("Sentinel runs rules every 5 minutes or more, over the last 14 days or less")
    return (
        setting.commented(
            "//",
            f"In the rule: run query every {setting.every_min} minutes,"
            f" lookup data from the last {setting.within_min} minutes.",
            "Assumes the connector's table AWSVPCFlow, with the record's start or end as TimeGenerated.",
        )
        + f"let rule_every = {setting.every_min}m;\n"
        f"let ingestion_delay = {setting.delay_min}m;\n"
        "AWSVPCFlow\n"
        "| where TimeGenerated >= ago(ingestion_delay + rule_every)\n"
        "| where ingestion_time() > ago(rule_every) // each record in one execution only\n"
        "// and the rule's own conditions\n"
    )


def _esql(setting: Setting) -> str:
    """An ES|QL rule of Elastic Security, as in the repository elastic/detection-rules: TOML.

    https://www.elastic.co/docs/solutions/security/detect-and-alert/esql (read 2026-11) says what `interval` and
    `from` are, that `METADATA _id` keeps alerts from being doubled, and that nothing does so in a query with STATS.
    The integration takes a record's `end` as @timestamp (elastic/integrations, packages/aws/data_stream/vpcflow,
    read 2026-11).
    """
    return (
        setting.commented(
            "#",
            f"In Kibana: runs every {setting.every_min}m, additional look-back time {setting.delay_min}m.",
            "Assumes Elastic's AWS integration, with the record's end as @timestamp. Where its aws-cloudwatch input"
            f" polls the log group, that needs `latency: {setting.delay_min}m` (see --format otel), and the rule a"
            " look-back longer by as much. A query with STATS counts records again.",
        )
        + "[rule]\n"
        'type = "esql"\n'
        'language = "esql"\n'
        f'interval = "{setting.every_min}m"\n'
        f'from = "now-{setting.within_min}m"\n'
        "query = '''\n"
        "FROM logs-aws.vpcflow-* METADATA _id, _version, _index\n"
        "// and the rule's own conditions\n"
        "'''\n"
    )


def _spl(setting: Setting) -> str:
    """Splunk: a stanza of savedsearches.conf.

    By savedsearches.conf.spec (https://docs.splunk.com/Documentation/Splunk/latest/Admin/Savedsearchesconf, read
    2026-11) `dispatch.earliest_time` goes by an event's time, `dispatch.index_earliest` by when it was indexed, and
    with `realtime_schedule = 0` no execution is skipped.
    """
    return (
        setting.commented(
            "#",
            "Assumes the AWS add-on's sourcetype, with the record's start or end as _time.",
            "Each event is taken once, by when it was indexed; no execution is skipped.",
        )
        + f"[flow logs every {setting.every_min}m over the last {setting.within_min}m]\n"
        "# and the rule's own conditions\n"
        "search = sourcetype=aws:cloudwatchlogs:vpcflow\n"
        "enableSched = 1\n"
        f"cron_schedule = {_cron(setting.every_min)}\n"
        "realtime_schedule = 0\n"
        f"dispatch.earliest_time = -{setting.within_min}m@m\n"
        "dispatch.latest_time = now\n"
        f"dispatch.index_earliest = -{setting.every_min}m@m\n"
        "dispatch.index_latest = @m\n"
    )


def _cron(every_min: int) -> str:
    hours, minutes = divmod(every_min, _HOUR)
    if every_min == _DAY:
        return "0 0 * * *"
    if not minutes and _DAY % every_min == 0:
        return f"0 */{hours} * * *"
    if not hours and _HOUR % minutes == 0:
        return f"*/{minutes} * * * *"
    raise InvalidRequest(
        f"cron cannot run a search every {in_units(every_min * _MINUTE_S)} all day: choose what divides an hour or"
        " a day"
    )


def _otel(setting: Setting) -> str:
    """Who polls a log group: Filebeat and Elastic Agent can wait, the OpenTelemetry Collector cannot.

    `latency` shifts begin and end of each poll, which goes by the event's timestamp, for flow logs their `start`:
    https://www.elastic.co/docs/reference/beats/filebeat/filebeat-input-aws-cloudwatch (read 2026-11). So a poll is
    a rule that runs every `scan_frequency` and looks back for `latency` more.

    The collector's receiver awscloudwatch has a `delay` for metrics only. A poll for logs goes by the timestamp as
    well, and begins after the newest event of the last one, or at the last one's end where that found none:
    open-telemetry/opentelemetry-collector-contrib, receiver/awscloudwatchreceiver/config.go and logs.go (read
    2026-11) and issues 41122 and 48577; of Grafana Alloy, which wraps it, grafana/alloy issue 5854.
    """
    return (
        setting.commented(
            "#",
            "The OpenTelemetry Collector's receiver awscloudwatch has a delay for metrics only: of flow logs it"
            " loses what is delivered after its poll has gone by. Push them to it (awsfirehose), or poll as here,"
            " by Filebeat or Elastic Agent. Records then come late by the latency, to rules as well.",
        )
        + "filebeat.inputs:\n"
        "  - type: aws-cloudwatch\n"
        '    log_group_arn: "arn:aws:logs:REGION:ACCOUNT:log-group:NAME:*"\n'
        f"    scan_frequency: {setting.every_min}m\n"
        f"    latency: {setting.delay_min}m\n"
    )


FORMATS: Final[Mapping[str, Callable[[Setting], str]]] = {"kql": _kql, "esql": _esql, "spl": _spl, "otel": _otel}
"""How a setting is written, by the name of the format.

Each raises InvalidRequest where the rule cannot be set there.
"""
