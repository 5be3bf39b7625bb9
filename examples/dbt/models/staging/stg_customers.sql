select
    id as customer_id,
    source_id as customer_source_id,
    name,
    email,
    address_city as city,
    address_country as country,
    orders_total_count as orders,
    orders_total_amount,
    loyalty_points,
    created_at,
    updated_at,
    metadata
from {{ source('voucherify', 'customers') }}
