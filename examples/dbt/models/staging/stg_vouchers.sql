select
    id as voucher_id,
    code,
    voucher_type,
    discount_type,
    campaign_id,
    campaign,
    category,
    active as is_active,
    value,
    gift_balance,
    loyalty_balance,
    redemption_quantity as redemption_limit,
    start_date as starts_at,
    expiration_date as expires_at,
    created_at,
    updated_at,
    metadata
from {{ source('voucherify', 'vouchers') }}
