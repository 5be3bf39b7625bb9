select
    id as campaign_id,
    name as campaign,
    campaign_type,
    category,
    active as is_active,
    vouchers_count,
    start_date as starts_at,
    expiration_date as expires_at,
    created_at,
    updated_at,
    metadata
from {{ source('voucherify', 'campaigns') }}
