-- How far is a record's start from the time of its packet, run by run?
WITH errors AS (
    SELECT
        source,
        region,
        dt,
        run_id,
        arm,
        count(*) AS n_packets,
        min(timestamp_error_s) AS error_min_s,
        avg(timestamp_error_s) AS error_mean_s,
        max(timestamp_error_s) AS error_max_s,
        avg(IF(timestamp_error_s < 0e0, 1e0, 0e0)) AS start_before_send_share
    FROM observations
    -- For one region and month: WHERE region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
    GROUP BY source, region, dt, run_id, arm
),

windows AS (
    SELECT DISTINCT source, region, dt, run_id, arm, window_start
    FROM observations
),

spaced AS (
    SELECT
        *,
        date_diff(
            'second',
            lag(window_start) OVER (PARTITION BY source, region, run_id, arm ORDER BY window_start),
            window_start
        ) AS spacing_s
    FROM windows
),

ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY source, region, run_id, arm ORDER BY spacing_s) - 1 AS place,
        count(spacing_s) OVER (PARTITION BY source, region, run_id, arm) - 1 AS last_place
    FROM spaced
),

-- The median (type 7, exactly) of the seconds from one label to the next.
labels AS (
    SELECT
        source,
        region,
        dt,
        run_id,
        arm,
        count(*) AS n_windows,
        min(spacing_s) AS window_spacing_min_s,
        sum(spacing_s * greatest(0e0, 1e0 - abs(0.50e0 * last_place - place))) AS window_spacing_p50_s,
        max(spacing_s) AS window_spacing_max_s
    FROM ranked
    GROUP BY source, region, dt, run_id, arm
)

SELECT
    source,
    experiment,
    region,
    run_id,
    verdict,
    arm,
    n_packets,
    error_min_s,
    error_mean_s,
    error_max_s,
    start_before_send_share,
    n_windows,
    window_spacing_min_s,
    window_spacing_p50_s,
    window_spacing_max_s
FROM errors
INNER JOIN labels USING (source, region, dt, run_id, arm)
LEFT JOIN runs USING (source, region, dt, run_id)
ORDER BY source, region, run_id, arm
