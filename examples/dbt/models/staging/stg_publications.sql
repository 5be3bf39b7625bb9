-- A failed publication may have no voucher code; a loader that cannot store an empty key has
-- a placeholder for it.
select
    nullif(nullif(voucher_code, ''), '(none)') as voucher_code,
    nullif(nullif(customer_id, ''), '(none)') as customer_id,
    campaign,
    channel,
    created_at,
    metadata
from {{ source('voucherify', 'publications') }}
