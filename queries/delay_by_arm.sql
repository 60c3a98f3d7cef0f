-- How late were the flow records of each arm, run by run?
WITH judged AS (
    SELECT source, experiment, region, dt, run_id, verdict, arm, n_missing, n_bursts
    FROM runs
    CROSS JOIN UNNEST(
        transform(arms, x -> ROW(x.arm, x.lost_on_wire + x.not_recorded, x.bursts))
    ) AS t (arm, n_missing, n_bursts)
    -- For one region and month: WHERE region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

ranked AS (
    SELECT
        source,
        region,
        dt,
        run_id,
        arm,
        delay_s,
        row_number() OVER (PARTITION BY source, region, run_id, arm ORDER BY delay_s) - 1 AS place,
        count(*) OVER (PARTITION BY source, region, run_id, arm) - 1 AS last_place
    FROM observations
    WHERE delay_s IS NOT NULL
    -- And again: AND region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

-- Type-7 percentiles, exactly: each row weighs by its nearness to the place that the percentile falls on.
delays AS (
    SELECT
        source,
        region,
        dt,
        run_id,
        arm,
        count(*) AS n_packets,
        min(delay_s) AS min_s,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS p50_s,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.90e0 * last_place - place))) AS p90_s,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.95e0 * last_place - place))) AS p95_s,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.99e0 * last_place - place))) AS p99_s,
        max(delay_s) AS max_s
    FROM ranked
    GROUP BY source, region, dt, run_id, arm
)

-- An arm that recorded nothing has its row, too, and so has a run without a verdict.
SELECT
    source,
    experiment,
    region,
    run_id,
    verdict,
    arm,
    coalesce(n_packets, 0) AS n_packets,
    n_missing,
    n_bursts,
    min_s,
    p50_s,
    p90_s,
    p95_s,
    p99_s,
    max_s
FROM judged
FULL JOIN delays USING (source, region, dt, run_id, arm)
ORDER BY source, region, run_id, arm
