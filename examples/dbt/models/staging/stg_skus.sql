select
    id as sku_id,
    source_id as sku_source_id,
    product_id,
    sku,
    price,
    currency,
    created_at
from {{ source('voucherify', 'skus') }}
