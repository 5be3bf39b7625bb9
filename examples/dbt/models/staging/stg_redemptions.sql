select
    id as redemption_id,
    object = 'redemption' as is_redemption,
    result = 'SUCCESS' as is_success,
    failure_code,
    voucher_code,
    campaign,
    promotion_tier_id,
    customer_id,
    order_id,
    order_amount,
    gift_amount,
    loyalty_points,
    created_at,
    metadata
from {{ source('voucherify', 'redemptions') }}
