-- How punctual was the sender, run by run?
WITH ranked AS (
    SELECT
        source,
        region,
        dt,
        run_id,
        outcome,
        lateness_s,
        clock_offset_s,
        row_number() OVER (PARTITION BY source, region, run_id ORDER BY lateness_s) - 1 AS place,
        count(lateness_s) OVER (PARTITION BY source, region, run_id) - 1 AS last_place
    FROM ledger
    -- For one region and month: WHERE region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

-- Type-7 percentiles, exactly: each row weighs by its nearness to the place that the percentile falls on.
by_run AS (
    SELECT
        source,
        region,
        dt,
        run_id,
        count(*) AS n_ticks,
        count_if(outcome = 'sent') AS n_packets,
        count_if(outcome = 'missed') AS n_missed,
        count_if(outcome = 'failed') AS n_failed,
        count_if(outcome = 'skipped') AS n_skipped,
        min(lateness_s) AS lateness_min_s,
        sum(lateness_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS lateness_p50_s,
        sum(lateness_s * greatest(0e0, 1e0 - abs(0.95e0 * last_place - place))) AS lateness_p95_s,
        sum(lateness_s * greatest(0e0, 1e0 - abs(0.99e0 * last_place - place))) AS lateness_p99_s,
        max(lateness_s) AS lateness_max_s,
        min(clock_offset_s) AS clock_offset_min_s,
        max(clock_offset_s) AS clock_offset_max_s
    FROM ranked
    GROUP BY source, region, dt, run_id
)

SELECT
    source,
    experiment,
    region,
    run_id,
    verdict,
    instance_type,
    n_ticks,
    n_packets,
    n_missed,
    n_failed,
    n_skipped,
    lateness_min_s,
    lateness_p50_s,
    lateness_p95_s,
    lateness_p99_s,
    lateness_max_s,
    clock_offset_min_s,
    clock_offset_max_s
FROM by_run
LEFT JOIN runs USING (source, region, dt, run_id)
ORDER BY source, region, run_id
