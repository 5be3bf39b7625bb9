select
    id as order_id,
    source_id as order_source_id,
    customer_id,
    status,
    amount,
    total_discount_amount,
    total_amount,
    created_at,
    updated_at,
    metadata
from {{ source('voucherify', 'orders') }}
