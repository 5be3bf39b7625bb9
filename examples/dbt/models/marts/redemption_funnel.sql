-- Per campaign and day: vouchers published, redemptions attempted, and how they ended.
with published as (
    select
        coalesce(campaign, '(none)') as campaign,
        cast(created_at as date) as day,
        count(*) as publications
    from {{ ref('stg_publications') }}
    group by all
),

attempted as (
    select
        coalesce(campaign, '(none)') as campaign,
        cast(created_at as date) as day,
        count(*) as attempts,
        count(*) filter (where is_success) as succeeded,
        count(*) filter (where not is_success) as failed,
        count(distinct customer_id) filter (where is_success) as customers,
        coalesce(sum(order_amount) filter (where is_success), 0) as order_amount
    from {{ ref('stg_redemptions') }}
    where is_redemption  -- excludes rollbacks
    group by all
)

select
    campaign,
    campaign_type,
    day,
    coalesce(publications, 0) as publications,
    coalesce(attempts, 0) as attempts,
    coalesce(succeeded, 0) as succeeded,
    coalesce(failed, 0) as failed,
    coalesce(customers, 0) as customers,
    coalesce(order_amount, 0) as order_amount,
    round(succeeded / nullif(attempts, 0), 4) as success_rate
from attempted
full join published using (campaign, day)
left join (select campaign, campaign_type from {{ ref('stg_campaigns') }}) using (campaign)
