-- Are flow records of a Xen instance later than those of a Nitro instance?
WITH usable AS (
    SELECT source, experiment, region, dt, run_id, hypervisor, arm, n_missing, n_bursts
    FROM runs
    CROSS JOIN UNNEST(
        transform(arms, x -> ROW(x.arm, x.lost_on_wire + x.not_recorded, x.bursts))
    ) AS t (arm, n_missing, n_bursts)
    WHERE verdict <> 'void'
    -- For one region and month: AND region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

ranked AS (
    SELECT
        source,
        experiment,
        region,
        arm,
        usable.hypervisor AS hypervisor,
        run_id,
        n_missing,
        n_bursts,
        delay_s,
        row_number() OVER (PARTITION BY source, region, run_id, arm ORDER BY delay_s) - 1 AS place,
        count(delay_s) OVER (PARTITION BY source, region, run_id, arm) - 1 AS last_place
    FROM usable
    LEFT JOIN observations USING (source, region, dt, run_id, arm)
),

-- A run has one sender, and so one hypervisor: what is compared is medians of runs (type 7, exactly) ...
by_run AS (
    SELECT
        source,
        experiment,
        region,
        arm,
        hypervisor,
        run_id,
        count(delay_s) AS n_packets,
        max(n_missing) AS n_missing,
        max(n_bursts) AS n_bursts,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS p50_s
    FROM ranked
    GROUP BY source, experiment, region, arm, hypervisor, run_id
),

ranked_runs AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY source, experiment, region, arm, hypervisor ORDER BY p50_s) - 1 AS place,
        count(p50_s) OVER (PARTITION BY source, experiment, region, arm, hypervisor) - 1 AS last_place
    FROM by_run
)

-- ... by the median, the lowest and the highest of the runs. Packets are not paired: each run has its own.
SELECT
    source,
    experiment,
    region,
    arm,
    hypervisor,
    sum(n_packets) AS n_packets,
    sum(n_missing) AS n_missing,
    sum(n_bursts) AS n_bursts,
    count(p50_s) AS n_runs,
    sum(p50_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS p50_s,
    min(p50_s) AS lowest_run_s,
    max(p50_s) AS highest_run_s
FROM ranked_runs
GROUP BY source, experiment, region, arm, hypervisor
ORDER BY source, experiment, region, arm, hypervisor
