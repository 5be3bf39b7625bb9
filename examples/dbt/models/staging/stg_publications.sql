-- A failed publication may have no voucher code; a loader that cannot store an empty key has
-- a placeholder for it.
select
    voucher_code,
    customer_id,
    campaign,
    channel,
    created_at,
    metadata
from {{ source('voucherify', 'publications') }}
