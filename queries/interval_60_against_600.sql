-- Does an aggregation interval of 600 s make flow records later than one of 60 s, for the same packets?
WITH usable AS (
    SELECT
        source,
        experiment,
        region,
        dt,
        run_id,
        hypervisor,
        arm,
        interval_s,
        n_missing,
        n_bursts
    FROM runs
    CROSS JOIN UNNEST(
        transform(
            arms, x -> ROW(x.arm, x.aggregation_interval_s, x.lost_on_wire + x.not_recorded, x.bursts)
        )
    ) AS t (arm, interval_s, n_missing, n_bursts)
    WHERE verdict <> 'void'
    -- For one region and month: AND region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

-- The two arms of a run that differ in nothing but the interval, which their names tell: cloudwatch-60, -600.
pairs AS (
    SELECT
        at_60.source,
        at_60.experiment,
        at_60.region,
        at_60.dt,
        at_60.run_id,
        at_60.hypervisor,
        at_60.arm AS arm_60,
        at_600.arm AS arm_600,
        at_60.n_missing AS n_missing_60,
        at_600.n_missing AS n_missing_600,
        at_60.n_bursts AS n_bursts_60,
        at_600.n_bursts AS n_bursts_600
    FROM usable AS at_60
    INNER JOIN usable AS at_600
        ON
            at_60.source = at_600.source
            AND at_60.region = at_600.region
            AND at_60.run_id = at_600.run_id
            AND replace(at_60.arm, '-60', '-600') = at_600.arm
    WHERE at_60.interval_s = 60 AND at_600.interval_s = 600
),

-- A packet that both recorded has a difference; none other has.
differences AS (
    SELECT pairs.*, at_600.delay_s - at_60.delay_s AS difference_s
    FROM pairs
    LEFT JOIN observations AS at_60
        ON
            pairs.source = at_60.source
            AND pairs.region = at_60.region
            AND pairs.dt = at_60.dt
            AND pairs.run_id = at_60.run_id
            AND pairs.arm_60 = at_60.arm
    LEFT JOIN observations AS at_600
        ON
            pairs.source = at_600.source
            AND pairs.region = at_600.region
            AND pairs.dt = at_600.dt
            AND pairs.run_id = at_600.run_id
            AND pairs.arm_600 = at_600.arm
            AND at_60.tick = at_600.tick
),

-- The mean of each run, not the median: two sawtooths whose bursts come a time apart differ by that time on some
-- packets, and by a period less on the others. In the mean that cancels; the median would show nothing else ...
by_run AS (
    SELECT
        source,
        experiment,
        region,
        hypervisor,
        arm_60,
        arm_600,
        run_id,
        count(difference_s) AS n_packets,
        max(n_missing_60) AS n_missing_60,
        max(n_missing_600) AS n_missing_600,
        max(n_bursts_60) AS n_bursts_60,
        max(n_bursts_600) AS n_bursts_600,
        avg(difference_s) AS difference_s
    FROM differences
    GROUP BY source, experiment, region, hypervisor, arm_60, arm_600, run_id
)

-- ... and the mean, the lowest and the highest of the runs.
SELECT
    source,
    experiment,
    region,
    hypervisor,
    arm_60,
    arm_600,
    sum(n_packets) AS n_packets,
    sum(n_missing_60) AS n_missing_60,
    sum(n_missing_600) AS n_missing_600,
    sum(n_bursts_60) AS n_bursts_60,
    sum(n_bursts_600) AS n_bursts_600,
    count(difference_s) AS n_runs,
    avg(difference_s) AS interval_600_minus_60_s,
    min(difference_s) AS lowest_run_s,
    max(difference_s) AS highest_run_s
FROM by_run
GROUP BY source, experiment, region, hypervisor, arm_60, arm_600
ORDER BY source, experiment, region, hypervisor, arm_60, arm_600
