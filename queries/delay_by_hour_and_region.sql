-- Does the delay depend on the hour of the day (UTC) and on the region?
WITH usable AS (
    SELECT source, experiment, region, dt, run_id, hypervisor, arm
    FROM runs
    CROSS JOIN UNNEST(transform(arms, x -> x.arm)) AS t (arm)
    WHERE verdict <> 'void'
    -- For one region and month: AND region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

-- The first tick that an arm recorded: of what was sent before, no one can tell why it was not recorded.
begun AS (
    SELECT source, region, dt, run_id, arm, min(tick) AS first_tick
    FROM observations
    GROUP BY source, region, dt, run_id, arm
),

probes AS (
    SELECT source, region, dt, run_id, arm, hour(sent_at) AS hour_utc, delay_s
    FROM observations
    UNION ALL
    -- Sent, and not recorded by the deadline.
    SELECT
        ledger.source,
        ledger.region,
        ledger.dt,
        ledger.run_id,
        usable.arm,
        ledger.sent_ns / 3600000000000 % 24 AS hour_utc,
        NULL AS delay_s
    FROM usable
    INNER JOIN ledger
        ON
            usable.source = ledger.source
            AND usable.region = ledger.region
            AND usable.dt = ledger.dt
            AND usable.run_id = ledger.run_id
    LEFT JOIN begun
        ON
            usable.source = begun.source
            AND usable.region = begun.region
            AND usable.dt = begun.dt
            AND usable.run_id = begun.run_id
            AND usable.arm = begun.arm
    LEFT JOIN observations
        ON
            usable.source = observations.source
            AND usable.region = observations.region
            AND usable.dt = observations.dt
            AND usable.run_id = observations.run_id
            AND usable.arm = observations.arm
            AND ledger.tick = observations.tick
    WHERE
        ledger.outcome = 'sent'
        AND ledger.tick >= coalesce(begun.first_tick, 0)
        AND observations.tick IS NULL
),

ranked AS (
    SELECT
        source,
        experiment,
        region,
        hypervisor,
        arm,
        hour_utc,
        run_id,
        delay_s,
        row_number() OVER (PARTITION BY source, region, run_id, arm, hour_utc ORDER BY delay_s) - 1 AS place,
        count(delay_s) OVER (PARTITION BY source, region, run_id, arm, hour_utc) - 1 AS last_place
    FROM usable
    INNER JOIN probes USING (source, region, dt, run_id, arm)
),

-- The median of each run in that hour (type 7, exactly) ...
by_run AS (
    SELECT
        source,
        experiment,
        region,
        hypervisor,
        arm,
        hour_utc,
        run_id,
        count(delay_s) AS n_packets,
        count_if(delay_s IS NULL) AS n_missing,
        sum(delay_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS p50_s
    FROM ranked
    GROUP BY source, experiment, region, hypervisor, arm, hour_utc, run_id
),

ranked_runs AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY source, experiment, region, hypervisor, arm, hour_utc ORDER BY p50_s
        ) - 1 AS place,
        count(p50_s) OVER (PARTITION BY source, experiment, region, hypervisor, arm, hour_utc) - 1 AS last_place
    FROM by_run
)

-- ... and the median, the lowest and the highest of the runs.
SELECT
    source,
    experiment,
    region,
    hypervisor,
    arm,
    hour_utc,
    sum(n_packets) AS n_packets,
    sum(n_missing) AS n_missing,
    count(p50_s) AS n_runs,
    sum(p50_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS p50_s,
    min(p50_s) AS lowest_run_s,
    max(p50_s) AS highest_run_s
FROM ranked_runs
GROUP BY source, experiment, region, hypervisor, arm, hour_utc
ORDER BY source, experiment, region, hypervisor, arm, hour_utc
