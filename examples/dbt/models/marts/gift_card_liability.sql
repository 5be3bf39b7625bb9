-- Per campaign and day: credits added and used, and the balance left on all gift cards at its end.
with movements as (
    select
        -- The campaign of the card's latest transaction, so that a card counts for one campaign.
        coalesce(first_value(campaign_id) over latest, '(none)') as campaign_id,
        cast(created_at as date) as day,
        -- Not `amount`: a card's first transaction in the warehouse need not be its first ever.
        balance - lag(balance, 1, 0) over card as change
    from {{ ref('stg_voucher_transactions') }}
    where is_gift_card
    window
        card as (partition by voucher_id order by created_at, transaction_id),
        latest as (partition by voucher_id order by created_at desc, transaction_id desc)
),

daily as (
    select
        campaign_id,
        day,
        sum(greatest(change, 0)) as credits_added,
        sum(greatest(-change, 0)) as credits_used,
        sum(change) as change
    from movements
    group by all
)

select
    campaign_id,
    day,
    credits_added,
    credits_used,
    sum(change) over (partition by campaign_id order by day) as liability
from daily
