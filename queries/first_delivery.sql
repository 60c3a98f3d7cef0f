-- How long does a new flow log take until its first delivery?
WITH looks AS (
    SELECT
        source,
        experiment,
        region,
        first_deliveries.hypervisor AS hypervisor,
        arm,
        verdict = 'void' AS is_void,
        first_record_s,
        IF(status = 'delivered', first_probe_s) AS first_probe_s
    FROM first_deliveries
    INNER JOIN runs USING (source, region, dt, run_id)
    -- For one region and month: WHERE region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
),

-- What did not come before the deadline comes last: later than all that came.
ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY source, experiment, region, hypervisor, arm, is_void ORDER BY first_record_s
        ) - 1 AS place_of_record,
        row_number() OVER (
            PARTITION BY source, experiment, region, hypervisor, arm, is_void ORDER BY first_probe_s
        ) - 1 AS place_of_probe,
        count(*) OVER (PARTITION BY source, experiment, region, hypervisor, arm, is_void) - 1 AS last_place
    FROM looks
),

weighed AS (
    SELECT
        *,
        greatest(0e0, 1e0 - abs(0.50e0 * last_place - place_of_record)) AS weight_of_record,
        greatest(0e0, 1e0 - abs(0.50e0 * last_place - place_of_probe)) AS weight_of_probe
    FROM ranked
)

-- A median that falls on what did not come is not known. Void runs are counted, and nothing else.
SELECT
    source,
    experiment,
    region,
    hypervisor,
    arm,
    count_if(NOT is_void) AS n_runs,
    count_if(NOT is_void AND first_probe_s IS NULL) AS n_censored,
    count_if(is_void) AS n_void_runs,
    min(IF(NOT is_void, first_record_s)) AS first_record_min_s,
    IF(
        count_if(NOT is_void AND first_record_s IS NULL AND weight_of_record > 0e0) = 0,
        sum(IF(NOT is_void, first_record_s * weight_of_record))
    ) AS first_record_p50_s,
    max(IF(NOT is_void, first_record_s)) AS first_record_max_s,
    min(IF(NOT is_void, first_probe_s)) AS first_probe_min_s,
    IF(
        count_if(NOT is_void AND first_probe_s IS NULL AND weight_of_probe > 0e0) = 0,
        sum(IF(NOT is_void, first_probe_s * weight_of_probe))
    ) AS first_probe_p50_s,
    max(IF(NOT is_void, first_probe_s)) AS first_probe_max_s
FROM weighed
GROUP BY source, experiment, region, hypervisor, arm
ORDER BY source, experiment, region, hypervisor, arm
