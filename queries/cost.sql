-- What have the runs cost, at list prices?
SELECT
    source,
    experiment,
    region,
    count(*) AS n_runs,
    count_if(verdict = 'void') AS n_void,
    count_if(cost_usd IS NULL) AS n_unpriced,
    sum(cost_usd) AS cost_usd,
    min(cost_usd) AS lowest_run_usd,
    avg(cost_usd) AS mean_run_usd,
    max(cost_usd) AS highest_run_usd
FROM runs
-- For one region and month: WHERE region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'
GROUP BY source, experiment, region
ORDER BY source, experiment, region
