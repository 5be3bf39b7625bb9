-- Per voucher: when it was created, published, first and last redeemed, and its current stage.
with published as (
    select voucher_code, min(created_at) as first_published_at
    from {{ ref('stg_publications') }}
    where voucher_code is not null
    group by all
),

redeemed as (
    select
        voucher_code,
        min(created_at) as first_redeemed_at,
        max(created_at) as last_redeemed_at,
        count(*) as redemptions
    from {{ ref('stg_redemptions') }}
    where is_redemption and is_success
    group by all
)

select
    vouchers.voucher_id,
    vouchers.code,
    vouchers.voucher_type,
    vouchers.campaign,
    vouchers.created_at,
    published.first_published_at,
    redeemed.first_redeemed_at,
    redeemed.last_redeemed_at,
    coalesce(redeemed.redemptions, 0) as redemptions,
    date_diff('day', vouchers.created_at, redeemed.first_redeemed_at) as days_to_first_redemption,
    case
        when not vouchers.is_active then 'disabled'
        when vouchers.expires_at < current_timestamp then 'expired'
        when redeemed.redemptions >= vouchers.redemption_limit then 'used up'
        when redeemed.redemptions > 0 then 'redeemed'
        when published.first_published_at is not null then 'published'
        else 'created'
    end as stage
from {{ ref('stg_vouchers') }} as vouchers
left join published on published.voucher_code = vouchers.code
left join redeemed on redeemed.voucher_code = vouchers.code
