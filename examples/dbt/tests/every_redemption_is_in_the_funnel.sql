-- Each attempt is counted once, under exactly one result.
with funnel as (
    select sum(attempts) as attempts, sum(succeeded + failed) as results
    from {{ ref('redemption_funnel') }}
),

redemptions as (
    select count(*) as attempts from {{ ref('stg_redemptions') }} where is_redemption
)

select *
from funnel, redemptions
where funnel.attempts != redemptions.attempts or funnel.results != redemptions.attempts
