select
    id as product_id,
    source_id as product_source_id,
    name,
    price,
    created_at
from {{ source('voucherify', 'products') }}
