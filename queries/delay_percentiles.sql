-- How late are the flow records of each arm, over all runs of a campaign?
WITH usable AS (
    SELECT source, experiment, region, dt, run_id, hypervisor, arm, n_missing, n_bursts
    FROM runs
    CROSS JOIN UNNEST(
        transform(arms, x -> ROW(x.arm, x.lost_on_wire + x.not_recorded, x.bursts))
    ) AS t (arm, n_missing, n_bursts)
    WHERE verdict <> 'void'
    -- For one region and month: AND region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

-- The place of each delay among those of its campaign, and among those of its run.
ranked AS (
    SELECT
        source,
        experiment,
        region,
        usable.hypervisor AS hypervisor,
        arm,
        run_id,
        n_missing,
        n_bursts,
        delay_s,
        row_number() OVER (
            PARTITION BY source, experiment, region, usable.hypervisor, arm ORDER BY delay_s
        ) - 1 AS place,
        count(delay_s) OVER (PARTITION BY source, experiment, region, usable.hypervisor, arm) - 1 AS last_place,
        row_number() OVER (PARTITION BY source, region, run_id, arm ORDER BY delay_s) - 1 AS place_in_run,
        count(delay_s) OVER (PARTITION BY source, region, run_id, arm) - 1 AS last_place_in_run
    FROM usable
    LEFT JOIN observations USING (source, region, dt, run_id, arm)
),

-- Type-7 percentiles, exactly: each row weighs by its nearness to the place that the percentile falls on. A run has
-- its own median, and its part of the sums that are the campaign's percentiles.
by_run AS (
    SELECT
        source,
        experiment,
        region,
        hypervisor,
        arm,
        run_id,
        count(delay_s) AS n_packets,
        max(n_missing) AS n_missing,
        max(n_bursts) AS n_bursts,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place_in_run - place_in_run))) AS p50_of_run_s,
        min(delay_s) AS min_s,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS part_of_p50_s,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.90e0 * last_place - place))) AS part_of_p90_s,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.95e0 * last_place - place))) AS part_of_p95_s,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.99e0 * last_place - place))) AS part_of_p99_s,
        max(delay_s) AS max_s
    FROM ranked
    GROUP BY source, experiment, region, hypervisor, arm, run_id
)

SELECT
    source,
    experiment,
    region,
    hypervisor,
    arm,
    sum(n_packets) AS n_packets,
    sum(n_missing) AS n_missing,
    sum(n_bursts) AS n_bursts,
    count_if(n_packets > 0) AS n_runs,
    min(min_s) AS min_s,
    sum(part_of_p50_s) AS p50_s,
    sum(part_of_p90_s) AS p90_s,
    sum(part_of_p95_s) AS p95_s,
    sum(part_of_p99_s) AS p99_s,
    max(max_s) AS max_s,
    min(p50_of_run_s) AS lowest_p50_of_a_run_s,
    max(p50_of_run_s) AS highest_p50_of_a_run_s
FROM by_run
GROUP BY source, experiment, region, hypervisor, arm
ORDER BY source, experiment, region, hypervisor, arm
