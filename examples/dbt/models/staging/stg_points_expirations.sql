select
    id as bucket_id,
    voucher_id,
    campaign_id,
    points,
    status,
    cast(expires_at as date) as expires_on
from {{ source('voucherify', 'points_expirations') }}
