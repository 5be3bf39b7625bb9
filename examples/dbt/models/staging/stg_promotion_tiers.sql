select
    id as promotion_tier_id,
    name as promotion_tier,
    campaign_id,
    hierarchy,
    active as is_active,
    created_at,
    updated_at,
    metadata
from {{ source('voucherify', 'promotion_tiers') }}
