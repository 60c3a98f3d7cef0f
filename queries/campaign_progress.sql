-- How far has each campaign come, region by region?
WITH counted AS (
    SELECT source, experiment, region, run_id, verdict, started_at, sum(observed) AS n_packets
    FROM runs
    LEFT JOIN UNNEST(transform(arms, x -> x.observed)) AS t (observed) ON TRUE
    -- For one region and month: WHERE region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
    GROUP BY source, experiment, region, run_id, verdict, started_at
),

campaigns AS (
    SELECT
        source,
        experiment,
        region,
        count(*) AS n_runs,
        count_if(verdict = 'complete') AS n_complete,
        count_if(verdict = 'partial') AS n_partial,
        count_if(verdict = 'void') AS n_void,
        coalesce(sum(IF(verdict <> 'void', n_packets)), 0) AS n_packets,
        min(started_at) AS first_started_at,
        max(started_at) AS last_started_at,
        max(IF(verdict = 'complete', started_at)) AS last_complete_at
    FROM counted
    GROUP BY source, experiment, region
)

-- Time since the last complete run is told by the newest run of the source, not by a clock: the answer stays true.
SELECT
    source,
    experiment,
    region,
    n_runs,
    n_complete,
    n_partial,
    n_void,
    n_packets,
    first_started_at,
    last_started_at,
    date_diff(
        'second', last_complete_at, max(last_started_at) OVER (PARTITION BY source)
    ) / 3.6e3 AS since_last_complete_h
FROM campaigns
ORDER BY source, experiment, region
