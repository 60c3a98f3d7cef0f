-- Is S3 later than CloudWatch Logs, for the same packets?
WITH usable AS (
    SELECT
        source,
        experiment,
        region,
        dt,
        run_id,
        hypervisor,
        arm,
        destination,
        interval_s,
        n_missing,
        n_bursts
    FROM runs
    CROSS JOIN UNNEST(
        transform(
            arms,
            x -> ROW(x.arm, x.destination, x.aggregation_interval_s, x.lost_on_wire + x.not_recorded, x.bursts)
        )
    ) AS t (arm, destination, interval_s, n_missing, n_bursts)
    WHERE verdict <> 'void'
    -- For one region and month: AND region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

-- Any two arms of a run that differ in their destination, with the same aggregation interval.
pairs AS (
    SELECT
        c.source,
        c.experiment,
        c.region,
        c.dt,
        c.run_id,
        c.hypervisor,
        c.arm AS cloudwatch_arm,
        s.arm AS s3_arm,
        c.n_missing AS n_missing_cloudwatch,
        s.n_missing AS n_missing_s3,
        c.n_bursts AS n_bursts_cloudwatch,
        s.n_bursts AS n_bursts_s3
    FROM usable AS c
    INNER JOIN usable AS s
        ON c.source = s.source AND c.region = s.region AND c.run_id = s.run_id AND c.interval_s = s.interval_s
    WHERE c.destination = 'cloud-watch-logs' AND s.destination = 's3'
),

-- A packet that both recorded has a difference; none other has.
differences AS (
    SELECT pairs.*, s.delay_s - c.delay_s AS difference_s
    FROM pairs
    LEFT JOIN observations AS c
        ON
            pairs.source = c.source
            AND pairs.region = c.region
            AND pairs.dt = c.dt
            AND pairs.run_id = c.run_id
            AND pairs.cloudwatch_arm = c.arm
    LEFT JOIN observations AS s
        ON
            pairs.source = s.source
            AND pairs.region = s.region
            AND pairs.dt = s.dt
            AND pairs.run_id = s.run_id
            AND pairs.s3_arm = s.arm
            AND c.tick = s.tick
),

-- The mean of each run, not the median: two sawtooths whose bursts come a time apart differ by that time on some
-- packets, and by a period less on the others. In the mean that cancels; the median would show nothing else ...
by_run AS (
    SELECT
        source,
        experiment,
        region,
        hypervisor,
        cloudwatch_arm,
        s3_arm,
        run_id,
        count(difference_s) AS n_packets,
        max(n_missing_cloudwatch) AS n_missing_cloudwatch,
        max(n_missing_s3) AS n_missing_s3,
        max(n_bursts_cloudwatch) AS n_bursts_cloudwatch,
        max(n_bursts_s3) AS n_bursts_s3,
        avg(difference_s) AS difference_s
    FROM differences
    GROUP BY source, experiment, region, hypervisor, cloudwatch_arm, s3_arm, run_id
)

-- ... and the mean, the lowest and the highest of the runs.
SELECT
    source,
    experiment,
    region,
    hypervisor,
    cloudwatch_arm,
    s3_arm,
    sum(n_packets) AS n_packets,
    sum(n_missing_cloudwatch) AS n_missing_cloudwatch,
    sum(n_missing_s3) AS n_missing_s3,
    sum(n_bursts_cloudwatch) AS n_bursts_cloudwatch,
    sum(n_bursts_s3) AS n_bursts_s3,
    count(difference_s) AS n_runs,
    avg(difference_s) AS s3_minus_cloudwatch_s,
    min(difference_s) AS lowest_run_s,
    max(difference_s) AS highest_run_s
FROM by_run
GROUP BY source, experiment, region, hypervisor, cloudwatch_arm, s3_arm
ORDER BY source, experiment, region, hypervisor, cloudwatch_arm, s3_arm
