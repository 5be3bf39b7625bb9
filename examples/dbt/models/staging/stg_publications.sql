-- A failed publication may have no voucher code.
select
    publication_key,
    voucher_code,
    customer_id,
    campaign,
    channel,
    created_at,
    metadata
from {{ source('voucherify', 'publications') }}
