-- How late were the flow records of each arm, run by run?
WITH ranked AS (
    SELECT
        run_id,
        arm,
        source,
        delay_s,
        row_number() OVER (PARTITION BY run_id, arm ORDER BY delay_s) - 1 AS place,
        count(*) OVER (PARTITION BY run_id, arm) - 1 AS last_place
    FROM observations
    WHERE delay_s IS NOT NULL
)

-- Type-7 percentiles, exactly: each row weighs by its nearness to the place that the percentile falls on.
SELECT
    run_id,
    arm,
    source,
    count(*) AS n_packets,
    min(delay_s) AS min_s,
    sum(delay_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS p50_s,
    sum(delay_s * greatest(0e0, 1e0 - abs(0.90e0 * last_place - place))) AS p90_s,
    sum(delay_s * greatest(0e0, 1e0 - abs(0.95e0 * last_place - place))) AS p95_s,
    sum(delay_s * greatest(0e0, 1e0 - abs(0.99e0 * last_place - place))) AS p99_s,
    max(delay_s) AS max_s
FROM ranked
GROUP BY run_id, arm, source
ORDER BY run_id, arm
