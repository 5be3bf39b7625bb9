select
    id as transaction_id,
    voucher_id,
    campaign_id,
    type as transaction_type,
    starts_with(type, 'CREDITS_') as is_gift_card,
    amount,
    balance,
    created_at,
    details
from {{ source('voucherify', 'voucher_transactions') }}
