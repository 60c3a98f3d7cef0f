-- What became of every probe, and where were the others lost?
SELECT
    source,
    experiment,
    region,
    hypervisor,
    arm,
    verdict,
    count(*) AS n_runs,
    sum(ledger_ticks) AS n_ticks,
    sum(observed) AS n_packets,
    sum(never_sent) AS n_never_sent,
    sum(expected_missing) AS n_expected_missing,
    sum(lost_on_wire) AS n_lost_on_wire,
    sum(not_recorded) AS n_not_recorded,
    1e0 * sum(not_recorded) / nullif(sum(ledger_ticks - never_sent - expected_missing), 0) AS not_recorded_share,
    sum(before_first_record) AS n_before_first_record,
    sum(duplicates) AS n_duplicates,
    sum(not_in_ledger) AS n_not_in_ledger,
    sum(stale) AS n_stale,
    sum(nodata) AS n_nodata,
    sum(skipdata) AS n_skipdata,
    sum(unparsable) AS n_unparsable
FROM runs
-- A void run may have no arms, and has its row all the same.
LEFT JOIN UNNEST(
    transform(
        arms,
        x -> ROW(
            x.arm,
            x.ledger_ticks,
            x.observed,
            x.never_sent,
            x.expected_missing,
            x.lost_on_wire,
            x.not_recorded,
            x.before_first_record,
            x.duplicates,
            x.not_in_ledger,
            x.stale,
            x.nodata,
            x.skipdata,
            x.unparsable
        )
    )
) AS t (
    arm,
    ledger_ticks,
    observed,
    never_sent,
    expected_missing,
    lost_on_wire,
    not_recorded,
    before_first_record,
    duplicates,
    not_in_ledger,
    stale,
    nodata,
    skipdata,
    unparsable
) ON TRUE
-- For one region and month: WHERE region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
GROUP BY source, experiment, region, hypervisor, arm, verdict
ORDER BY source, experiment, region, hypervisor, arm, verdict
